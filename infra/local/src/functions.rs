//! The functions' code as packages: one zip each, with the executable as `bootstrap`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

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
    /// It builds with the dev profile, so that tests, demo and functions share one compilation. It builds once per process,
    /// because cargo checks every source file to find that nothing has changed.
    pub(crate) fn executables(&self, binaries: &[String]) -> Result<BTreeMap<String, PathBuf>> {
        static BUILT: Mutex<Option<BTreeMap<String, PathBuf>>> = Mutex::new(None);
        match self {
            Self::StandIn(executable) => Ok(binaries.iter().map(|name| (name.clone(), executable.clone())).collect()),
            Self::Built => {
                let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
                match &*built {
                    Some(executables) => Ok(executables.clone()),
                    None => Ok(built.insert(build()?).clone()),
                }
            }
        }
    }

    /// A deployment package of one executable. It is not compressed, because it only goes to a process on this machine.
    pub(crate) fn package(&self, executable: &Path) -> Result<Vec<u8>> {
        static PACKAGED: Mutex<BTreeMap<PathBuf, Vec<u8>>> = Mutex::new(BTreeMap::new());
        match self {
            Self::StandIn(_) => archive([("bootstrap", read(executable)?)]),
            Self::Built => {
                let mut packaged = PACKAGED.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(package) = packaged.get(executable) {
                    return Ok(package.clone());
                }
                let package = archive([("bootstrap", stripped(executable)?)])?;
                packaged.insert(executable.to_owned(), package.clone());
                Ok(package)
            }
        }
    }
}

/// Cargo counts the features of dev-dependencies only when it builds a test too. Without a test, `cargo test` would compile twice every
/// crate that depends on such a feature. With a test, the demo would.
const SMALLEST_TEST: [&str; 2] = ["--test", "tidy"];

fn build() -> Result<BTreeMap<String, PathBuf>> {
    let with_test: &[&str] = if is_in_a_test()? { &SMALLEST_TEST } else { &[] };
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--workspace", "--bins", "--message-format=json-render-diagnostics"])
        .args(with_test)
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo could not build the functions: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    // Each line is one JSON message. Messages about executables have a path in `executable`.
    let messages = String::from_utf8_lossy(&output.stdout);
    let executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = message.get("executable")?.as_str()?;
        let name = message.pointer("/target/name")?.as_str()?;
        Some((name.to_owned(), PathBuf::from(path)))
    });
    Ok(executables.collect())
}

/// Cargo runs a test's executable where it compiled it, and a program from the folder above.
fn is_in_a_test() -> Result<bool> {
    let myself = env::current_exe().context("the path of this executable is not known")?;
    Ok(myself.parent().is_some_and(|folder| folder.ends_with("deps")))
}

/// The executable without symbols and debug information. They are half of it, which each cloud would upload, hash and unpack.
fn stripped(executable: &Path) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let lean = folder.path().join("bootstrap");
    let strip = Command::new("strip").arg("-o").arg(&lean).arg(executable).output();
    // A machine without binutils has larger packages.
    match strip {
        Ok(output) if output.status.success() => read(&lean),
        _ => read(executable),
    }
}

fn read(executable: &Path) -> Result<Vec<u8>> {
    fs::read(executable).with_context(|| format!("cannot read `{}`", executable.display()))
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
