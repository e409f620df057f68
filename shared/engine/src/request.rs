//! A schedule's tick becomes one request per database, so that each is backed up by an invocation of its own.

use jiff::Timestamp;
use lifeboat_model::{DatabaseName, Event, Manifest};

use crate::error::EngineError;
use crate::lifeboat::Lifeboat;
use crate::outcome;

/// Puts one `Backup Requested` event per database on the bus.
///
/// The tick's own time is in each, so that a tick delivered twice asks for the same backups and each is made once. A request
/// that does not get there is told as the failure of its backup, and must not keep the others from being made.
///
/// # Errors
/// [`EngineError::Unrequested`], for the first database whose backup nobody will take.
pub async fn request_backups(
    lifeboat: &Lifeboat,
    databases: &[DatabaseName],
    at: Timestamp,
) -> Result<(), EngineError> {
    let mut requested = Ok(());
    for database in databases {
        if let Err(error) = request_backup(lifeboat, database, at).await {
            let failed: Result<Manifest, EngineError> = Err(error);
            // The bus has just failed; the subscribers may be told all the same, and the caller is told in any case.
            let _ = outcome::of_backup(lifeboat, database, &failed).await;
            requested = requested.and(failed.map(drop));
        }
    }
    requested
}

async fn request_backup(lifeboat: &Lifeboat, database: &DatabaseName, at: Timestamp) -> Result<(), EngineError> {
    let event = Event::BackupRequested {
        database: database.clone(),
        requested_at: at,
        trigger: lifeboat.mandate.actor.clone(),
    };
    let published = lifeboat.outbox.publish(&event).await;
    published.map_err(|source| EngineError::Unrequested { database: database.clone(), source })?;
    tracing::info!(%database, requested_at = %at, "backup requested");
    Ok(())
}
