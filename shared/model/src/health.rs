//! The results of a health check.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::identity::DatabaseName;
use crate::incident::{DamagedObjects, IncidentName, Sighting};

/// `state/health.json`: the results of the last health check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthReport {
    /// When the check ran.
    pub at: Timestamp,
    /// Every single check.
    pub probes: Vec<Probe>,
    /// The number of owed messages that were sent.
    pub sent: usize,
}

/// The result for one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The name of its incident when it is wrong.
    pub name: IncidentName,
    /// The database, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// How long the answer took, where that is meaningful.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// The fault and a hint; absent when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong: Option<Wrong>,
}

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// One sentence.
    pub what: String,
    /// One sentence.
    pub hint: String,
    /// The objects that it is about, where it may be about others the next time: a person accepts these, and not the others.
    #[serde(default, skip_serializing_if = "DamagedObjects::is_empty")]
    pub objects: DamagedObjects,
}

impl Wrong {
    /// A fault that is about one thing only.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), objects: DamagedObjects::default() }
    }

    /// The same fault of these objects.
    #[must_use]
    pub fn about(self, objects: impl IntoIterator<Item = String>) -> Self {
        Self { objects: DamagedObjects::new(objects, false), ..self }
    }
}

impl From<Wrong> for Sighting {
    /// The fault as an incident has it, without a database, part or facts.
    fn from(Wrong { what, hint, objects }: Wrong) -> Self {
        Self { what, hint, database: None, part: None, objects, facts: Vec::new() }
    }
}

impl HealthReport {
    /// Whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.probes.iter().all(|probe| probe.wrong.is_none())
    }
}
