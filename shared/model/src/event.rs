//! Events for the bus.

use jiff::Timestamp;
use serde::Serialize;

use crate::identity::{BackupId, DatabaseName, Site};
use crate::phase::Phases;

/// An event on the bus: `source` is `lifeboat`, `detail-type` is [`Event::detail_type`], `detail` is the variant's fields.
///
/// EventBridge delivers at least once: whoever reacts to one must be able to react twice.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// A schedule's tick asks for a backup of one database.
    BackupRequested {
        /// The database.
        database: DatabaseName,
        /// The tick's own time: the same for a repeated delivery.
        requested_at: Timestamp,
        /// `schedule`, `deployment` or `operator`.
        trigger: String,
    },
    /// A backup is complete and its manifest is stored.
    BackupCompleted {
        /// The database.
        database: DatabaseName,
        /// The backup.
        backup_id: BackupId,
        /// Sites that hold all of it.
        sites: Vec<Site>,
        /// Relations of the catalog.
        relations: u64,
        /// Rows of all tables.
        rows: u64,
        /// Plaintext bytes.
        raw_bytes: u64,
        /// Bytes of new objects.
        stored_bytes: u64,
        /// New chunks.
        new_chunks: u64,
        /// Reused chunks.
        reused_chunks: u64,
        /// Wall seconds by phase.
        seconds: Phases,
    },
    /// A backup did not complete on every site. Unless `error` says that it is complete on the primary, there is none.
    BackupFailed {
        /// The database, where the order named one.
        #[serde(skip_serializing_if = "Option::is_none")]
        database: Option<DatabaseName>,
        /// What went wrong.
        error: String,
        /// What to do.
        hint: String,
    },
    /// A verification found nothing wrong, or put right what it found.
    VerificationCompleted {
        /// The database.
        database: DatabaseName,
        /// `backup`, `all` or `rotation`.
        scope: String,
        /// The backup, for scope `backup`.
        #[serde(skip_serializing_if = "Option::is_none")]
        backup_id: Option<BackupId>,
        /// Objects read.
        objects: u64,
        /// Their bytes.
        read_bytes: u64,
        /// Objects that were healed.
        healed: u64,
    },
    /// A verification found damage that it could not put right, or could not run.
    VerificationFailed {
        /// The database, where the order named one.
        #[serde(skip_serializing_if = "Option::is_none")]
        database: Option<DatabaseName>,
        /// `backup`, `all` or `rotation`, when it had begun.
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
        /// What went wrong.
        error: String,
        /// What to do.
        hint: String,
        /// Damaged objects.
        damaged: u64,
    },
    /// A drill restored a backup and every proof held.
    RestoreTestCompleted {
        /// The database.
        database: DatabaseName,
        /// The backup.
        backup_id: BackupId,
        /// The site it was read from.
        site: Site,
        /// Tables compared.
        tables: u64,
        /// Rows compared.
        rows: u64,
        /// Always true here.
        equal: bool,
        /// Wall seconds by phase.
        seconds: Phases,
    },
    /// A drill could not restore, or a proof did not hold.
    RestoreTestFailed {
        /// The database, where the order named one.
        #[serde(skip_serializing_if = "Option::is_none")]
        database: Option<DatabaseName>,
        /// The backup, when one had been chosen.
        #[serde(skip_serializing_if = "Option::is_none")]
        backup_id: Option<BackupId>,
        /// What went wrong.
        error: String,
        /// What to do.
        hint: String,
    },
}

impl Event {
    /// The `source` of every event.
    pub const SOURCE: &'static str = "lifeboat";

    /// EventBridge's `detail-type`.
    pub fn detail_type(&self) -> &'static str {
        match self {
            Self::BackupRequested { .. } => "Backup Requested",
            Self::BackupCompleted { .. } => "Backup Completed",
            Self::BackupFailed { .. } => "Backup Failed",
            Self::VerificationCompleted { .. } => "Verification Completed",
            Self::VerificationFailed { .. } => "Verification Failed",
            Self::RestoreTestCompleted { .. } => "Restore Test Completed",
            Self::RestoreTestFailed { .. } => "Restore Test Failed",
        }
    }
}
