//! What is said about the end of a backup.

use lifeboat_model::{AlertKind, Cleared, DatabaseName, Event, Manifest, Severity};
use lifeboat_notify::{MetricsLine, Unit};

use super::{End, Telling, failure_facts, name_of};
use crate::error::EngineError;
use crate::lifeboat::Lifeboat;

/// Tells how a backup ended.
pub(crate) async fn of_backup(
    lifeboat: &Lifeboat,
    database: &DatabaseName,
    result: &Result<Manifest, EngineError>,
) -> Result<(), EngineError> {
    let telling = match result {
        Ok(manifest) => completed(lifeboat, manifest),
        Err(error) => failed(Some(database), error),
    };
    telling.tell(lifeboat).await
}

fn completed(lifeboat: &Lifeboat, manifest: &Manifest) -> Telling {
    let totals = &manifest.totals;
    let seconds = manifest.seconds.total();
    Telling {
        action: "backup",
        is_known: true,
        database: Some(manifest.database.clone()),
        subject: manifest.backup_id.to_string(),
        facts: vec![
            ("relations", totals.relations.to_string()),
            ("rows", totals.rows.to_string()),
            ("raw_bytes", totals.raw_bytes.to_string()),
            ("stored_bytes", totals.stored_bytes.to_string()),
            ("reused_bytes", totals.reused_bytes.to_string()),
            ("new_chunks", totals.new_chunks.to_string()),
            ("reused_chunks", totals.reused_chunks.to_string()),
            ("seconds", format!("{seconds:.3}")),
        ],
        event: Event::BackupCompleted {
            database: manifest.database.clone(),
            backup_id: manifest.backup_id.clone(),
            sites: lifeboat.sites.names(),
            relations: totals.relations,
            rows: totals.rows,
            raw_bytes: totals.raw_bytes,
            stored_bytes: totals.stored_bytes,
            new_chunks: totals.new_chunks,
            reused_chunks: totals.reused_chunks,
            seconds: manifest.seconds.clone(),
        },
        end: End::Well {
            notice: AlertKind::BackupCompleted,
            severity: Severity::Info,
            what: format!("backup {} of {} rows is complete", manifest.backup_id, totals.rows),
            hint: None,
            clears: vec![AlertKind::BackupFailed, AlertKind::BackupOverdue],
            cleared: Cleared::All,
        },
        metrics: MetricsLine::new(manifest.database.as_str())
            .with("backup_completed", Unit::Count, 1.0)
            .with("backup_seconds", Unit::Seconds, seconds)
            .with("backup_rows", Unit::Count, totals.rows as f64)
            .with("backup_raw_bytes", Unit::Bytes, totals.raw_bytes as f64)
            .with("backup_stored_bytes", Unit::Bytes, totals.stored_bytes as f64)
            .with("backup_reused_chunks", Unit::Count, totals.reused_chunks as f64),
    }
}

pub(super) fn failed(database: Option<&DatabaseName>, error: &EngineError) -> Telling {
    Telling {
        action: "backup",
        is_known: true,
        database: database.cloned(),
        subject: name_of(database).to_owned(),
        facts: failure_facts(error),
        event: Event::BackupFailed { database: database.cloned(), error: error.story(), hint: error.hint() },
        end: End::Badly { kind: AlertKind::BackupFailed, part: None, error: error.story(), hint: error.hint() },
        metrics: MetricsLine::new(name_of(database)).with("backup_failed", Unit::Count, 1.0),
    }
}
