//! Requests for runs: a tick sends one per database, so that each database has an invocation of its own.

use jiff::Timestamp;
use lifeboat_model::{Act, DatabaseName, Event};

use crate::error::EngineError;
use crate::refusal::failure;
use crate::run::Run;

/// Sends one event per database to the event bus, which requests a run of its own.
///
/// Each event carries the time of the tick, so that a tick delivered twice asks for the same runs. A request that cannot be sent is
/// announced as the failure of its run. The other requests are still sent.
///
/// # Errors
/// [`EngineError::Unrequested`] for the first database whose request could not be sent.
pub async fn request_each(
    run: &Run,
    what: Requestable,
    databases: &[DatabaseName],
    at: Timestamp,
) -> Result<(), EngineError> {
    let mut requested = Ok(());
    for database in databases {
        if let Err(error) = request(run, what, database, at).await {
            if let Some(announcement) = failure(what.act(), Some(database), &error) {
                // The event bus has just failed, but the alert may still reach people. The caller gets the error in any case.
                let _ = announcement.announce(run).await;
            }
            requested = requested.and(Err(error));
        }
    }
    requested
}

/// Requests a backup again that had no turn on its server, as of the same time.
///
/// # Errors
/// [`EngineError::Unrequested`].
pub async fn request_again(run: &Run, database: &DatabaseName, requested_at: Timestamp) -> Result<(), EngineError> {
    request(run, Requestable::Backup, database, requested_at).await
}

/// An act that is requested by an event, one database at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requestable {
    /// A backup.
    Backup,
    /// The parts of the rotation that are due.
    Verification,
    /// A drill.
    Drill,
}

impl Requestable {
    fn act(self) -> Act {
        match self {
            Self::Backup => Act::Backup,
            Self::Verification => Act::Verify,
            Self::Drill => Act::TestRestore,
        }
    }

    fn event(self, database: DatabaseName, requested_at: Timestamp, trigger: String) -> Event {
        match self {
            Self::Backup => Event::BackupRequested { database, requested_at, trigger },
            Self::Verification => Event::VerificationRequested { database, requested_at, trigger },
            Self::Drill => Event::RestoreTestRequested { database, requested_at, trigger },
        }
    }
}

async fn request(run: &Run, what: Requestable, database: &DatabaseName, at: Timestamp) -> Result<(), EngineError> {
    let noun = what.act().profile().noun;
    let event = what.event(database.clone(), at, run.mandate.actor.clone());
    let published = run.ports.outbox.publish(&event).await;
    published.map_err(|source| EngineError::Unrequested { noun, database: database.clone(), source })?;
    tracing::info!(%database, requested_at = %at, "{noun} requested");
    Ok(())
}
