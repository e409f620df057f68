//! Names of things: each is checked once, where it enters, and then carried as a type.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
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

/// The second in a backup's id.
const SECOND: &str = "%Y-%m-%dT%H-%M-%SZ";

/// How far in the future a backup may have begun, because the clocks of its writer and its reader differ: as long as a function runs.
pub(crate) const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(15);

/// Names one backup: `2026-11-21T20-49-33Z-k3f9`, the UTC second it began and four random characters. Ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

impl BackupId {
    /// The id of a backup that begins at `at`; `random` distinguishes two of the same second.
    pub fn new(at: Timestamp, random: u32) -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let time = at.strftime(SECOND);
        let letter = |i: u32| ALPHABET.get((random >> (5 * i)) as usize & 31).copied().unwrap_or(b'a') as char;
        Self(format!("{time}-{}{}{}{}", letter(0), letter(1), letter(2), letter(3)))
    }

    /// The id of a backup that begins at `at` and follows `previous`. The ids of one database strictly increase, also when two backups begin
    /// within one second or when a clock was set back: such an id is a second later than the previous one.
    pub fn following(previous: Option<&Self>, at: Timestamp, random: u32) -> Self {
        let second = SignedDuration::from_secs(1);
        let earliest = previous.and_then(Self::began_at).and_then(|began| began.checked_add(second).ok());
        Self::new(earliest.map_or(at, |earliest| earliest.max(at)), random)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The lowest id of the second of `at`: where a listing begins or ends.
    pub fn lowest_at(at: Timestamp) -> Self {
        Self(format!("{}-0000", at.strftime(SECOND)))
    }

    /// Ids from this one on are misdated: their backups claim to have begun later than `now` and a difference of clocks explain. They count
    /// as absent, because a new backup must not seem to be there already.
    pub fn first_misdated(now: Timestamp) -> Self {
        let first = CLOCK_TOLERANCE + SignedDuration::from_secs(1);
        Self::lowest_at(now.checked_add(first).unwrap_or(Timestamp::MAX))
    }

    /// Whether it is such an id.
    pub fn is_misdated(&self, now: Timestamp) -> bool {
        *self >= Self::first_misdated(now)
    }

    /// A number that is uniformly distributed over all ids, and always the same for this one.
    pub fn uniform(&self) -> u32 {
        let [a, b, c, d, ..] = *blake3::hash(self.0.as_bytes()).as_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The second in which the backup began.
    pub fn began_at(&self) -> Option<Timestamp> {
        let time = self.0.get(..20)?;
        jiff::civil::DateTime::strptime(SECOND, time)
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
    fn the_id_of_a_following_backup_is_later_also_within_a_second_and_after_a_clock_was_set_back() {
        let at: Timestamp = "2026-11-21T20:49:33.7Z".parse().unwrap();
        let hour = SignedDuration::from_hours(1);
        let mut previous = BackupId::following(None, at, u32::MAX);
        assert_eq!(previous, BackupId::new(at, u32::MAX));
        for at in [at, at, at - hour, at + SignedDuration::from_secs(1), at + hour] {
            let next = BackupId::following(Some(&previous), at, 0);
            assert!(next > previous, "{next} after {previous}");
            previous = next;
        }
        assert_eq!(previous, BackupId::new(at + hour, 0), "time catches up");
    }

    #[test]
    fn a_backup_from_more_than_a_quarter_of_an_hour_ahead_is_misdated() {
        let now: Timestamp = "2026-11-21T20:49:33Z".parse().unwrap();
        let id = |seconds| BackupId::new(now + SignedDuration::from_secs(seconds), 0);
        for (seconds, misdated) in [(-86_400, false), (0, false), (900, false), (901, true), (86_400 * 365, true)] {
            assert_eq!(id(seconds).is_misdated(now), misdated, "{seconds} s");
        }
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
