//! The audit trail: one object an entry, each naming the hash of the one before.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerAct {
    /// As in [`LedgerEntry`].
    pub actor: String,
    /// As in [`LedgerEntry`].
    pub action: String,
    /// As in [`LedgerEntry`].
    pub subject: String,
    /// As in [`LedgerEntry`].
    pub outcome: Outcome,
    /// As in [`LedgerEntry`].
    pub detail: BTreeMap<String, String>,
}

/// `ledger/<yyyy>/<mm>/<dd>/<number>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// From 1, without gaps.
    pub number: u64,
    /// SHA-256 of the stored bytes of the entry before; absent in the first.
    pub previous: Option<Sha256>,
    /// When it was written.
    pub at: Timestamp,
    /// Who acted, as far as the caller could tell.
    pub actor: String,
    /// What was done: `backup`, `verify`, `test-restore`.
    pub action: String,
    /// On what: a database or a backup id.
    pub subject: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Facts by name: counts, durations, ids. Never a row value, key or connection string.
    pub detail: BTreeMap<String, String>,
}
