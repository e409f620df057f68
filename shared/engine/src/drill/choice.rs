//! Which backup a drill restores.

use jiff::Timestamp;
use lifeboat_model::BackupId;
use lifeboat_vault::Repository;

use super::request::{BackupChoice, DrillRequest};
use crate::error::EngineError;
use crate::run::newest_backup;

/// The backup that a drill restores, and how far the drill came with it.
pub(crate) struct Chosen {
    pub(crate) backup_id: BackupId,
    /// Whether it was the newest one of its site when it was chosen, however it was asked for: a verification asks for it by its id.
    pub(crate) is_newest: bool,
    /// Whether the database to restore into was ready. A failure after that is the backup's.
    pub(crate) is_restoring: bool,
}

/// The backup that is asked for.
///
/// # Errors
/// [`EngineError::NoBackup`], [`EngineError::UnknownBackup`].
pub(super) async fn choose(repository: &Repository, request: &DrillRequest) -> Result<Chosen, EngineError> {
    let none = || EngineError::NoBackup { database: request.database.clone(), site: request.site };
    let newest = newest_backup(repository, &request.database, request.site);
    let backup_id = match &request.backup {
        BackupChoice::Id(id) => {
            let is_known = repository.has_manifest(&request.database, id, request.site).await?;
            let unknown = || EngineError::UnknownBackup { backup_id: id.clone(), site: request.site };
            is_known.then(|| id.clone()).ok_or_else(unknown)?
        }
        BackupChoice::Newest => {
            let backup_id = newest.await?.ok_or_else(none)?;
            return Ok(Chosen { backup_id, is_newest: true, is_restoring: false });
        }
        BackupChoice::Random => {
            let mut backups = repository.manifests(&request.database, request.site).await?;
            backups.retain(|id| !id.is_misdated(Timestamp::now()));
            let place = fastrand::usize(..backups.len().max(1));
            backups.into_iter().nth(place).ok_or_else(none)?
        }
    };
    let newest = newest.await.unwrap_or_else(|error| {
        // A backup that is named can be restored without a list of the others.
        tracing::warn!(error = error.story(), "whether this is the newest backup is not known");
        None
    });
    let is_newest = newest.as_ref() == Some(&backup_id);
    Ok(Chosen { backup_id, is_newest, is_restoring: false })
}
