//! The backup before this one: whether it answers the request already, and what it lets the writer reuse.

use lifeboat_model::{BackupId, DatabaseName, LedgerLink, Manifest, Site};
use lifeboat_vault::{Repository, VaultError, Writer};

use super::request::{Asked, BackupRequest};
use crate::error::EngineError;
use crate::run::newest_backup;

/// The newest backup, when it began no earlier than the request was made.
pub(super) async fn already_answered(
    repository: &Repository,
    request: &BackupRequest,
) -> Result<Option<Manifest>, EngineError> {
    let Asked::Since(requested_at) = request.asked else { return Ok(None) };
    let Some(newest) = newest_backup(repository, &request.database, Site::Primary).await? else { return Ok(None) };
    if newest.began_at().is_none_or(|began| began.as_second() < requested_at.as_second()) {
        return Ok(None);
    }
    match repository.authenticated_manifest(&request.database, &newest, Site::Primary).await {
        Ok(manifest) => {
            tracing::info!(backup_id = %newest, "the request is already answered");
            Ok(Some(manifest))
        }
        Err(error) => {
            warn_unreadable(&newest, error);
            Ok(None)
        }
    }
}

/// Lets the writer know the chunks of the newest backup, so that unchanged ones cost nothing but the reading. When that backup cannot be
/// read, each chunk costs a request and is reused all the same. The writer opens chunks that a verification could not heal before it
/// reuses them. Returns where that backup says that the ledger ended.
pub(super) async fn remember_previous(
    repository: &Repository,
    writer: &Writer,
    database: &DatabaseName,
) -> Result<Option<LedgerLink>, EngineError> {
    writer.suspect(repository.suspects(database, writer.epoch()).await?);
    if let Some(newest) = newest_backup(repository, database, Site::Primary).await? {
        let previous = repository.authenticated_manifest(database, &newest, Site::Primary).await;
        let (named, remembered) = match previous {
            Ok(previous) => (previous.ledger, writer.remember_backup(&previous).await),
            Err(error) => (None, Err(error)),
        };
        if let Err(error) = remembered {
            warn_unreadable(&newest, error);
        }
        return Ok(named);
    }
    Ok(None)
}

/// Damage to an older backup must not be the end of new ones: nothing in the repository can be deleted to get it out of the way, and with
/// both copies damaged nothing can heal it.
fn warn_unreadable(backup_id: &BackupId, error: VaultError) {
    let error = EngineError::from(error);
    let (error, hint) = (error.story(), error.hint());
    tracing::error!(%backup_id, error, hint, "the newest backup cannot be read; this one is taken without it");
}
