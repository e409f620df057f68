//! What a `verify` run looked at and what it found.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::identity::{BackupId, DatabaseName};

/// Which objects a verification reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "kebab-case")]
pub enum VerificationScope {
    /// The chunks that this backup added, its manifest and chunk list, and `repository.json`, which proves them.
    Backup {
        /// The backup.
        backup_id: BackupId,
    },
    /// Every object of every backup.
    All,
    /// The `day`-th of `days` equal parts of all objects, so that `days` such runs read everything.
    Rotation {
        /// From 0.
        day: u32,
        /// At least 1.
        days: u32,
    },
}

/// The outcome of one verification of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationReport {
    /// The database.
    pub database: DatabaseName,
    /// What was to be read.
    #[serde(flatten)]
    pub scope: VerificationScope,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Backups whose lists were followed.
    pub backups: u64,
    /// Objects read, counted per site.
    pub objects: u64,
    /// Their bytes.
    pub read_bytes: u64,
    /// What was found, at most [`VerificationReport::MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Findings of damage beyond that number.
    #[serde(default)]
    pub more_findings: u64,
}

impl VerificationReport {
    /// A report is a document to be read; a bucket lost whole would otherwise list every object.
    pub const MAX_FINDINGS: usize = 1000;

    /// What is wrong and was not put right. Objects that no manifest lists are not damage.
    pub fn damage(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_damage())
    }

    /// Whether nothing is damaged, as far as was looked.
    pub fn is_sound(&self) -> bool {
        self.more_findings == 0 && self.damage().next().is_none()
    }
}
