//! A fast S3 for benchmarks, whose objects are files. With the emulator, a Python process, the benchmark would measure the emulator.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process_group::ProcessGroup;
use crate::workspace;

/// The newest version that the workspace's compiler builds.
const VERSION: &str = "0.14.1";

/// It listens at once. A busy machine may need longer.
const READY_WITHIN: Duration = Duration::from_secs(30);

const POLL_EVERY: Duration = Duration::from_millis(20);

/// A running `s3s-fs`, whose buckets are folders. It stops when this value is dropped.
#[derive(Debug)]
pub struct FastS3 {
    // This is dropped first, because no process may still write when its folder is removed.
    _group: ProcessGroup,
    endpoint: String,
    folder: PathBuf,
}

impl FastS3 {
    /// Starts one with its buckets below `folder`. The first start on a machine compiles the program, which takes some minutes.
    pub fn start(folder: &Path) -> Result<Self> {
        let program = installed()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = File::create(folder.with_extension("log"))?;
        fs::create_dir_all(folder)?;
        let mut command = Command::new(program);
        command
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--access-key", "test", "--secret-key", "test"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let group = ProcessGroup::spawn(&mut command, None)?;
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                bail!("the fast S3 did not answer within {} s", READY_WITHIN.as_secs());
            }
            std::thread::sleep(POLL_EVERY);
        }
        Ok(Self { _group: group, endpoint: format!("http://127.0.0.1:{port}"), folder: folder.to_owned() })
    }

    /// Its address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The folder whose files are the bucket's objects. Creates it if it is missing.
    pub fn bucket(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// The program below cargo's target folder. Compiles it if it is missing.
fn installed() -> Result<PathBuf> {
    let shelf = workspace::target_dir().join("s3s-fs");
    let program = shelf.join("bin/s3s-fs");
    if program.exists() {
        return Ok(program);
    }
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["install", "--quiet", "--locked", "--features", "binary", "--version", VERSION, "s3s-fs", "--root"])
        .arg(&shelf)
        .arg("--target-dir")
        .arg(shelf.join("target"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("cargo could not install `s3s-fs` {VERSION}");
    }
    // The build files are not needed any longer.
    let _ = fs::remove_dir_all(shelf.join("target"));
    Ok(program)
}
