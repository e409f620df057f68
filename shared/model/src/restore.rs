//! Restores into a database that stays: the plan, what is known about its target, and the report.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::act::Act;
use crate::drill::DrillReport;
use crate::identity::{BackupId, DatabaseName, Site};
use crate::phase::Phases;
use crate::plan::{Plan, PlanHash};

/// The database that a restore writes to, without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// `host:port`.
    pub address: String,
    /// The database's name on that server.
    pub database: String,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.database)
    }
}

/// What a restore would do. Its hash names what a person approved, so nothing is in it that changes from one minute to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePlan {
    /// The database, by its name in the repository.
    pub database: DatabaseName,
    /// The backup.
    pub backup_id: BackupId,
    /// When its snapshot was taken: later changes are not in it.
    pub snapshot_at: Timestamp,
    /// The only site that may be read. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// The database that is written.
    pub to: Destination,
    /// Tables with rows in the backup.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// Large objects.
    pub large_objects: u64,
    /// Plaintext bytes.
    pub raw_bytes: u64,
    /// Relations whose rows policy left out of the backup: they come back empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

impl Plan for RestorePlan {
    const ACT: Act = Act::Restore;
}

/// A plan, and everything that a person should know before it is executed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedRestore {
    /// What would be done.
    pub plan: RestorePlan,
    /// Names the plan.
    pub hash: PlanHash,
    /// The site that gives the backup now. What it does not give is read from the other one, unless the plan allows one site only.
    pub site: Site,
    /// What the target is now.
    pub target: TargetState,
    /// Roles that the server does not have, and that are created on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub creates_roles: Vec<String>,
    /// What speaks against it or will be different.
    pub findings: Vec<PlanFinding>,
    /// How long it will take.
    pub estimate: RestoreEstimate,
}

impl PlannedRestore {
    /// The first finding that keeps it from beginning.
    pub fn obstacle(&self) -> Option<&PlanFinding> {
        self.findings.iter().find(|finding| finding.blocks)
    }
}

/// What is known about the database that a restore writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetState {
    /// It does not exist, and is created.
    New,
    /// It exists and is empty.
    Empty,
    /// It holds an unfinished restore, which goes on where it stopped.
    Unfinished,
    /// It holds objects that this restore did not make.
    Occupied,
}

/// Something that a plan found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFinding {
    /// What it is, as a sentence without its full stop.
    pub what: String,
    /// What a person can do about it.
    pub hint: String,
    /// Whether the restore cannot begin because of it. Otherwise it begins, and something will be different.
    pub blocks: bool,
}

/// How long a restore will take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreEstimate {
    /// Wall seconds by phase.
    pub seconds: Phases,
    /// Bytes that are read from the site.
    pub read_bytes: u64,
    /// Where the rates come from, in words.
    pub basis: String,
}

impl RestoreEstimate {
    /// The time in words that suit its precision: `about 40 seconds`, `about 3 hours`.
    pub fn in_words(&self) -> String {
        let seconds = self.seconds.total();
        let (count, unit) = match seconds {
            ..=90.0 => (seconds, "second"),
            ..=5400.0 => (seconds / 60.0, "minute"),
            _ => (seconds / 3600.0, "hour"),
        };
        let count = count.ceil().max(1.0);
        format!("about {count} {unit}{}", if count > 1.0 { "s" } else { "" })
    }
}

/// The end of a restore: what it brought back, to where, and everything that a drill proves of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// The restore. One that was continued keeps its first run's id.
    pub run_id: String,
    /// The plan that was executed.
    pub plan: PlanHash,
    /// The database that was written.
    pub to: Destination,
    /// The outcome, the proofs, and the seconds by phase.
    #[serde(flatten, serialize_with = "with_set_aside")]
    pub proved: DrillReport,
}

/// A program reads `set_aside` of every restore. A stored report of a drill leaves it out when it is empty, as it always has.
fn with_set_aside<S: Serializer>(report: &DrillReport, serializer: S) -> Result<S::Ok, S::Error> {
    let mut value = serde_json::to_value(report).map_err(S::Error::custom)?;
    if let Value::Object(fields) = &mut value {
        fields.entry("set_aside").or_insert_with(|| Value::Array(Vec::new()));
    }
    value.serialize(serializer)
}

impl RestorePlan {
    /// How old the restored data will be at `now`.
    pub fn age(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.snapshot_at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_estimate_is_said_in_the_unit_that_suits_it() {
        let words = |seconds: u64| {
            let mut phases = Phases::default();
            phases.add("data", Duration::from_secs(seconds));
            RestoreEstimate { seconds: phases, read_bytes: 0, basis: String::new() }.in_words()
        };
        assert_eq!(words(0), "about 1 second");
        assert_eq!(words(40), "about 40 seconds");
        assert_eq!(words(200), "about 4 minutes");
        assert_eq!(words(2 * 3600), "about 2 hours");
    }
}
