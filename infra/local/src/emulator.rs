//! The AWS emulator: one process group on a free port of 127.0.0.1, with all data in memory and one scratch folder.

use std::fs::{self, File};
use std::net::TcpListener as PortFinder;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http_body_util::Empty;
use hyper::Request;
use hyper::header::HOST;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::process_group::ProcessGroup;
use crate::request;
use crate::venv::{EMULATOR, Venv};

/// It answers after 0.8 s on a quiet machine. A busy one with two cores may need much longer.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Another process may take the free port between finding and binding it. Five times in a row is no coincidence.
const START_ATTEMPTS: usize = 5;
/// The time limit of one request for the health page. A busy machine answers late, and the next request may succeed.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The pause between two requests for the health page.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// The program that starts it, with what the templates use and it does not know by itself.
const PROGRAM: &str = include_str!("../emulator/emulator.py");

/// A running emulator. Dropping it ends it and every function process it started.
#[derive(Debug)]
pub struct Emulator {
    // These are dropped in this order, because no process may still write when its folder is removed.
    group: ProcessGroup,
    endpoint: String,
    scratch: TempDir,
}

impl Emulator {
    /// Starts an emulator and waits until it answers.
    pub async fn start() -> Result<Self> {
        let venv = tokio::task::spawn_blocking(|| Venv::ensure(EMULATOR)).await??;
        let mut last = None;
        for _ in 0..START_ATTEMPTS {
            match Self::start_once(&venv).await {
                Ok(emulator) => return Ok(emulator),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("the emulator was not started")))
    }

    async fn start_once(venv: &Venv) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("lifeboat-cloud-").tempdir()?;
        let tmp = scratch.path().join("tmp");
        fs::create_dir(&tmp)?;
        let port = PortFinder::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = File::create(log_path(scratch.path()))?;
        let program = scratch.path().join("emulator.py");
        fs::write(&program, PROGRAM)?;
        let mut command = Command::new(venv.program("python"));
        command
            .arg(&program)
            // Function processes inherit this environment, which must not contain the developer's variables.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", scratch.path())
            .env("LANG", "C.UTF-8")
            .env("TMPDIR", &tmp)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            // The address in queue URLs. An IP address also keeps bucket names out of host names.
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("IOT_MTLS_ENABLED", "0")
            // The emulator checks signatures, gives each function the credentials of its own role, and enforces policies.
            .env("AUTH", "true")
            .env("STATE_DIR", scratch.path().join("state"))
            .env("S3_DATA_DIR", scratch.path().join("s3"))
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut group = ProcessGroup::spawn(&mut command, Some(scratch.path()))?;
        let deadline = Instant::now() + READY_WITHIN;
        while !answers(port).await {
            if let Some(status) = group.exit_status() {
                let said = fs::read_to_string(log_path(scratch.path())).unwrap_or_default();
                bail!("the emulator ended with {status} before it answered: {}", said.trim());
            }
            if Instant::now() > deadline {
                bail!("the emulator did not answer within {} s", READY_WITHIN.as_secs());
            }
            sleep(POLL_EVERY).await;
        }
        Ok(Self { group, endpoint: format!("http://127.0.0.1:{port}"), scratch })
    }

    /// Its address: `http://127.0.0.1:PORT`, the endpoint of every service in every region.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The id of its process group.
    pub fn process_group(&self) -> u32 {
        self.group.id()
    }

    /// Its log so far, including the functions' output.
    pub fn log(&self) -> Result<String> {
        let bytes = fs::read(log_path(self.scratch.path())).context("cannot read the emulator's log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The folder of all its files, which is removed with it.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}

fn log_path(scratch: &Path) -> PathBuf {
    scratch.join("emulator.log")
}

/// Whether the health page answers 200.
async fn answers(port: u16) -> bool {
    let Ok(health) = Request::get("/_ministack/health").header(HOST, "127.0.0.1").body(Empty::new()) else {
        return false;
    };
    let answer = timeout(ANSWER_WITHIN, request::send(&format!("127.0.0.1:{port}"), health)).await;
    matches!(answer, Ok(Ok(answer)) if answer.status().as_u16() == 200)
}
