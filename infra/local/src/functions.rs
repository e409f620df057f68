//! The functions' code as packages: one zip each, with the executable as `bootstrap`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::workspace;

/// The executables for the binaries that the template names.
#[derive(Debug, Clone)]
pub enum Functions {
    /// The workspace's own, built by cargo.
    Built,
    /// This executable for all binaries, for tests of the local cloud itself.
    StandIn(PathBuf),
}

impl Functions {
    /// The executables of these binaries, and of all others of the workspace if they belong to it. Builds them first, and blocks until
    /// cargo is done.
    ///
    /// It builds with the dev profile, so that tests, demo and functions share one compilation.
    pub(crate) fn executables(&self, binaries: &[String]) -> Result<BTreeMap<String, PathBuf>> {
        match self {
            Self::StandIn(executable) => Ok(binaries.iter().map(|name| (name.clone(), executable.clone())).collect()),
            Self::Built => build(),
        }
    }
}

fn build() -> Result<BTreeMap<String, PathBuf>> {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--workspace", "--bins", "--message-format=json-render-diagnostics"])
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo could not build the functions: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    // One JSON message a line; those about executables have a path in `executable`.
    let messages = String::from_utf8_lossy(&output.stdout);
    let executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = message.get("executable")?.as_str()?;
        let name = message.pointer("/target/name")?.as_str()?;
        Some((name.to_owned(), PathBuf::from(path)))
    });
    Ok(executables.collect())
}

/// A deployment package of one executable. It is not compressed, because it only goes to a process on this machine.
pub(crate) fn package(executable: &Path) -> Result<Vec<u8>> {
    let code = fs::read(executable).with_context(|| format!("cannot read `{}`", executable.display()))?;
    archive([("bootstrap", code)])
}

/// A zip of executable files.
pub(crate) fn archive<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Result<Vec<u8>> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(0o755);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(name, options)?;
        zip.write_all(&content)?;
    }
    Ok(zip.finish()?.into_inner())
}
