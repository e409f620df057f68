//! Requests for restores.

use lifeboat_model::{BackupId, DatabaseName, Destination, Site};
use lifeboat_postgres::ConnectionSettings;

/// What to restore, from where, and to where.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The database, by its name in the repository.
    pub database: DatabaseName,
    /// The backup; the newest one if absent.
    pub backup: Option<BackupId>,
    /// The only site that is read. If absent, the primary, and the off-site where that does not have the backup.
    pub site: Option<Site>,
    /// The database to restore into, with the role that owns it or may create it.
    pub to: ConnectionSettings,
}

impl RestoreRequest {
    /// The target without credentials, for plans and records.
    pub(crate) fn destination(&self) -> Destination {
        Destination { address: self.to.address(), database: self.to.database().to_owned() }
    }
}
