//! Requests for backups. A scheduled run sends one request per database, so that each database is backed up in a separate invocation.

use jiff::Timestamp;
use lifeboat_model::{DatabaseName, Event, Manifest};
use lifeboat_postgres::ConnectionSettings;

use super::ending::BackupEnding;
use crate::announcement::announce;
use crate::error::EngineError;
use crate::run::Run;

/// Which database to back up, and from when a backup answers the request.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// The database's name in the repository.
    pub database: DatabaseName,
    /// The connection to the database.
    pub source: ConnectionSettings,
    /// Which backups answer the request.
    pub asked: Asked,
}

/// Which backups answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A person asks for a backup now. A new one is always taken.
    Now,
    /// An event asks for a backup as of this time. The event may be delivered twice: any complete backup that began since then answers it.
    Since(Timestamp),
}

impl BackupRequest {
    /// Whether a run failed only because another run is answering the same request. A person's request is delivered only once.
    pub fn is_underway(&self, error: &EngineError) -> bool {
        self.asked != Asked::Now && error.is_lease_held()
    }
}

/// Sends one `Backup Requested` event per database to the event bus.
///
/// Each event carries the scheduled time, so that a schedule delivered twice asks for the same backups, and each is taken once. A request
/// that cannot be sent is announced as the failure of its backup. The other requests are still sent.
///
/// # Errors
/// [`EngineError::Unrequested`] for the first database whose request could not be sent.
pub async fn request_backups(run: &Run, databases: &[DatabaseName], at: Timestamp) -> Result<(), EngineError> {
    let mut requested = Ok(());
    for database in databases {
        if let Err(error) = request_backup(run, database, at).await {
            let failed: Result<Manifest, EngineError> = Err(error);
            // The event bus has just failed, but the alert may still reach people. The caller gets the error in any case.
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
