//! What is asked of a backup. A schedule's tick becomes one request per database, so that each is backed up by an invocation of its own.

use jiff::Timestamp;
use lifeboat_model::{DatabaseName, Event, Manifest};
use lifeboat_postgres::ConnectionSettings;

use super::ending::BackupEnding;
use crate::announcement::announce;
use crate::error::EngineError;
use crate::run::Run;

/// Which database to back up, and since when a backup is wanted.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// Its name in the repository.
    pub database: DatabaseName,
    /// How to reach it.
    pub source: ConnectionSettings,
    /// Since when.
    pub asked: Asked,
}

/// Since when a backup is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A person asks for one now: it is always taken.
    Now,
    /// An event asks for one of this moment. It may be delivered twice: any complete backup that began since then answers it.
    Since(Timestamp),
}

impl BackupRequest {
    /// Whether a run failed only because another one is answering the same request. A person's request has no other delivery.
    pub fn is_underway(&self, error: &EngineError) -> bool {
        self.asked != Asked::Now && error.is_lease_held()
    }
}

/// Puts one `Backup Requested` event per database on the bus.
///
/// Each carries the tick's own time, so that a tick delivered twice asks for the same backups and each is made once. A request that does
/// not get there is announced as the failure of its backup, and does not keep the others from being made.
///
/// # Errors
/// [`EngineError::Unrequested`], for the first database that no backup was requested of.
pub async fn request_backups(run: &Run, databases: &[DatabaseName], at: Timestamp) -> Result<(), EngineError> {
    let mut requested = Ok(());
    for database in databases {
        if let Err(error) = request_backup(run, database, at).await {
            let failed: Result<Manifest, EngineError> = Err(error);
            // The bus has just failed. Subscribers may be notified all the same, and the caller gets the error in any case.
            let _ = announce(run, &BackupEnding { database, result: &failed }).await;
            requested = requested.and(failed.map(drop));
        }
    }
    requested
}

async fn request_backup(run: &Run, database: &DatabaseName, at: Timestamp) -> Result<(), EngineError> {
    let event =
        Event::BackupRequested { database: database.clone(), requested_at: at, trigger: run.mandate.actor.clone() };
    let published = run.ports.outbox.publish(&event).await;
    published.map_err(|source| EngineError::Unrequested { database: database.clone(), source })?;
    tracing::info!(%database, requested_at = %at, "backup requested");
    Ok(())
}
