//! The scope and the report of a verification.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::identity::{BackupId, DatabaseName};
use crate::name_error::NameError;

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

impl VerificationScope {
    /// Its kind alone, as events have it.
    pub fn kind(&self) -> ScopeKind {
        match self {
            Self::Backup { .. } => ScopeKind::Backup,
            Self::All => ScopeKind::All,
            Self::Rotation { .. } => ScopeKind::Rotation,
        }
    }

    /// The backup, where it is about one.
    pub fn backup_id(&self) -> Option<&BackupId> {
        match self {
            Self::Backup { backup_id } => Some(backup_id),
            Self::All | Self::Rotation { .. } => None,
        }
    }
}

/// A kind of scope, without what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeKind {
    /// One backup.
    Backup,
    /// Everything.
    All,
    /// A part of everything.
    Rotation,
}

/// `backup <id>`, `all`, `rotation 3 of 30`: two scopes are about the same objects exactly when their texts are equal.
impl fmt::Display for VerificationScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup { backup_id } => write!(f, "backup {backup_id}"),
            Self::All => f.write_str("all"),
            Self::Rotation { day, days } => write!(f, "rotation {day} of {days}"),
        }
    }
}

impl FromStr for VerificationScope {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let scope = match text.split_once(' ') {
            Some(("backup", backup_id)) => backup_id.parse().ok().map(|backup_id| Self::Backup { backup_id }),
            Some(("rotation", part)) => part
                .split_once(" of ")
                .and_then(|(day, days)| Some(Self::Rotation { day: day.parse().ok()?, days: days.parse().ok()? })),
            None if text == "all" => Some(Self::All),
            _ => None,
        };
        let same = scope.filter(|scope| scope.to_string() == text);
        same.ok_or_else(|| NameError::Word { what: "the scope of a verification", text: text.to_owned() })
    }
}

/// The outcome of one verification of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationReport {
    /// The database.
    pub database: DatabaseName,
    /// The scope to read.
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
    /// The findings, at most [`VerificationReport::MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Findings of damage beyond that number.
    #[serde(default)]
    pub more_findings: u64,
}

impl VerificationReport {
    /// A report is a document to be read; a bucket lost whole would otherwise list every object.
    pub const MAX_FINDINGS: usize = 1000;

    /// The damage that was not healed. Objects that no manifest lists are not damage.
    pub fn damage(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_damage())
    }

    /// Whether every object in scope was read and judged, damaged or not. With more damage than a report holds that is not known.
    pub fn is_complete(&self) -> bool {
        self.more_findings == 0 && self.findings.iter().all(|finding| !finding.kind.is_undecided())
    }

    /// Whether no object in scope is damaged.
    pub fn is_sound(&self) -> bool {
        self.more_findings == 0 && self.damage().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_reads_back_from_its_text_and_nothing_else_is_one() {
        let backup_id: BackupId = "2026-11-21T20-49-33Z-k3f9".parse().unwrap();
        for scope in [
            VerificationScope::Backup { backup_id },
            VerificationScope::All,
            VerificationScope::Rotation { day: 0, days: 1 },
            VerificationScope::Rotation { day: u32::MAX, days: 30 },
        ] {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        for text in [
            "",
            "backup",
            "backup x",
            "all ",
            "rotation 3",
            "rotation 03 of 30",
            "rotation 3 of -1",
            "rotation +3 of 30",
        ] {
            assert!(text.parse::<VerificationScope>().is_err(), "{text}");
        }
    }
}
