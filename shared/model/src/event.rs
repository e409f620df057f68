//! Events on the bus: written and read with the same type.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::identity::{BackupId, DatabaseName, Site};
use crate::phase::Phases;
use crate::set_aside::RestoreOutcome;
use crate::verification::ScopeKind;

/// An event on the bus. Its JSON is the part of EventBridge's envelope that is ours: `detail-type`, and the variant's fields as `detail`;
/// the `source` is [`Event::SOURCE`].
///
/// EventBridge delivers at least once, so a reaction must be safe to repeat. A field that no reaction needs may be missing when an event is
/// read. Older versions and people who write events by hand need not know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "detail-type", content = "detail")]
pub enum Event {
    /// A schedule's tick asks for a backup of one database.
    #[serde(rename = "Backup Requested")]
    BackupRequested {
        /// The database.
        database: DatabaseName,
        /// The tick's own time: the same for a repeated delivery.
        requested_at: Timestamp,
        /// Who asked: [`Mandate::actor`](crate::Mandate).
        trigger: String,
    },
    /// A backup is complete and its manifest is stored.
    #[serde(rename = "Backup Completed")]
    BackupCompleted {
        /// The database.
        database: DatabaseName,
        /// The backup.
        backup_id: BackupId,
        /// Sites that hold all of it.
        #[serde(default)]
        sites: Vec<Site>,
        /// Relations of the catalog.
        #[serde(default)]
        relations: u64,
        /// Rows of all tables.
        #[serde(default)]
        rows: u64,
        /// Plaintext bytes.
        #[serde(default)]
        raw_bytes: u64,
        /// Bytes of new objects.
        #[serde(default)]
        stored_bytes: u64,
        /// New chunks.
        #[serde(default)]
        new_chunks: u64,
        /// Reused chunks.
        #[serde(default)]
        reused_chunks: u64,
        /// Wall seconds by phase.
        #[serde(default)]
        seconds: Phases,
    },
    /// A backup did not complete on every site. It is missing on the primary too, unless `error` says otherwise.
    #[serde(rename = "Backup Failed")]
    BackupFailed {
        /// The database, where the order named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        database: Option<DatabaseName>,
        /// The error.
        #[serde(default)]
        error: String,
        /// A hint for a person.
        #[serde(default)]
        hint: String,
    },
    /// A schedule's tick asks for the due parts of one database's rotation.
    #[serde(rename = "Verification Requested")]
    VerificationRequested {
        /// The database.
        database: DatabaseName,
        /// The tick's own time: the same for a repeated delivery.
        requested_at: Timestamp,
        /// Who asked: [`Mandate::actor`](crate::Mandate).
        trigger: String,
    },
    /// A verification found no damage, or healed all of it.
    #[serde(rename = "Verification Completed")]
    VerificationCompleted {
        /// The database.
        database: DatabaseName,
        /// `backup`, `all` or `rotation`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<ScopeKind>,
        /// The backup, for scope `backup`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        backup_id: Option<BackupId>,
        /// Objects read.
        #[serde(default)]
        objects: u64,
        /// Their bytes.
        #[serde(default)]
        read_bytes: u64,
        /// Objects that were healed.
        #[serde(default)]
        healed: u64,
    },
    /// A verification found damage that it could not heal, or could not run.
    #[serde(rename = "Verification Failed")]
    VerificationFailed {
        /// The database, where the order named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        database: Option<DatabaseName>,
        /// `backup`, `all` or `rotation`, when it had begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<ScopeKind>,
        /// The error.
        #[serde(default)]
        error: String,
        /// A hint for a person.
        #[serde(default)]
        hint: String,
        /// Damaged objects.
        #[serde(default)]
        damaged: u64,
    },
    /// A schedule's tick asks for a drill of one database.
    #[serde(rename = "Restore Test Requested")]
    RestoreTestRequested {
        /// The database.
        database: DatabaseName,
        /// The tick's own time: the same for a repeated delivery.
        requested_at: Timestamp,
        /// Who asked: [`Mandate::actor`](crate::Mandate).
        trigger: String,
    },
    /// A health check found a scratch database that a drill left behind, and asks for a cleanup of the scratch server.
    #[serde(rename = "Scratch Cleanup Requested")]
    ScratchCleanupRequested {
        /// When it was found.
        requested_at: Timestamp,
        /// Who asked: [`Mandate::actor`](crate::Mandate).
        trigger: String,
    },
    /// A drill restored a backup and every proof held.
    #[serde(rename = "Restore Test Completed")]
    RestoreTestCompleted {
        /// The database.
        database: DatabaseName,
        /// The backup.
        backup_id: BackupId,
        /// The site it was read from.
        site: Site,
        /// Tables compared.
        #[serde(default)]
        tables: u64,
        /// Rows compared.
        #[serde(default)]
        rows: u64,
        /// Always true here.
        #[serde(default)]
        equal: bool,
        /// How the restore ended: `whole` here. Absent in events of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_outcome: Option<RestoreOutcome>,
        /// Relations whose rows policy left out of the backup: `equal` does not cover them.
        #[serde(default)]
        left_out: u64,
        /// The scratch database that still holds rows, with its server, if it could not be dropped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leftover: Option<String>,
        /// Wall seconds by phase.
        #[serde(default)]
        seconds: Phases,
    },
    /// A drill could not restore, or a proof did not hold.
    #[serde(rename = "Restore Test Failed")]
    RestoreTestFailed {
        /// The database, where the order named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        database: Option<DatabaseName>,
        /// The backup, when one had been chosen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        backup_id: Option<BackupId>,
        /// How the restore ended, when it came to an end: `rows-whole` when all rows are back and some objects are not what they were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_outcome: Option<RestoreOutcome>,
        /// The objects that were set aside.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set_aside: Option<u64>,
        /// The error.
        #[serde(default)]
        error: String,
        /// A hint for a person.
        #[serde(default)]
        hint: String,
        /// The scratch database that still holds rows, with its server, if it could not be dropped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leftover: Option<String>,
    },
    /// A restore brought all rows back into a database that stays.
    #[serde(rename = "Restore Completed")]
    RestoreCompleted {
        /// The database.
        database: DatabaseName,
        /// The backup.
        backup_id: BackupId,
        /// The site it was read from.
        site: Site,
        /// The database that was written: `host:port/name`.
        #[serde(default)]
        target: String,
        /// `whole`, or `rows-whole` when some objects are not what they were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_outcome: Option<RestoreOutcome>,
        /// The objects that were set aside.
        #[serde(default)]
        set_aside: u64,
        /// Tables compared.
        #[serde(default)]
        tables: u64,
        /// Rows compared.
        #[serde(default)]
        rows: u64,
        /// Relations whose rows policy left out of the backup.
        #[serde(default)]
        left_out: u64,
        /// Wall seconds by phase.
        #[serde(default)]
        seconds: Phases,
    },
    /// A restore ended without all rows, or did not come to an end.
    #[serde(rename = "Restore Failed")]
    RestoreFailed {
        /// The database.
        database: DatabaseName,
        /// The backup.
        backup_id: BackupId,
        /// The database that was written: `host:port/name`.
        #[serde(default)]
        target: String,
        /// How the restore ended, when it came to an end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_outcome: Option<RestoreOutcome>,
        /// The objects that were set aside.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set_aside: Option<u64>,
        /// The error.
        #[serde(default)]
        error: String,
        /// A hint for a person.
        #[serde(default)]
        hint: String,
    },
}

impl Event {
    /// The `source` of every event.
    pub const SOURCE: &'static str = "lifeboat";

    /// EventBridge's `detail`, as JSON with its fields in the order of the variant.
    ///
    /// # Errors
    /// The serializer's.
    pub fn detail(&self) -> Result<String, serde_json::Error> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            detail: &'a RawValue,
        }
        let envelope = serde_json::to_string(self)?;
        Ok(serde_json::from_str::<Envelope<'_>>(&envelope)?.detail.get().to_owned())
    }

    /// Whether an event of this `detail-type` is one of ours.
    pub fn is_ours(detail_type: &str) -> bool {
        Self::DETAIL_TYPES.contains(&detail_type)
    }
}

/// The `detail-type` of each variant. The compiler demands all of them, and the test compares them with what is serialized.
macro_rules! detail_types {
    ($($variant:ident => $name:literal),+ $(,)?) => {
        impl Event {
            const DETAIL_TYPES: &[&str] = &[$($name),+];

            /// EventBridge's `detail-type`.
            pub fn detail_type(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $name),+ }
            }
        }
    };
}

detail_types! {
    BackupRequested => "Backup Requested",
    BackupCompleted => "Backup Completed",
    BackupFailed => "Backup Failed",
    VerificationRequested => "Verification Requested",
    VerificationCompleted => "Verification Completed",
    VerificationFailed => "Verification Failed",
    RestoreTestRequested => "Restore Test Requested",
    ScratchCleanupRequested => "Scratch Cleanup Requested",
    RestoreTestCompleted => "Restore Test Completed",
    RestoreTestFailed => "Restore Test Failed",
    RestoreCompleted => "Restore Completed",
    RestoreFailed => "Restore Failed",
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn one_of_each() -> Vec<Event> {
        let minimal = json!({
            "database": "clinic", "requested_at": "2026-11-21T20:00:00Z", "trigger": "schedule", "scope": "all",
            "backup_id": "2026-11-21T20-00-02Z-k3f9", "site": "offsite",
        });
        let read = |kind: &&str| serde_json::from_value(json!({ "detail-type": kind, "detail": minimal })).unwrap();
        Event::DETAIL_TYPES.iter().map(read).collect()
    }

    #[test]
    fn every_event_reads_back_from_what_is_put_on_the_bus() {
        for (event, kind) in one_of_each().into_iter().zip(Event::DETAIL_TYPES) {
            assert_eq!(event.detail_type(), *kind);
            let envelope = json!({
                "version": "0", "source": Event::SOURCE, "account": "123456789012",
                "detail-type": event.detail_type(), "detail": serde_json::from_str::<Value>(&event.detail().unwrap()).unwrap(),
            });
            assert_eq!(serde_json::from_value::<Event>(envelope).unwrap(), event);
        }
    }

    #[test]
    fn a_detail_has_the_fields_of_the_event_and_nothing_around_them() {
        let database = Some("clinic".parse().unwrap());
        let event = Event::BackupFailed { database, error: "no".to_owned(), hint: "yes".to_owned() };
        assert_eq!(event.detail().unwrap(), r#"{"database":"clinic","error":"no","hint":"yes"}"#);
        let event = Event::BackupFailed { database: None, error: "no".to_owned(), hint: "yes".to_owned() };
        assert_eq!(event.detail().unwrap(), r#"{"error":"no","hint":"yes"}"#);
    }
}
