//! What a look for what did not happen has found.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::identity::DatabaseName;
use crate::incident::IncidentName;

/// `state/health.json`: what the last look found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthReport {
    /// When.
    pub at: Timestamp,
    /// Everything that was looked at.
    pub probes: Vec<Probe>,
    /// Messages that were owed and have left.
    pub sent: usize,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// What it is called when it is wrong.
    pub name: IncidentName,
    /// The database, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// How long it took to answer, where that says something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// What is wrong, and what to do; absent when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong: Option<Wrong>,
}

/// What is wrong with something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// One sentence.
    pub what: String,
    /// One sentence.
    pub hint: String,
}

impl HealthReport {
    /// Whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.probes.iter().all(|probe| probe.wrong.is_none())
    }
}
