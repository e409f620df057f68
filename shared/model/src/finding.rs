//! Something that a check, verification or drill noticed.

mod subject;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::identity::Site;
use crate::names::names;

pub use subject::FindingSubject;

/// One thing that is not as it should be, named so that a person can act on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredFinding", into = "StoredFinding")]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// Where, for stored objects.
    pub site: Option<Site>,
    /// With what.
    pub subject: FindingSubject,
    /// What was expected and what was there; no row values.
    pub detail: String,
    /// Whether it was healed in the same run: a finding stays a finding.
    pub healed: bool,
}

/// A finding as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredFinding {
    kind: FindingKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<Site>,
    subject: String,
    detail: String,
    #[serde(default)]
    healed: bool,
}

impl From<StoredFinding> for Finding {
    fn from(stored: StoredFinding) -> Self {
        let StoredFinding { kind, site, subject, detail, healed } = stored;
        Self { kind, site, subject: FindingSubject::read(kind.is_about_a_restore(), subject), detail, healed }
    }
}

impl From<Finding> for StoredFinding {
    fn from(finding: Finding) -> Self {
        let Finding { kind, site, subject, detail, healed } = finding;
        Self { kind, site, subject: subject.to_string(), detail, healed }
    }
}

impl Finding {
    /// The name under which a person may accept it as damage: its subject, and with the detail where that subject is many things. `None` for
    /// what was not judged, which may be as it was written.
    pub fn object(&self) -> Option<String> {
        let Self { kind, subject, detail, .. } = self;
        let is_coarse = match subject {
            FindingSubject::RestOfScope => return None,
            _ if kind.is_undecided() => return None,
            FindingSubject::Object(key) => key.ends_with('/'),
            FindingSubject::Chunk(_) => false,
            FindingSubject::Restored(_) => {
                use FindingKind::{DatabaseDiffers, LargeObjects, RoleDiffers, SequenceDiffers};
                matches!(kind, DatabaseDiffers | LargeObjects | RoleDiffers | SequenceDiffers)
            }
        };
        Some(if is_coarse { format!("{subject}: {detail}") } else { subject.to_string() })
    }

    /// Whether it was not healed, and stored bytes are lost or altered. What is left over is no damage, and a misdated backup is intact: it has
    /// an incident of its own.
    pub fn is_damage(&self) -> bool {
        !self.healed && !matches!(self.kind, FindingKind::Unlisted | FindingKind::Misdated)
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
    /// A newer version of Lifeboat wrote it, and this one cannot judge it.
    NewerFormat,
    /// The sites contradict each other where one cannot be told to be wrong.
    Disputed,
    /// The audit trail does not go on from here.
    LedgerBroken,
    /// A backup that claims to have begun in the future. It counts as absent.
    Misdated,
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
    /// A restore set an object aside, which the server refused as it was, and no comparison shows it.
    SetAside,
}

names!(FindingKind, "a kind of finding", [
    Missing => "missing", Size => "size", Checksum => "checksum", Unreadable => "unreadable",
    Unanswered => "unanswered", NewerFormat => "newer-format", Disputed => "disputed", LedgerBroken => "ledger-broken", Misdated => "misdated",
    Unlisted => "unlisted",
    RowCount => "row-count", RowDigest => "row-digest", SchemaMissing => "schema-missing",
    SchemaDiffers => "schema-differs", SchemaUnexpected => "schema-unexpected",
    SequenceDiffers => "sequence-differs", LargeObjects => "large-objects", DatabaseDiffers => "database-differs",
    RoleDiffers => "role-differs", SetAside => "set-aside",
]);

impl FindingKind {
    /// Whether the object may be as it was written, and was not judged: a site did not answer, or its format is newer.
    pub fn is_undecided(self) -> bool {
        matches!(self, Self::Unanswered | Self::NewerFormat)
    }

    /// Whether it compares a restored database with its backup, and is not about a stored object.
    fn is_about_a_restore(self) -> bool {
        match self {
            Self::Missing
            | Self::Size
            | Self::Checksum
            | Self::Unreadable
            | Self::Unanswered
            | Self::NewerFormat
            | Self::Disputed
            | Self::LedgerBroken
            | Self::Misdated
            | Self::Unlisted => false,
            Self::RowCount
            | Self::RowDigest
            | Self::SchemaMissing
            | Self::SchemaDiffers
            | Self::SchemaUnexpected
            | Self::SequenceDiffers
            | Self::LargeObjects
            | Self::DatabaseDiffers
            | Self::RoleDiffers
            | Self::SetAside => true,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkAddress;
    use crate::digest::ChunkId;
    use crate::identity::EpochNumber;

    #[test]
    fn a_finding_of_every_kind_reads_back_as_it_was_stored() {
        let chunk = ChunkAddress { epoch: EpochNumber(1), id: ChunkId([0xab; 32]) };
        let texts =
            [chunk.to_string(), "ledger/".to_owned(), "ledger/000000000042.json".to_owned(), "public.t".to_owned()];
        for kind in FindingKind::ALL {
            for text in &texts {
                let subject = FindingSubject::read(kind.is_about_a_restore(), text.clone());
                let finding = Finding { kind: *kind, site: None, subject, detail: "d".to_owned(), healed: false };
                let json = serde_json::to_string(&finding).unwrap();
                assert_eq!(json, format!(r#"{{"kind":"{kind}","subject":"{text}","detail":"d","healed":false}}"#));
                assert_eq!(serde_json::from_str::<Finding>(&json).unwrap(), finding);
            }
        }
    }

    #[test]
    fn what_was_not_judged_cannot_be_accepted_and_what_is_many_things_only_with_its_detail() {
        let object = |kind: FindingKind, subject: FindingSubject| {
            Finding { kind, site: None, subject, detail: "3 of 9 differ".to_owned(), healed: false }.object()
        };
        let stored = || FindingSubject::stored("backups/clinic/a/manifest.json");
        let restored = |name: &str| FindingSubject::Restored(name.to_owned());
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(object(FindingKind::Missing, stored()), text("backups/clinic/a/manifest.json"));
        assert_eq!(object(FindingKind::Unanswered, stored()), None);
        assert_eq!(object(FindingKind::NewerFormat, stored()), None);
        assert_eq!(object(FindingKind::Unanswered, FindingSubject::RestOfScope), None);
        let trail = object(FindingKind::LedgerBroken, FindingSubject::stored("ledger/"));
        assert_eq!(trail, text("ledger/: 3 of 9 differ"));
        assert_eq!(object(FindingKind::RowCount, restored("public.t")), text("public.t"));
        assert_eq!(object(FindingKind::SequenceDiffers, restored("sequences")), text("sequences: 3 of 9 differ"));
        assert_eq!(object(FindingKind::DatabaseDiffers, restored("database")), text("database: 3 of 9 differ"));
    }

    #[test]
    fn only_the_key_of_a_chunk_is_a_chunk_and_a_table_that_is_called_so_is_none() {
        let chunk = ChunkAddress { epoch: EpochNumber(12), id: ChunkId([0xab; 32]) };
        let key = chunk.to_string();
        assert_eq!(key, format!("chunks/0012/ab/{}", "ab".repeat(32)));
        assert_eq!(FindingSubject::stored(key.clone()), FindingSubject::Chunk(chunk));
        let restored = FindingSubject::read(FindingKind::RowCount.is_about_a_restore(), key.clone());
        assert_eq!(restored, FindingSubject::Restored(key.clone()));
        for other in [key.replace("/ab/", "/cd/"), key.replace("0012", "12"), key.to_uppercase(), format!("{key}/")] {
            assert!(matches!(FindingSubject::stored(other), FindingSubject::Object(_)));
        }
    }
}
