//! Backups as they are listed: with the sites that have them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::identity::Site;
use crate::manifest::Manifest;

/// A backup and the sites that have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedBackup {
    /// Its manifest, as the site has it that was asked.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// Its presence on each configured site.
    pub sites: BTreeMap<Site, Presence>,
}

/// Whether a site has a backup: its manifest, which gets there after everything that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It has the manifest.
    Complete,
    /// It does not. The off-site: the next backup brings it over. The primary: a verification brings it back.
    Behind,
    /// The site was unavailable.
    Unknown,
}
