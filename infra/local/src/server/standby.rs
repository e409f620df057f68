//! A hot standby of a test server.

use std::os::unix::fs::chown;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::{Account, DIRECTORY_PREFIX, POLL, PostgresOptions, PostgresServer, START_TIMEOUT, free_port};

impl PostgresServer {
    /// Starts a standby that streams from this server, which must have no TLS. Blocks until it answers and has what this server had.
    pub fn start_standby(&self, name: &str) -> Result<Self> {
        let prefix = format!("{DIRECTORY_PREFIX}{}-{name}-", std::process::id());
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir().context("no temporary directory")?;
        if let Some(Account { uid, gid }) = self.account {
            chown(directory.path(), Some(uid), Some(gid)).context("cannot give the directory away")?;
        }
        let (bin_dir, options) = (self.bin_dir.clone(), PostgresOptions::named(name));
        let mut standby =
            Self { bin_dir, directory, account: self.account, options, port: free_port()?, postmaster: None };
        let mut backup = standby.as_account(&self.bin_dir.join("pg_basebackup"), None);
        backup.args(["--no-sync", "--checkpoint=fast", "--write-recovery-conf", "--dbname", &self.url("postgres")]);
        let output = backup.arg("--pgdata").arg(standby.data_dir()).output().context("pg_basebackup did not start")?;
        if !output.status.success() {
            bail!("pg_basebackup: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        standby.launch()?;
        standby.catch_up(self)?;
        Ok(standby)
    }

    /// Waits until this standby has replayed what its primary has written.
    pub fn catch_up(&self, primary: &Self) -> Result<()> {
        let written = primary.psql("postgres", "SELECT pg_current_wal_lsn()")?;
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        let deadline = Instant::now() + START_TIMEOUT;
        while self.psql("postgres", &replayed)? != "t" {
            if Instant::now() > deadline {
                bail!("the standby has not caught up after {START_TIMEOUT:?}");
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}
