//! Debian packages that the local cloud and the tests need. They are installed if permitted, and otherwise named in one line.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// The file in which Debian's scripts read whether to create and start a system server.
const CLUSTER_CONFIGURATION: &str = "/etc/postgresql-common/createcluster.conf";

/// Installs a package, as root on a machine with apt. Test processes take turns.
///
/// # Errors
/// One line that names the package, when it may not be installed or is unavailable.
pub fn install(package: &str) -> Result<()> {
    let has_apt = Command::new("apt-get").arg("--version").output().is_ok();
    if !rustix::process::geteuid().is_root() || !has_apt {
        bail!("the Debian package `{package}` is needed: run `sudo apt-get install {package}`");
    }
    fs::create_dir_all(workspace::target_dir())?;
    let turn = File::create(workspace::target_dir().join("apt.lock"))?;
    turn.lock().context("cannot wait for another installation")?;
    apt(&["update", "-qq"])?;
    if package.starts_with("postgresql") {
        apt(&["install", "-y", "-qq", "--no-install-recommends", "postgresql-common"])?;
        create_no_cluster()?;
    }
    apt(&["install", "-y", "-qq", "--no-install-recommends", package])
        .with_context(|| format!("the Debian package `{package}` is needed and could not be installed"))
}

/// Keeps the package from starting a server on port 5432 that nothing would stop.
fn create_no_cluster() -> Result<()> {
    let path = Path::new(CLUSTER_CONFIGURATION);
    let text = fs::read_to_string(path).unwrap_or_default();
    if text.lines().any(|line| line.trim_start().starts_with("create_main_cluster")) {
        return Ok(());
    }
    fs::write(path, format!("{text}\ncreate_main_cluster = false\n"))
        .with_context(|| format!("cannot write `{CLUSTER_CONFIGURATION}`"))
}

/// Its output is captured, because a program may read the demo's output.
fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    // In single-user mode the packages' scripts start no services.
    command.env("RUNLEVEL", "1");
    let output = command.output().context("apt-get did not start")?;
    if !output.status.success() {
        bail!("apt-get {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
