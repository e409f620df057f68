//! A schedule's tick becomes one request per database, so that each is backed up by an invocation of its own.

use jiff::Timestamp;
use lifeboat_model::{DatabaseName, Event};

use crate::error::EngineError;
use crate::lifeboat::Lifeboat;

/// Puts one `Backup Requested` event per database on the bus.
///
/// The tick's own time is in each, so that a tick delivered twice asks for the same backups and each is made once.
pub async fn request_backups(
    lifeboat: &Lifeboat,
    databases: &[DatabaseName],
    at: Timestamp,
) -> Result<(), EngineError> {
    for database in databases {
        let event =
            Event::BackupRequested { database: database.clone(), requested_at: at, trigger: lifeboat.actor.clone() };
        lifeboat.outbox.publish(&event).await.map_err(EngineError::Unannounced)?;
        tracing::info!(%database, requested_at = %at, "backup requested");
    }
    Ok(())
}
