//! Requests for backups.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::DatabaseName;
use lifeboat_postgres::ConnectionSettings;

use crate::error::EngineError;

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

/// How long after its tick a backup is requested again that had no turn on its server. By then the next tick of an hourly schedule is due.
const ASKED_AGAIN_WITHIN: SignedDuration = SignedDuration::from_mins(50);

impl BackupRequest {
    /// Whether a run failed only because another run is answering the same request. A person's request is delivered only once.
    pub fn is_underway(&self, error: &EngineError) -> bool {
        self.asked != Asked::Now && error.is_lease_held()
    }

    /// Whether a run failed only because other backups of the server had their turns, and the request will come again: from its event, or
    /// from the person. An event that has come for so long is a failure, because the next tick brings no better luck.
    pub fn is_postponed(&self, error: &EngineError) -> bool {
        let is_recent = match self.asked {
            Asked::Now => true,
            Asked::Since(requested_at) => Timestamp::now().duration_since(requested_at) < ASKED_AGAIN_WITHIN,
        };
        error.is_server_busy() && is_recent
    }
}
