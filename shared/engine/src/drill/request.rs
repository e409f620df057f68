//! Requests for drills.

use std::fmt;
use std::str::FromStr;

use lifeboat_model::{BackupId, DatabaseName, NameError, Site};
use lifeboat_postgres::ConnectionSettings;

/// What to restore, from where and on which server.
#[derive(Debug, Clone)]
pub struct DrillRequest {
    /// The database.
    pub database: DatabaseName,
    /// Which of its backups.
    pub backup: BackupChoice,
    /// The only site that is read.
    pub site: Site,
    /// The server to restore to. A database is created there for the drill and dropped after it.
    pub scratch: ConnectionSettings,
}

/// A backup chosen by id or by a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupChoice {
    /// The newest complete one.
    Newest,
    /// A random one. Each is equally likely, so all are tried over time.
    Random,
    /// This one.
    Id(BackupId),
}

impl FromStr for BackupChoice {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "newest" => Ok(Self::Newest),
            "random" => Ok(Self::Random),
            id => id.parse().map(Self::Id),
        }
    }
}

impl fmt::Display for BackupChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Random => f.write_str("random"),
            Self::Id(id) => id.fmt(f),
        }
    }
}
