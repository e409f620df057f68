//! How the end of a backup is announced.

use lifeboat_model::{
    Act, AlertKind, Cleared, DamagedObjects, DatabaseName, Epoch, EpochCause, EpochNumber, Event, Fact, Facts,
    Manifest, Severity, Totals,
};
use lifeboat_notify::{MetricsLine, Unit};

use crate::announcement::{Announcement, Ending, RunResult, about, failure_facts, name_of};
use crate::error::EngineError;
use crate::run::Run;

/// What the notice of a backup adds when it is the first one in an epoch that began because of the keys.
const NEW_KEYS: &str = "; it began a new epoch, because the one before is not sealed under exactly the configured keys";

/// What an operator should do then.
const KEEP_KEYS: &str =
    "keep the keys of earlier epochs for as long as their backups may be needed: `lifeboat doctor` names them";

/// The end of a backup that completed or failed.
pub(crate) struct BackupEnding<'a> {
    pub(crate) database: &'a DatabaseName,
    pub(crate) result: &'a Result<Manifest, EngineError>,
}

impl Ending for BackupEnding<'_> {
    fn announcement(&self, run: &Run) -> Announcement {
        match self.result {
            Ok(manifest) => completed(run, manifest),
            Err(error) => failed(Some(self.database), error),
        }
    }
}

fn completed(run: &Run, manifest: &Manifest) -> Announcement {
    let (totals, database) = (&manifest.totals, &manifest.database);
    let seconds = manifest.seconds.total();
    let repository = run.opened_repository();
    let previous = repository.and_then(|repository| repository.previous_epoch());
    let epoch = repository.and_then(|repository| repository.document().epoch(manifest.epoch).cloned());
    let new_keys = epoch.as_ref().is_some_and(|epoch| began_for_keys(epoch, manifest, previous));
    let (severity, why, hint) = match new_keys {
        true => (Severity::Warning, NEW_KEYS, Some(KEEP_KEYS.to_owned())),
        false => (Severity::Info, "", None),
    };
    let facts = facts(totals).with(Fact::Epoch, manifest.epoch);
    let facts = facts.with_some(Fact::EpochCause, epoch.and_then(|epoch| epoch.cause));
    Announcement {
        act: Act::Backup,
        database: Some(database.clone()),
        subject: manifest.backup_id.to_string(),
        facts: facts.with_seconds(seconds),
        event: Event::BackupCompleted {
            database: database.clone(),
            backup_id: manifest.backup_id.clone(),
            sites: run.ports.sites.names(),
            relations: totals.relations,
            rows: totals.rows,
            raw_bytes: totals.raw_bytes,
            stored_bytes: totals.stored_bytes,
            new_chunks: totals.new_chunks,
            reused_chunks: totals.reused_chunks,
            seconds: manifest.seconds.clone(),
        },
        result: RunResult::Good {
            notice: AlertKind::BackupCompleted,
            severity,
            what: format!("backup {} is complete, with {} rows{why}", manifest.backup_id, totals.rows),
            hint,
            // Whether a backup is overdue, the health check says: another one may have been deleted.
            clears: vec![AlertKind::BackupFailed],
            cleared: Cleared::All,
        },
        metrics: MetricsLine::new(database.as_str())
            .with("backup_completed", Unit::Count, 1.0)
            .with("backup_seconds", Unit::Seconds, seconds)
            .with("backup_rows", Unit::Count, totals.rows as f64)
            .with("backup_raw_bytes", Unit::Bytes, totals.raw_bytes as f64)
            .with("backup_stored_bytes", Unit::Bytes, totals.stored_bytes as f64)
            .with("backup_reused_chunks", Unit::Count, totals.reused_chunks as f64),
        about: about(Some(database)),
    }
}

/// Whether this backup is the first one of its database in an epoch that began because of the keys. The run that began the epoch may have
/// failed.
fn began_for_keys(epoch: &Epoch, manifest: &Manifest, previous: Option<EpochNumber>) -> bool {
    let is_first = previous.is_some_and(|previous| previous != epoch.number);
    epoch.cause == Some(EpochCause::Keys) && (is_first || epoch.created_at == manifest.started_at)
}

/// A backup that failed or could not begin.
pub(crate) fn failed(database: Option<&DatabaseName>, error: &EngineError) -> Announcement {
    let (story, hint) = (error.story(), error.hint());
    Announcement {
        act: Act::Backup,
        database: database.cloned(),
        subject: name_of(database).to_owned(),
        facts: failure_facts(error),
        event: Event::BackupFailed { database: database.cloned(), error: story.clone(), hint: hint.clone() },
        result: RunResult::Bad {
            kind: AlertKind::BackupFailed,
            part: None,
            objects: DamagedObjects::default(),
            error: story,
            hint,
        },
        metrics: MetricsLine::new(name_of(database)).with("backup_failed", Unit::Count, 1.0),
        about: about(database),
    }
}

fn facts(totals: &Totals) -> Facts {
    Facts::new()
        .with(Fact::Relations, totals.relations)
        .with(Fact::Rows, totals.rows)
        .with(Fact::RawBytes, totals.raw_bytes)
        .with(Fact::StoredBytes, totals.stored_bytes)
        .with(Fact::ReusedBytes, totals.reused_bytes)
        .with(Fact::NewChunks, totals.new_chunks)
        .with(Fact::ReusedChunks, totals.reused_chunks)
}
