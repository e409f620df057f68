//! A real `pgbouncer` before a server: what Supabase, Neon and many others put between a database and its clients.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::server::{PostgresServer, free_port, spawn_for_life};

/// Where Debian's package and others have it.
const PROGRAMS: [&str; 2] = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];

/// It listens within milliseconds; a busy machine may need seconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// How a pooler hands out connections to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// A client keeps one for as long as it is connected.
    Session,
    /// Each transaction may get another one.
    Transaction,
}

/// A running pooler on a port of its own. It ends with this value, and with this process even if that is killed.
#[derive(Debug)]
pub struct Pooler {
    process: Child,
    port: u16,
}

impl Pooler {
    /// Starts a pooler before a server without TLS, and installs the Debian package first where it is missing and we may. It
    /// lets everybody in, as the server's superuser.
    pub fn start(server: &PostgresServer, mode: PoolMode) -> Result<Self> {
        let program = match find() {
            Some(program) => program,
            None => {
                debian::install("pgbouncer")?;
                find().context("the Debian package `pgbouncer` brought no pooler")?
            }
        };
        let port = free_port()?;
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        };
        let configuration = server.directory().join(format!("pgbouncer-{port}.ini"));
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres password={}\n\
             [pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\nauth_type=any\npool_mode={mode}\n",
            server.port(),
            server.password()
        );
        std::fs::write(&configuration, text)?;
        // It refuses root, as the server does.
        let mut command = server.as_account(Path::new(program), Some("KILL"));
        command.arg(&configuration).stdin(Stdio::null()).stderr(Stdio::null());
        let mut pooler = Self { process: spawn_for_life(command).context("pgbouncer did not start")?, port };
        pooler.wait_until_ready()?;
        Ok(pooler)
    }

    /// The URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:any@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// `host:port`, as messages name it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("pgbouncer ended with {status}");
            }
            if Instant::now() > deadline {
                bail!("pgbouncer is not ready after {START_TIMEOUT:?}");
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // Nobody is left to tell about a failure.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn find() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|path| Path::new(path).exists())
}
