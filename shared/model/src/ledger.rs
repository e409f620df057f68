//! The audit trail: one object per entry, each with the hash of the previous entry.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::act::Act;
use crate::digest::Sha256;
use crate::mandate::Mandate;

/// The newest format of an entry that this version knows. Entries that were written before formats were counted carry none, which is 0.
pub const LEDGER_FORMAT: u32 = 1;

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As intended.
    Completed,
    /// Not as intended.
    Failed,
}

/// An act to record: an entry before it has its number, time and place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerAct {
    /// Who acted, and why.
    pub mandate: Mandate,
    /// As in [`LedgerEntry`].
    pub action: Act,
    /// As in [`LedgerEntry`].
    pub subject: String,
    /// As in [`LedgerEntry`].
    pub outcome: Outcome,
    /// As in [`LedgerEntry`].
    pub detail: BTreeMap<String, String>,
}

/// `ledger/<number>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Its format; 0 in entries that were written before formats were counted.
    #[serde(default, skip_serializing_if = "is_uncounted")]
    pub format: u32,
    /// From 1, without gaps.
    pub number: u64,
    /// SHA-256 of the stored bytes of the previous entry; absent in the first.
    pub previous: Option<Sha256>,
    /// When it was written, by the writer's clock.
    pub at: Timestamp,
    /// Who acted: [`Mandate::actor`].
    pub actor: String,
    /// Why: [`Mandate::reason`].
    pub reason: String,
    /// The name of an [`Act`], possibly one that only a newer version knows.
    pub action: String,
    /// The database or the backup id that it was about.
    pub subject: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Facts by name: counts, durations, ids. Never a row value, key or connection string.
    pub detail: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_uncounted(format: &u32) -> bool {
    *format == 0
}

impl LedgerEntry {
    /// The act, when this version knows it.
    pub fn act(&self) -> Option<Act> {
        self.action.parse().ok()
    }
}

/// An entry by its place in the chain. A MAC of one entry vouches for every entry before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLink {
    /// Its number.
    pub number: u64,
    /// SHA-256 of its stored bytes.
    pub sha256: Sha256,
}
