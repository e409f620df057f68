//! The layer with the PostgreSQL client programs, built and mounted as far as this machine can: without Docker and without the packages
//! of Amazon Linux. The real Makefile and script run, in a file system that claims to be the build image; its `dnf` brings the
//! programs of an installation of this machine.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::installation::Installation;
use crate::workspace;

/// What the build image says of itself.
const OS_RELEASE: &str = "CPE_NAME=\"cpe:2.3:o:amazon:amazon_linux:2023\"\n";

/// Where Lambda puts a layer.
const MOUNT_POINT: &str = "/opt";

/// A built layer.
#[derive(Debug)]
pub struct ClientLayer {
    folder: PathBuf,
    /// The packages that the build asked for.
    pub packages: String,
}

impl ClientLayer {
    /// Builds the layer by the Makefile's target into `folder`, for this machine's architecture, with the programs of `installation`.
    ///
    /// # Errors
    /// The output of the build that failed; this machine lets nobody mount.
    pub fn build(installation: &Installation, folder: &Path) -> Result<Self> {
        if Command::new("make").arg("--version").output().is_err() {
            debian::install("make")?;
        }
        let (image, layer) = (folder.join("image"), folder.join("layer"));
        fs::create_dir_all(&image)?;
        let asked_for = image.join("asked-for");
        let brought = image.join("programs");
        symlink(&installation.bin_dir, &brought)?;
        let dnf = image.join("dnf");
        fs::write(&dnf, format!("#!/bin/sh\necho \"$*\" >>'{}'\n", asked_for.display()))?;
        fs::set_permissions(&dnf, Permissions::from_mode(0o755))?;
        let os_release = image.join("os-release");
        fs::write(&os_release, OS_RELEASE)?;
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{}:{path}", image.display(), brought.display());
        let make = format!(
            "mount --bind '{}' /etc/os-release && exec make -C '{}' build-PostgresClient ARTIFACTS_DIR='{}' ARCHITECTURE={}",
            os_release.display(),
            workspace::root().join("infra/postgres-client").display(),
            layer.display(),
            if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" },
        );
        let built =
            apart(Command::new("unshare"), &make).env("PATH", path).output().context("cannot start `unshare`")?;
        if !built.status.success() {
            bail!("the layer was not built: {}", said(&built));
        }
        Ok(Self { folder: layer, packages: fs::read_to_string(asked_for)? })
    }

    /// Runs a shell script where the layer is mounted as Lambda mounts it, with the environment that Lambda gives, and returns its standard
    /// output.
    ///
    /// # Errors
    /// All that it wrote, when it failed.
    pub fn run(&self, script: &str) -> Result<String> {
        let mounted = format!("mount --bind '{}' {MOUNT_POINT} && {script}", self.folder.display());
        let mut command = apart(Command::new("unshare"), &mounted);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin:/opt/bin").env("LD_LIBRARY_PATH", "/opt/lib");
        let ran = command.output().context("cannot start `unshare`")?;
        if !ran.status.success() {
            bail!("`{script}` failed: {}", said(&ran));
        }
        Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
    }
}

/// A shell script whose mounts are seen by itself alone. It needs no root: it is root of its own namespace.
fn apart(mut command: Command, script: &str) -> Command {
    command.args(["--map-root-user", "--mount", "sh", "-euc", script]).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).trim().to_owned()
}
