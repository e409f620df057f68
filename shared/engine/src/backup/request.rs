//! Requests for backups.

use jiff::Timestamp;
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

impl BackupRequest {
    /// Whether a run failed only because another run is answering the same request. A person's request is delivered only once.
    pub fn is_underway(&self, error: &EngineError) -> bool {
        self.asked != Asked::Now && error.is_lease_held()
    }
}
