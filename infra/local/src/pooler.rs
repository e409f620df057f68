//! A real `pgbouncer` in front of a server, as Supabase, Neon and many other providers use it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::server::{PostgresServer, free_port, spawn_for_life};

/// The paths of the program in Debian's package and in others.
const PROGRAMS: [&str; 2] = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];

/// It listens within milliseconds. A busy machine may need seconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// How a pooler hands out connections to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// A client keeps one connection while it is connected.
    Session,
    /// Each transaction may get another connection.
    Transaction,
}

/// A running pooler on its own port. It stops when this value is dropped, or when this process ends or is killed.
#[derive(Debug)]
pub struct Pooler {
    process: Child,
    port: u16,
}

impl Pooler {
    /// Starts a pooler in front of a server without TLS. Installs a missing Debian package first, if permitted. The pooler
    /// accepts every client, and connects as the server's superuser.
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
        // Like the server, it refuses to run as root.
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

    /// `host:port`, as in messages.
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
        // A failure cannot be reported here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn find() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|path| Path::new(path).exists())
}
