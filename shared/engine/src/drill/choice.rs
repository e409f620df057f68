//! Which backup a drill restores.

use std::fmt;
use std::str::FromStr;

use lifeboat_model::{BackupId, NameError};
use lifeboat_vault::Repository;

use super::DrillRequest;
use crate::error::EngineError;
use crate::run::newest_backup;

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

pub(super) async fn choose(repository: &Repository, request: &DrillRequest) -> Result<BackupId, EngineError> {
    let none = || EngineError::NoBackup { database: request.database.clone(), site: request.site };
    match &request.backup {
        BackupChoice::Id(id) => {
            let is_known = repository.manifests(&request.database, request.site).await?.contains(id);
            let unknown = || EngineError::UnknownBackup { backup_id: id.clone(), site: request.site };
            is_known.then(|| id.clone()).ok_or_else(unknown)
        }
        BackupChoice::Newest => newest_backup(repository, &request.database, request.site).await?.ok_or_else(none),
        BackupChoice::Random => {
            let backups = repository.manifests(&request.database, request.site).await?;
            let place = fastrand::usize(..backups.len().max(1));
            backups.into_iter().nth(place).ok_or_else(none)
        }
    }
}
