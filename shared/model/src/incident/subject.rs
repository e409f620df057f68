//! The subject of an incident, and the part of it that is wrong.

use std::cmp::Ordering;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::identity::{BackupId, DatabaseName, Site};
use crate::name_error::NameError;
use crate::names::names;
use crate::verification::VerificationScope;

/// The subject of an incident. Its text is the last part of the incident's name and of its key in the repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IncidentSubject {
    /// All of the repository.
    Repository,
    /// A request that named no database, or one that is not configured.
    Unnamed,
    /// A site.
    Site(Site),
    /// A database.
    Database(DatabaseName),
}

/// Reserved subjects. The text of a database with such a name begins with [`ESCAPE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reserved {
    Repository,
    Unnamed,
    Primary,
    Offsite,
}

names!(Reserved, "a reserved subject", [
    Repository => "repository", Unnamed => "unnamed", Primary => "primary", Offsite => "offsite",
]);

/// No database name begins with it.
const ESCAPE: char = '_';

impl fmt::Display for IncidentSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository => Reserved::Repository.fmt(f),
            Self::Unnamed => Reserved::Unnamed.fmt(f),
            Self::Site(site) => site.fmt(f),
            Self::Database(name) if name.as_str().parse::<Reserved>().is_ok() => write!(f, "{ESCAPE}{name}"),
            Self::Database(name) => name.fmt(f),
        }
    }
}

impl FromStr for IncidentSubject {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Ok(reserved) = text.parse() {
            return Ok(match reserved {
                Reserved::Repository => Self::Repository,
                Reserved::Unnamed => Self::Unnamed,
                Reserved::Primary => Self::Site(Site::Primary),
                Reserved::Offsite => Self::Site(Site::Offsite),
            });
        }
        let subject = Self::Database(text.strip_prefix(ESCAPE).unwrap_or(text).parse()?);
        // Each subject has one text, so `_clinic` is invalid.
        if subject.to_string() == text { Ok(subject) } else { Err(NameError::Database(text.to_owned())) }
    }
}

impl From<&DatabaseName> for IncidentSubject {
    fn from(name: &DatabaseName) -> Self {
        Self::Database(name.clone())
    }
}

impl From<Site> for IncidentSubject {
    fn from(site: Site) -> Self {
        Self::Site(site)
    }
}

/// A part of a subject. Only a check of that part can resolve it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Part {
    /// The objects on this site.
    Site(Site),
    /// The objects that a verification of this scope reads.
    Scope(VerificationScope),
    /// One backup on a site: a drill of another one says nothing of it.
    Backup(Site, BackupId),
    /// The audit trail from this entry on.
    Entries(u64),
    /// All parts.
    Everything,
}

/// The text of [`Part::Everything`]; a part that this version does not know counts as that.
const EVERYTHING: &str = "everything";

/// The text of [`Part::Entries`] before the number.
const ENTRIES: &str = "entries from ";

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(site) => site.fmt(f),
            Self::Scope(scope) => scope.fmt(f),
            Self::Backup(site, backup_id) => write!(f, "{site} {backup_id}"),
            Self::Entries(first) => write!(f, "{ENTRIES}{first}"),
            Self::Everything => f.write_str(EVERYTHING),
        }
    }
}

impl FromStr for Part {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let site = text.parse().ok().map(Self::Site);
        let part = site.or_else(|| text.parse().ok().map(Self::Scope));
        let backup = || {
            let (site, backup_id) = text.split_once(' ')?;
            Some(Self::Backup(site.parse().ok()?, backup_id.parse().ok()?))
        };
        let entries = || text.strip_prefix(ENTRIES)?.parse().ok().map(Self::Entries);
        Ok(part.or_else(backup).or_else(entries).unwrap_or(Self::Everything))
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        text.parse().unwrap_or(Self::Everything)
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        part.to_string()
    }
}

/// By their texts: documents list them in that order.
impl Ord for Part {
    fn cmp(&self, other: &Self) -> Ordering {
        self.to_string().cmp(&other.to_string())
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_with_a_reserved_name_has_separate_incidents() {
        for text in ["repository", "unnamed", "primary", "offsite"] {
            let reserved: IncidentSubject = text.parse().unwrap();
            let database = IncidentSubject::Database(text.parse().unwrap());
            assert_ne!(reserved, database);
            assert_ne!(reserved.to_string(), database.to_string());
            for subject in [reserved, database] {
                assert_eq!(subject.to_string().parse(), Ok(subject));
            }
        }
    }

    #[test]
    fn a_subject_has_one_text_and_a_text_one_subject() {
        let longest = "a".repeat(63);
        for name in ["clinic", "clinic-2_eu", "repository-2", "primary_", &longest] {
            let subject = IncidentSubject::Database(name.parse().unwrap());
            assert_eq!(subject.to_string(), name);
            assert_eq!(name.parse(), Ok(subject));
        }
        for text in ["", "_", "_clinic", "__primary", "Primary", "a/b", "../a"] {
            assert!(text.parse::<IncidentSubject>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_part_reads_back_from_its_text_and_an_unknown_one_is_everything() {
        let scope = VerificationScope::Rotation { day: 3, days: 30 };
        let backup = Part::Backup(Site::Offsite, "2026-11-21T20-49-33Z-k3f9".parse().unwrap());
        for part in [Part::Site(Site::Offsite), Part::Scope(scope), backup, Part::Entries(42), Part::Everything] {
            assert_eq!(Part::from(String::from(part.clone())), part);
        }
        assert_eq!(Part::from("a part of a newer version".to_owned()), Part::Everything);
    }
}
