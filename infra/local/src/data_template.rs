//! The data directory of a new server. `initdb` makes it once for each PostgreSQL, and each server gets a copy.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// A data directory below cargo's target folder. It is always complete, because a rename puts it there.
#[derive(Debug)]
pub(crate) struct DataTemplate {
    folder: PathBuf,
}

impl DataTemplate {
    /// The template of this `initdb`, called with these arguments by this user id. Each `family` has a template of its own, and so another
    /// system identifier.
    pub(crate) fn of(initdb: &Path, arguments: &[&str], uid: u32, family: &str) -> Result<Self> {
        let version = Command::new(initdb).arg("--version").output().context("initdb did not start")?;
        // Another compiler may hash differently. The template is then made again.
        let mut hasher = DefaultHasher::new();
        (initdb, version.stdout, arguments, uid).hash(&mut hasher);
        let name = format!("{:016x}{family}", hasher.finish());
        let folder = workspace::target_dir().join("postgres").join(name);
        Ok(Self { folder })
    }

    /// Fills `data_dir` with a copy of the template. When there is no template yet, `make` fills `data_dir`, which becomes the template.
    pub(crate) fn copy_to(&self, data_dir: &Path, make: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.folder.exists() {
            return copy(&self.folder, data_dir);
        }
        make()?;
        let shelf = self.folder.parent().context("the target folder has no parent")?;
        fs::create_dir_all(shelf).with_context(|| format!("cannot create `{}`", shelf.display()))?;
        let draft = tempfile::Builder::new().prefix("draft-").tempdir_in(shelf)?;
        let whole = draft.path().join("data");
        copy(data_dir, &whole)?;
        if let Err(error) = fs::rename(&whole, &self.folder)
            && !self.folder.exists()
        {
            return Err(error).with_context(|| format!("cannot create `{}`", self.folder.display()));
        }
        Ok(())
    }
}

/// Copies a folder with its owners and permissions, which PostgreSQL requires.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let output = Command::new("cp").arg("-a").arg(from).arg(to).stdin(Stdio::null()).output().context("no `cp`")?;
    if !output.status.success() {
        bail!("cannot copy `{}`: {}", from.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_made_once_and_copied_after_that() {
        let folder = tempfile::tempdir().unwrap();
        let template = DataTemplate { folder: folder.path().join("shelf/template") };
        let mut made = 0;
        for name in ["one", "two"] {
            let data_dir = folder.path().join(name);
            let make = || {
                made += 1;
                fs::create_dir(&data_dir)?;
                Ok(fs::write(data_dir.join("PG_VERSION"), "15\n")?)
            };
            template.copy_to(&data_dir, make).unwrap();
            assert_eq!(fs::read_to_string(data_dir.join("PG_VERSION")).unwrap(), "15\n");
        }
        assert_eq!(made, 1);
        assert_eq!(fs::read_dir(folder.path().join("shelf")).unwrap().count(), 1, "a draft is left");
    }

    #[test]
    fn a_data_directory_that_cannot_be_made_leaves_no_template() {
        let folder = tempfile::tempdir().unwrap();
        let template = DataTemplate { folder: folder.path().join("shelf/template") };
        assert!(template.copy_to(&folder.path().join("data"), || bail!("no space")).is_err());
        assert!(!template.folder.exists());
    }
}
