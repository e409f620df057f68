//! The status of everything, as the status page, its API and the CLI show it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::Severity;
use crate::history::History;
use crate::identity::{BackupId, DatabaseName, Site};
use crate::incident::Incident;
use crate::ledger::LedgerEntry;
use crate::usage::Cost;

/// The status of a thing, the best first. Among several, the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// All is well.
    Ok,
    /// There is nothing yet.
    Empty,
    /// Somebody should look in working hours.
    Warning,
    /// It could not be checked.
    Unknown,
    /// Somebody must look now.
    Critical,
}

/// The data of the status page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// When it was checked.
    pub at: Timestamp,
    /// How everything stands.
    pub status: Standing,
    /// The sources that could not be read, one sentence each. Data below is missing because of them.
    pub unread: Vec<String>,
    /// The backups, by database.
    pub backups: BackupsStatus,
    /// The components that Lifeboat works with.
    pub health: ComponentsStatus,
    /// Open incidents, the worst first; then resolved ones, the latest first.
    pub incidents: Vec<Incident>,
    /// The summary of the ledger; absent when it could not be read.
    pub history: Option<History>,
    /// The newest entries of the ledger, newest first. They are not verified. Absent when they could not be read.
    pub tail: Option<Vec<LedgerEntry>>,
    /// The costs; absent when they are unknown.
    pub costs: Option<Costs>,
}

/// `GET /api/backups/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupsStatus {
    /// How the backups stand.
    pub status: Standing,
    /// When they were checked.
    pub at: Timestamp,
    /// The newest of all.
    pub last_backup: Option<LastBackup>,
    /// Each database.
    pub databases: Vec<DatabaseStatus>,
}

/// The newest backup of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastBackup {
    /// Its database.
    pub database: DatabaseName,
    /// Its id.
    pub backup_id: BackupId,
    /// When it began.
    pub at: Timestamp,
}

/// One database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    /// Its name.
    pub database: DatabaseName,
    /// How it stands.
    pub status: Standing,
    /// Its newest backup within the age that policy allows, or the newest one in the ledger.
    pub last_backup: Option<LastBackup>,
    /// Its schedules.
    pub schedules: Vec<ScheduleStatus>,
    /// Where its backups are.
    pub sites: Vec<SiteStatus>,
}

/// Something that has to happen regularly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleStatus {
    /// `backup`, `verification`, `drill`.
    pub kind: String,
    /// How it stands.
    pub status: Standing,
    /// When it last succeeded; absent when it never has.
    pub last: Option<Timestamp>,
    /// Minutes since then, or since the first one is awaited.
    pub age_minutes: i64,
    /// Minutes that policy allows.
    pub allowed_minutes: i64,
    /// Whether it is older than policy allows.
    pub overdue: bool,
}

/// The backups of one database on one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteStatus {
    /// The site.
    pub site: Site,
    /// How it stands.
    pub status: Standing,
    /// Its newest backup within the listed time; absent when it has none, or was unavailable.
    pub newest: Option<BackupId>,
    /// Backups that the other site has and this one should have by now; absent when that is unknown.
    pub behind: Option<u64>,
}

/// `GET /api/health`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentsStatus {
    /// How everything below stands.
    pub status: Standing,
    /// When it was checked.
    pub at: Timestamp,
    /// When the function `health` last ran; absent when it never has.
    pub looked_at: Option<Timestamp>,
    /// Each thing.
    pub components: Vec<Component>,
}

/// One thing that Lifeboat works with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// `store primary`, `key offsite`, `health`.
    pub name: String,
    /// How it stands.
    pub status: Standing,
    /// How long its answer took, if it was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// The fault, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The costs of backups, verifications and drills, at the policy's prices. Requests of the other functions are not counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// The newest backup of each database: its requests, its run, and what it stored, for a month.
    pub last_backup: BTreeMap<DatabaseName, Cost>,
    /// This month so far: requests and runs, and a month of everything that is stored.
    pub month: Cost,
    /// Bytes that are stored, on all sites.
    pub stored_bytes: u64,
    /// Whether all entries of the ledger are included. If the oldest were not read, the sums are too small.
    pub is_whole: bool,
}

impl Status {
    /// How everything stands, in a sentence without its full stop.
    pub fn headline(&self) -> String {
        let open = self.incidents.iter().filter(|incident| incident.is_open()).count();
        let (one, several) = match self.status {
            Standing::Ok => return "Everything is all right".to_owned(),
            Standing::Empty => return "There is no backup yet".to_owned(),
            Standing::Unknown => return "Not everything could be checked".to_owned(),
            Standing::Warning => ("needs attention", "need attention"),
            Standing::Critical => ("is wrong", "are wrong"),
        };
        match open {
            0 => format!("Something {one}"),
            1 => format!("1 thing {one}"),
            _ => format!("{open} things {several}"),
        }
    }
}

impl From<Severity> for Standing {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Ok,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}

impl Standing {
    /// The text in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Empty => "empty",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Critical => "critical",
        }
    }

    /// The worst of several; `Ok` for none.
    pub fn worst(standings: impl IntoIterator<Item = Self>) -> Self {
        standings.into_iter().max().unwrap_or(Self::Ok)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
