//! The audit trail: one object an entry, each naming the hash of the one before.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::act::Act;
use crate::digest::Sha256;
use crate::mandate::Mandate;

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As intended.
    Completed,
    /// Not as intended.
    Failed,
}

/// What is to be put on record: an entry before it has its number, time and place in the chain.
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
    /// From 1, without gaps.
    pub number: u64,
    /// SHA-256 of the stored bytes of the entry before; absent in the first.
    pub previous: Option<Sha256>,
    /// When it was written, by the clock of whoever wrote it.
    pub at: Timestamp,
    /// Who acted: [`Mandate::actor`].
    pub actor: String,
    /// Why: [`Mandate::reason`].
    pub reason: String,
    /// What was done: the name of an [`Act`], maybe of one that a newer version knows.
    pub action: String,
    /// On what: a database or a backup id.
    pub subject: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Facts by name: counts, durations, ids. Never a row value, key or connection string.
    pub detail: BTreeMap<String, String>,
}

impl LedgerEntry {
    /// What was done, when this version knows such an act.
    pub fn act(&self) -> Option<Act> {
        self.action.parse().ok()
    }
}

/// An entry by its place in the chain. Whoever vouches for one vouches for every entry before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLink {
    /// Its number.
    pub number: u64,
    /// SHA-256 of its stored bytes.
    pub sha256: Sha256,
}
