//! Listed backups, with the sites that have them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::identity::Site;
use crate::manifest::Manifest;

/// A backup and the sites that have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedBackup {
    /// Its manifest, as the listed site has it.
    #[serde(flatten)]
    pub manifest: Manifest,
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
