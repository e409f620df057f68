//! Names of things: each is checked once, where it enters, and then carried as a type.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name_error::NameError;
use crate::names::names;

/// The name of one database in the repository: `clinic`. Its name on the server may differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseName(String);

impl DatabaseName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let alphabet = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if starts_well && text.len() <= 63 && text.chars().all(alphabet) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Database(text.to_owned()))
        }
    }
}

/// Names one backup: `2026-11-21T20-49-33Z-k3f9`, the UTC second it began and four random characters. Ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

impl BackupId {
    /// The id of a backup that begins at `at`; `random` distinguishes two of the same second.
    pub fn new(at: Timestamp, random: u32) -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let time = at.strftime("%Y-%m-%dT%H-%M-%SZ");
        let letter = |i: u32| ALPHABET.get((random >> (5 * i)) as usize & 31).copied().unwrap_or(b'a') as char;
        Self(format!("{time}-{}{}{}{}", letter(0), letter(1), letter(2), letter(3)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The second in which the backup began.
    pub fn began_at(&self) -> Option<Timestamp> {
        let time = self.0.get(..20)?;
        jiff::civil::DateTime::strptime("%Y-%m-%dT%H-%M-%SZ", time)
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|z| z.timestamp())
    }
}

impl FromStr for BackupId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let candidate = Self(text.to_owned());
        let suffix_is_plain = text
            .strip_prefix(text.get(..21).unwrap_or(text))
            .is_some_and(|s| s.len() == 4 && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
        let has_separator = text.as_bytes().get(20) == Some(&b'-');
        if suffix_is_plain && has_separator && candidate.began_at().is_some() {
            Ok(candidate)
        } else {
            Err(NameError::Backup(text.to_owned()))
        }
    }
}

macro_rules! text_name {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}
text_name!(DatabaseName);
text_name!(BackupId);

/// Counts the repository's epochs from 1; shown with four digits, as in `chunks/0001/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EpochNumber(pub u32);

impl fmt::Display for EpochNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

/// One bucket, its region and its key. Each site restores alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Site {
    /// Where backups are written first.
    Primary,
    /// The copy in another region.
    Offsite,
}

impl Site {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Primary => Self::Offsite,
            Self::Offsite => Self::Primary,
        }
    }
}

names!(Site, "a site: `primary` or `offsite`", [Primary => "primary", Offsite => "offsite"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_id_holds_its_start_time_and_reads_back() {
        let at: Timestamp = "2026-11-21T20:49:33.7Z".parse().unwrap();
        let id = BackupId::new(at, 0xdead_beef);
        assert!(id.as_str().starts_with("2026-11-21T20-49-33Z-"));
        assert_eq!(id.as_str().parse::<BackupId>().unwrap(), id);
        assert_eq!(id.began_at().unwrap().as_second(), at.as_second());
    }

    #[test]
    fn ids_sort_by_time() {
        let early = BackupId::new("2026-11-21T20:49:33Z".parse().unwrap(), u32::MAX);
        let late = BackupId::new("2026-11-21T20:49:34Z".parse().unwrap(), 0);
        assert!(early < late);
    }

    #[test]
    fn a_backup_id_with_a_path_in_it_is_refused() {
        for text in ["", "2026-11-21T20-49-33Z", "2026-11-21T20-49-33Z-../", "2026-13-21T20-49-33Z-aaaa", "x", "é-2026"]
        {
            assert!(text.parse::<BackupId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_database_name_that_could_leave_its_folder_is_refused() {
        for text in ["", "-a", "a/b", "..", "A", "a b", "é", &"a".repeat(64)] {
            assert!(text.parse::<DatabaseName>().is_err(), "{text}");
        }
        assert!("clinic-2_eu".parse::<DatabaseName>().is_ok());
    }
}
