//! `repository.json`: the format's version, the repository's id, and its epochs with their sealed chunk keys.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::digest::PublicKey;
use crate::identity::{CLOCK_TOLERANCE, EpochNumber};
use crate::names::names;

/// The version of the repository's format that this code writes, and the newest it reads.
pub const REPOSITORY_FORMAT: u32 = 1;

/// The document at the root of each site; the same on both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryDocument {
    /// [`REPOSITORY_FORMAT`].
    pub format: u32,
    /// Random, in hexadecimal; part of the encryption context of every message.
    pub repository_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Oldest first; the last is the one written to.
    pub epochs: Vec<Epoch>,
    /// By epoch, a sealed message in base64 under the keys of that epoch. It holds no secret: opening it shows that a key still works.
    /// An epoch of an earlier version has none until the next backup.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub probes: BTreeMap<EpochNumber, String>,
}

/// A span of time with its own chunk key: chunks are reused only within one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub number: EpochNumber,
    /// When it began.
    pub created_at: Timestamp,
    /// The 32 bytes of its chunk key as a sealed message, in base64.
    pub chunk_key: String,
    /// The public half of the key that signs its manifests; derived from the chunk key, so its holders need not trust it.
    pub public_key: PublicKey,
    /// Why it began; absent when an earlier version began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<EpochCause>,
}

impl Epoch {
    /// Whether both are one epoch. Its cause only informs, and an earlier version does not keep it.
    pub fn is_same(&self, other: &Self) -> bool {
        let Self { number, created_at, chunk_key, public_key, cause: _ } = self;
        (number, created_at, chunk_key, public_key)
            == (&other.number, &other.created_at, &other.chunk_key, &other.public_key)
    }
}

/// Why an epoch began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpochCause {
    /// The repository began.
    First,
    /// The epoch before it had reached its age.
    Age,
    /// The epoch before it is sealed under other keys than those that were configured.
    Keys,
}

names!(EpochCause, "a cause of an epoch", [First => "first", Age => "age", Keys => "keys"]);

impl RepositoryDocument {
    /// The epoch that is written to, unless it is older than `max_age` at `now`. One from the future would have no end, so it has ended.
    pub fn current_epoch(&self, now: Timestamp, max_age: SignedDuration) -> Option<&Epoch> {
        let age = |epoch: &Epoch| now.duration_since(epoch.created_at);
        self.epochs.last().filter(|epoch| age(epoch) < max_age && age(epoch) >= -CLOCK_TOLERANCE)
    }

    /// The epoch of this number.
    pub fn epoch(&self, number: EpochNumber) -> Option<&Epoch> {
        self.epochs.iter().find(|epoch| epoch.number == number)
    }

    /// The epochs that began after this moment.
    pub fn begun_after(&self, at: Timestamp) -> impl Iterator<Item = &Epoch> {
        self.epochs.iter().filter(move |epoch| epoch.created_at > at)
    }

    /// The epoch in which a backup that began at this moment was stored. The first one for a moment before all of them.
    pub fn epoch_at(&self, at: Timestamp) -> Option<&Epoch> {
        self.epochs.iter().rfind(|epoch| epoch.created_at <= at).or(self.epochs.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(days: &[i64]) -> RepositoryDocument {
        let began: Timestamp = "2026-11-21T20:49:33Z".parse().unwrap();
        let epoch = |(index, days): (usize, &i64)| Epoch {
            number: EpochNumber(index as u32 + 1),
            created_at: began + SignedDuration::from_hours(24 * days),
            chunk_key: String::new(),
            public_key: PublicKey([0; 32]),
            cause: None,
        };
        let epochs = days.iter().enumerate().map(epoch).collect();
        let repository_id = "r".to_owned();
        RepositoryDocument { format: 1, repository_id, created_at: began, epochs, probes: BTreeMap::new() }
    }

    #[test]
    fn an_epoch_ends_with_its_age_and_one_from_the_future_has_ended() {
        let (document, day) = (document(&[0, 90]), SignedDuration::from_hours(24));
        let current = |at| document.current_epoch(at, day * 90).map(|epoch| epoch.number.0);
        let began = document.epochs[1].created_at;
        assert_eq!((current(began), current(began + day * 89), current(began + day * 90)), (Some(2), Some(2), None));
        assert_eq!((current(began - CLOCK_TOLERANCE), current(began - day)), (Some(2), None));
    }

    #[test]
    fn a_backup_is_of_the_last_epoch_that_began_before_it() {
        let (document, day) = (document(&[0, 90]), SignedDuration::from_hours(24));
        let at = |days: i32| document.epoch_at(document.created_at + day * days).map(|epoch| epoch.number.0);
        assert_eq!([at(-1), at(0), at(89), at(90), at(900)], [Some(1), Some(1), Some(1), Some(2), Some(2)]);
        assert_eq!(self::document(&[]).epoch_at(document.created_at), None);
    }

    #[test]
    fn a_document_of_an_earlier_version_is_read_and_written_back_as_it_was() {
        let earlier = document(&[0]);
        let text = serde_json::to_string(&earlier).unwrap();
        assert!(!text.contains("probes") && !text.contains("cause"), "{text}");
        assert_eq!(serde_json::from_str::<RepositoryDocument>(&text).unwrap(), earlier);
        let mut later = earlier;
        later.epochs[0].cause = Some(EpochCause::Keys);
        later.probes.insert(EpochNumber(1), "AgR4".to_owned());
        let text = serde_json::to_string(&later).unwrap();
        assert!(text.ends_with(r#""cause":"keys"}],"probes":{"1":"AgR4"}}"#), "{text}");
        assert_eq!(serde_json::from_str::<RepositoryDocument>(&text).unwrap(), later);
    }
}
