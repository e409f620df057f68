//! A separate Python environment for each tool, with pinned and hash-checked packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::workspace;

/// The file that marks a complete environment. It has the text of the lock and is written last.
const INSTALLED: &str = "installed.txt";

/// A tool's name and its lock: every package with its version and hashes, in the format of pip's `--require-hashes`.
#[derive(Debug, Clone, Copy)]
pub struct Requirements {
    /// Names the environment's folder.
    pub name: &'static str,
    /// The lock's text.
    pub lock: &'static str,
}

/// The emulator and the translator of SAM templates it uses.
pub const EMULATOR: Requirements =
    Requirements { name: "emulator", lock: include_str!("../requirements/emulator.txt") };

/// cfn-lint.
pub const LINT: Requirements = Requirements { name: "lint", lock: include_str!("../requirements/lint.txt") };

/// checkov.
pub const CHECKOV: Requirements = Requirements { name: "checkov", lock: include_str!("../requirements/checkov.txt") };

/// The stock AWS Encryption SDK for Python and the AWS clients, as `docs/format/without-lifeboat.md` says to install them.
pub const STOCK: Requirements = Requirements { name: "stock", lock: include_str!("../requirements/stock.txt") };

/// The Prometheus project's parser of metrics.
pub const PROMETHEUS: Requirements =
    Requirements { name: "prometheus", lock: include_str!("../requirements/prometheus.txt") };

/// A Python virtual environment with exactly the packages of its lock.
#[derive(Debug, Clone)]
pub struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// Finds or builds the environment of `requirements` below cargo's target folder. Rebuilds it when the lock changed.
    ///
    /// Several processes may call it at once: one builds, and the others wait. Building blocks for about 15 s.
    pub fn ensure(requirements: Requirements) -> Result<Self> {
        let shelf = workspace::target_dir().join("venv");
        Self::ensure_in(&shelf, requirements)
    }

    fn ensure_in(shelf: &Path, Requirements { name, lock }: Requirements) -> Result<Self> {
        fs::create_dir_all(shelf).with_context(|| format!("cannot create `{}`", shelf.display()))?;
        let folder = shelf.join(name);
        let guard = File::create(shelf.join(format!("{name}.lock")))?;
        guard.lock().with_context(|| format!("cannot lock the environment `{name}`"))?;
        let installed = folder.join(INSTALLED);
        if fs::read_to_string(&installed).is_ok_and(|text| text == lock) {
            return Ok(Self { folder });
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
        }
        create(&folder)?;
        let list = folder.join("requirements.txt");
        fs::write(&list, lock)?;
        let venv = Self { folder };
        run(Command::new(venv.program("python"))
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-compile"])
            .args(["--require-hashes", "--requirement"])
            .arg(&list))
        .with_context(|| format!("cannot install the Python packages of `{name}`"))?;
        fs::write(&installed, lock)?;
        Ok(venv)
    }

    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// The folder of one of its packages.
    pub fn package(&self, name: &str) -> Result<PathBuf> {
        let libraries = self.folder.join("lib");
        let pythons = fs::read_dir(&libraries).with_context(|| format!("cannot read `{}`", libraries.display()))?;
        let found = pythons.flatten().map(|python| python.path().join("site-packages").join(name));
        found.into_iter().find(|folder| folder.is_dir()).with_context(|| format!("there is no package `{name}`"))
    }
}

/// Creates an empty environment. Installs `python3-venv` first if Debian left it out and this process is permitted to.
fn create(folder: &Path) -> Result<()> {
    let make = || run(Command::new("python3").args(["-m", "venv"]).arg(folder));
    let Err(error) = make() else { return Ok(()) };
    debian::install("python3-venv").with_context(|| format!("{error:#}"))?;
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    make()
}

/// Runs a command to its end. When it fails, the error has its output.
fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{program}`"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("`{program}` ended with {}: {}", output.status, String::from_utf8_lossy(&said).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_built_once_and_again_when_its_lock_changes() {
        let shelf = tempfile::tempdir().unwrap();
        let empty = Requirements { name: "empty", lock: "# nothing\n" };
        let venv = Venv::ensure_in(shelf.path(), empty).unwrap();
        let trace = venv.folder.join("trace");
        fs::write(&trace, "").unwrap();
        Venv::ensure_in(shelf.path(), empty).unwrap();
        assert!(trace.exists(), "an unchanged lock must not build again");
        Venv::ensure_in(shelf.path(), Requirements { lock: "# nothing else\n", ..empty }).unwrap();
        assert!(!trace.exists(), "a changed lock must build again");
    }

    #[test]
    fn a_package_whose_hash_differs_is_refused() {
        let shelf = tempfile::tempdir().unwrap();
        let forged = Requirements {
            name: "forged",
            lock: "six==1.17.0 --hash=sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
        };
        let error = format!("{:#}", Venv::ensure_in(shelf.path(), forged).unwrap_err());
        assert!(error.contains("DO NOT MATCH THE HASHES"), "{error}");
        assert!(!shelf.path().join("forged").join(INSTALLED).exists());
    }

    #[test]
    fn locks_pin_every_package_by_hash_and_name_no_host() {
        for Requirements { name, lock } in [EMULATOR, LINT, CHECKOV, STOCK, PROMETHEUS] {
            let packages = lock.lines().filter(|line| line.contains("==")).count();
            assert!(packages > 0 && lock.matches("--hash=sha256:").count() >= packages, "{name}");
            assert!(!lock.contains("://") && !lock.contains("--index") && !lock.contains("--find-links"), "{name}");
        }
    }
}
