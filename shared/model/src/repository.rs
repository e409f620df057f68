//! `repository.json`: the format's version, the repository's id, and its epochs with their sealed chunk keys.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::digest::PublicKey;
use crate::identity::EpochNumber;

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
}

impl RepositoryDocument {
    /// The epoch that is written to, unless it is older than `max_age` at `now`.
    pub fn current_epoch(&self, now: Timestamp, max_age: SignedDuration) -> Option<&Epoch> {
        self.epochs.last().filter(|epoch| now.duration_since(epoch.created_at) < max_age)
    }

    /// The epoch of this number.
    pub fn epoch(&self, number: EpochNumber) -> Option<&Epoch> {
        self.epochs.iter().find(|epoch| epoch.number == number)
    }
}
