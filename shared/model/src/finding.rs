//! Something a check, verify or drill noticed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::identity::Site;

/// One thing that is not as it should be, named so that a person can act on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// Where, for stored objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// The object's key, or the table or schema object.
    pub subject: String,
    /// What was expected and what was there; no row values.
    pub detail: String,
    /// Whether it was put right in the same run: a finding stays a finding.
    #[serde(default)]
    pub healed: bool,
}

impl Finding {
    /// Whether it was not put right, and is more than left over.
    pub fn is_damage(&self) -> bool {
        !self.healed && self.kind != FindingKind::Unlisted
    }
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A listed object is not there.
    Missing,
    /// Its length is not the listed one.
    Size,
    /// Its bytes are not the listed ones.
    Checksum,
    /// It could not be read.
    Unreadable,
    /// The site did not answer for it, or refused: it may be as it was written.
    Unanswered,
    /// The sites contradict each other where one cannot be told to be wrong.
    Disputed,
    /// The audit trail does not go on from here.
    LedgerBroken,
    /// It is there and no manifest lists it.
    Unlisted,
    /// A restored table has another number of rows.
    RowCount,
    /// A restored table has other rows.
    RowDigest,
    /// A schema object is missing after a restore.
    SchemaMissing,
    /// A schema object differs after a restore.
    SchemaDiffers,
    /// A schema object is there after a restore that the source did not have.
    SchemaUnexpected,
    /// A sequence stands elsewhere after a restore.
    SequenceDiffers,
    /// Large objects are missing or differ after a restore.
    LargeObjects,
    /// Settings, grants, owner or comment of the database itself differ after a restore.
    DatabaseDiffers,
    /// A role that a restore created differs.
    RoleDiffers,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Size => "size",
            Self::Checksum => "checksum",
            Self::Unreadable => "unreadable",
            Self::Unanswered => "unanswered",
            Self::Disputed => "disputed",
            Self::LedgerBroken => "ledger-broken",
            Self::Unlisted => "unlisted",
            Self::RowCount => "row-count",
            Self::RowDigest => "row-digest",
            Self::SchemaMissing => "schema-missing",
            Self::SchemaDiffers => "schema-differs",
            Self::SchemaUnexpected => "schema-unexpected",
            Self::SequenceDiffers => "sequence-differs",
            Self::LargeObjects => "large-objects",
            Self::DatabaseDiffers => "database-differs",
            Self::RoleDiffers => "role-differs",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`", self.kind, self.subject)?;
        if let Some(site) = self.site {
            write!(f, " on {site}")?;
        }
        write!(f, ": {}{}", self.detail, if self.healed { " (healed)" } else { "" })
    }
}
