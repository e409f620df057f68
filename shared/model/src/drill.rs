//! The report of a drill.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::identity::{BackupId, CLOCK_TOLERANCE, DatabaseName, Site};
use crate::phase::Phases;
use crate::set_aside::{RestoreOutcome, SetAside};

/// `drills/<database>/<drill id>.json`: the report an auditor reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    /// The database.
    pub database: DatabaseName,
    /// The backup that was restored.
    pub backup_id: BackupId,
    /// The only site that was read.
    pub site: Site,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Tables restored and compared.
    pub tables: Vec<TableProof>,
    /// Rows restored and compared.
    pub rows: u64,
    /// Schema objects compared.
    pub schema_objects: u64,
    /// Large objects restored and compared.
    pub large_objects: u64,
    /// How the restore ended. Absent in reports that are older than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RestoreOutcome>,
    /// The differences.
    pub findings: Vec<Finding>,
    /// What the server refused as it was. Each is among the findings or the notes, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<SetAside>,
    /// Permitted differences, one sentence each: the locale of the scratch database, for example.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The things that this drill does not compare, in words: `equal` does not cover them.
    pub not_compared: Vec<String>,
    /// Relations whose rows policy left out of the backup: `equal` says nothing about their rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// True only if every proof held.
    pub equal: bool,
    /// Wall seconds by phase: their sum is the recovery time that this drill measured.
    pub seconds: Phases,
}

/// Relations that a sentence names; the others are counted.
const NAMED_LEFT_OUT: usize = 5;

impl DrillReport {
    /// Whether a backup of `database` was proved, by `now`. A report that claims to be from the future is no proof: it would never be too old.
    pub fn is_proof(&self, database: &DatabaseName, now: Timestamp) -> bool {
        self.equal && self.database == *database && self.finished_at <= now + CLOCK_TOLERANCE
    }

    /// What `equal` does not cover because of policy, in words: `2 relation(s) left out by policy: a.b, a.c`. `None` when policy left out nothing.
    pub fn left_out_in_words(&self) -> Option<String> {
        let named: Vec<&str> = self.left_out.iter().take(NAMED_LEFT_OUT).map(String::as_str).collect();
        let more = self.left_out.len().saturating_sub(NAMED_LEFT_OUT);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let count = self.left_out.len();
        (count > 0).then(|| format!("{count} relation(s) left out by policy: {}{more}", named.join(", ")))
    }
}

/// One table, restored and read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableProof {
    /// `schema.name`.
    pub table: String,
    /// Rows read back.
    pub rows: u64,
    /// Whether count and digest are the manifest's.
    pub equal: bool,
}
