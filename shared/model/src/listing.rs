//! Listed backups, with the sites that have them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::identity::{BackupId, DatabaseName, Site};
use crate::manifest::Manifest;

/// The most backups on a page, unless more are asked for. Each costs one request.
pub const PAGE_BACKUPS: u32 = 100;

/// A part of the list of a database's backups.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupPage {
    /// The database.
    pub database: DatabaseName,
    /// Its backups, oldest first.
    pub backups: Vec<ListedBackup>,
    /// Whether there are older ones.
    pub more: bool,
}

/// One entry of such a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ListedBackup {
    /// A backup.
    Usable(Box<ShownBackup>),
    /// Something under a backup's key that is no usable backup.
    Unusable(UnusableBackup),
}

impl ListedBackup {
    /// Its id.
    pub fn backup_id(&self) -> &BackupId {
        match self {
            Self::Usable(backup) => &backup.manifest.backup_id,
            Self::Unusable(backup) => &backup.backup_id,
        }
    }
}

/// A backup and the sites that have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownBackup {
    /// Its manifest, as the listed site has it.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// Its presence on each configured site.
    pub sites: BTreeMap<Site, Presence>,
}

/// A backup whose manifest cannot be read, or that is dated in the future.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnusableBackup {
    /// Its id, from its key.
    pub backup_id: BackupId,
    /// The database.
    pub database: DatabaseName,
    /// What is wrong, in one sentence.
    pub unusable: String,
    /// What to do.
    pub hint: String,
    /// Its presence on each configured site.
    pub sites: BTreeMap<Site, Presence>,
}

/// Whether a site has a backup. The manifest is stored after everything that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It has the manifest.
    Complete,
    /// It does not have the manifest. The next backup copies it to the off-site; a verification restores it on the primary.
    Behind,
    /// The site was unavailable.
    Unknown,
}
