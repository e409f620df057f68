//! Which backup a drill restores.

use jiff::Timestamp;
use lifeboat_model::BackupId;
use lifeboat_vault::Repository;

use super::request::{BackupChoice, DrillRequest};
use crate::error::EngineError;
use crate::run::newest_backup;

/// The backup that is asked for.
///
/// # Errors
/// [`EngineError::NoBackup`], [`EngineError::UnknownBackup`].
pub(super) async fn choose(repository: &Repository, request: &DrillRequest) -> Result<BackupId, EngineError> {
    let none = || EngineError::NoBackup { database: request.database.clone(), site: request.site };
    match &request.backup {
        BackupChoice::Id(id) => {
            let is_known = repository.has_manifest(&request.database, id, request.site).await?;
            let unknown = || EngineError::UnknownBackup { backup_id: id.clone(), site: request.site };
            is_known.then(|| id.clone()).ok_or_else(unknown)
        }
        BackupChoice::Newest => newest_backup(repository, &request.database, request.site).await?.ok_or_else(none),
        BackupChoice::Random => {
            let mut backups = repository.manifests(&request.database, request.site).await?;
            backups.retain(|id| !id.is_misdated(Timestamp::now()));
            let place = fastrand::usize(..backups.len().max(1));
            backups.into_iter().nth(place).ok_or_else(none)
        }
    }
}
