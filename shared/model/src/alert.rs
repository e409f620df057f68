//! Alerts: what people are notified of.

mod kind;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::identity::DatabaseName;
use crate::incident::IncidentName;
use crate::names::names;

pub use kind::{AlertKind, AlertRule, Channel, Escalation, Severity};

/// Which message of an incident it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Good news, or damage that was healed at once: no incident.
    Notice,
    /// The incident begins.
    Opened,
    /// It goes on, and nobody has acknowledged it.
    Reminder,
    /// It is resolved.
    Resolved,
}

names!(AlertState, "a state of an alert", [
    Notice => "notice", Opened => "opened", Reminder => "reminder", Resolved => "resolved",
]);

/// A message to people, before each channel puts it into its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its kind.
    pub kind: AlertKind,
    /// How much it matters.
    pub severity: Severity,
    /// Where it stands.
    pub state: AlertState,
    /// The channels it goes to.
    pub channels: Vec<Channel>,
    /// The database, where there is one.
    pub database: Option<DatabaseName>,
    /// The incident; absent for a notice.
    pub incident: Option<IncidentName>,
    /// Since when: the first time it was seen, or the event itself.
    pub since: Timestamp,
    /// The problem or the news: one sentence.
    pub what: String,
    /// A hint for a person: one sentence; absent when there is nothing to do.
    pub hint: Option<String>,
    /// Facts by name.
    pub facts: Vec<(String, String)>,
}
