//! PostgreSQL's own client programs: found, asked for their version, run with a clean environment.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::schema::stderr::StandardError;
use crate::session::libpq_environment::LibpqEnvironment;
use crate::session::{LIMIT_ATTEMPTS, LIMIT_BACKOFF};

/// Variables passed to the programs: the paths of programs and, in a Lambda layer, of their libraries.
const PASSED_ON: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "TMPDIR", "SSL_CERT_FILE"];

/// Messages of a server when the first session of an imported snapshot has ended.
const SNAPSHOT_IS_GONE: [&str; 2] = ["invalid snapshot identifier", "could not import the requested snapshot"];

/// Messages of libpq and the server when the connection ends before the program.
const SERVER_WENT_AWAY: [&str; 4] = [
    "terminating connection due to",
    "server closed the connection unexpectedly",
    "the database system is shutting down",
    "the database system is starting up",
];

/// Message of a connection pooler that takes no startup options, or not all of them.
const OPTIONS_REFUSED: &str = "unsupported startup parameter";

/// The beginnings of what a program says when it has no connection. `pg_dumpall` does not say why, and the server may say it in any language.
const NOT_CONNECTED: [&str; 2] = ["error: could not connect to database ", "error: connection to server at "];

/// `pg_dump`, `pg_dumpall` and `pg_restore` of one version.
#[derive(Debug, Clone)]
pub struct ClientTools {
    directory: Option<PathBuf>,
    version: String,
    major: u32,
}

impl ClientTools {
    /// Looks for the programs in `directory`, or on the PATH, and asks for their version.
    pub async fn find(directory: Option<&Path>) -> Result<Self> {
        let mut tools = Self { directory: directory.map(Path::to_owned), version: String::new(), major: 0 };
        for tool in ["pg_dump", "pg_dumpall", "pg_restore"] {
            let mut command = tools.command(tool);
            command.arg("--version").stdout(Stdio::piped()).stderr(Stdio::null());
            let output = command.output().await.map_err(|error| tools.start_error(tool, &error))?;
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let major = major_version(&text).filter(|_| output.status.success()).ok_or_else(|| {
                PostgresError::ToolFailed { tool, status: output.status.to_string(), stderr: "no version".to_owned() }
            })?;
            if tool == "pg_dump" {
                (tools.version, tools.major) = (text, major);
            }
        }
        Ok(tools)
    }

    /// `pg_dump (PostgreSQL) 15.18`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    fn command(&self, tool: &str) -> Command {
        let program = self.directory.as_ref().map_or_else(|| PathBuf::from(tool), |directory| directory.join(tool));
        let mut command = Command::new(program);
        command.env_clear().envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        // English messages: only these can be recognized as free of row values.
        command.env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    fn start_error(&self, tool: &'static str, error: &std::io::Error) -> PostgresError {
        if error.kind() == std::io::ErrorKind::NotFound {
            let directory = self.directory.as_ref().map(|directory| directory.display().to_string());
            PostgresError::ToolMissing { tool, directory }
        } else {
            PostgresError::ToolFailed { tool, status: "not started".to_owned(), stderr: error.to_string() }
        }
    }

    /// Runs a program to its end. It is killed when the returned future is dropped: the time limit is the caller's.
    ///
    /// A program that connects has none of the settings of the role and the database that would make it fail or write something else.
    pub(crate) async fn run(
        &self,
        tool: &'static str,
        environment: &LibpqEnvironment,
        arguments: &[OsString],
    ) -> Result<()> {
        // `pg_restore` can fail to connect in the middle of its work. The others have one connection.
        let attempts = if tool == "pg_restore" { 1 } else { LIMIT_ATTEMPTS };
        let mut environment = match connects(tool, arguments) {
            true => Cow::Owned(environment.with_startup_options().await?),
            false => Cow::Borrowed(environment),
        };
        let mut attempt = 1;
        loop {
            let failed = match self.run_once(tool, &environment, arguments).await {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            let reason = if is_unexplained(&failed) { environment.try_out().await.err() } else { None };
            let passes = reason.is_none() && is_unexplained(&failed);
            match reason.unwrap_or(failed) {
                refused if environment.has_startup_options() && refuses_options(&refused) => {
                    tracing::info!("a connection pooler refuses startup options, running `{tool}` without");
                    environment = Cow::Owned(environment.without_startup_options());
                }
                failed if attempt >= attempts => return Err(failed),
                failed if passes || matches!(failed, PostgresError::ConnectionLimitReached { .. }) => {
                    tokio::time::sleep(LIMIT_BACKOFF.pause(attempt)).await;
                    attempt += 1;
                }
                failed => return Err(failed),
            }
        }
    }

    async fn run_once(&self, tool: &'static str, environment: &LibpqEnvironment, arguments: &[OsString]) -> Result<()> {
        let mut command = self.command(tool);
        command.envs(environment.variables()).args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.start_error(tool, &error))?;
        let mut said = StandardError::of(tool);
        if let Some(stderr) = child.stderr.take() {
            read_to_end(stderr, &mut said).await;
        }
        let status = child.wait().await.map_err(|error| self.start_error(tool, &error))?;
        if status.success() {
            return Ok(());
        }
        let stderr = said.finish(environment.password().as_deref());
        if SERVER_WENT_AWAY.iter().any(|said| stderr.contains(said)) {
            return Err(PostgresError::ServerClosed { step: format!("running `{tool}`"), source: None });
        }
        if SNAPSHOT_IS_GONE.iter().any(|said| stderr.contains(said)) {
            return Err(PostgresError::SnapshotLost);
        }
        if let Some(reached) = environment.connection_limit(&stderr) {
            return Err(reached);
        }
        Err(PostgresError::ToolFailed { tool, status: status.to_string(), stderr })
    }
}

/// Whether a program could not connect, so that a session of our own can find out why.
fn is_unexplained(failed: &PostgresError) -> bool {
    let PostgresError::ToolFailed { stderr, .. } = failed else { return false };
    NOT_CONNECTED.iter().any(|beginning| stderr.starts_with(beginning))
}

/// Whether a pooler refused startup options, to a program or to a session.
fn refuses_options(refused: &PostgresError) -> bool {
    const PROTOCOL_VIOLATION: &str = "08P01";
    match refused {
        PostgresError::ToolFailed { stderr, .. } => stderr.contains(OPTIONS_REFUSED),
        other => other.sqlstate() == Some(PROTOCOL_VIOLATION),
    }
}

/// Whether a run connects to a server: `pg_restore` does so only with a database.
fn connects(tool: &str, arguments: &[OsString]) -> bool {
    let names_a_database = |argument: &OsString| argument.to_string_lossy().starts_with("--dbname");
    tool != "pg_restore" || arguments.iter().any(names_a_database)
}

/// Reads to the end, so that the program never blocks on a full pipe.
async fn read_to_end(mut pipe: impl AsyncRead + Unpin, said: &mut StandardError) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        said.take(buffer.get(..read).unwrap_or_default());
    }
}

/// `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` → 15; `18beta1` → 18.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_released_and_unreleased_tools() {
        assert_eq!(major_version("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major_version("pg_dump (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("pg_dump"), None);
    }
}
