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
