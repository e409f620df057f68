//! The previous backup: whether it already answers the request, and which chunks the writer can reuse from it.

use lifeboat_model::{BackupId, DatabaseName, LedgerLink, Manifest, Site};
use lifeboat_vault::{Repository, VaultError, Writer};

use super::request::{Asked, BackupRequest};
use crate::error::EngineError;
use crate::run::newest_backup;

/// The newest backup, if it began at or after the time of the request.
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

/// Gives the writer the chunks of the newest backup, so that unchanged ones are not stored again. When that backup cannot be read, each
/// chunk costs one more request and is still reused. The writer opens chunks that a verification could not heal before it reuses them.
/// Returns the ledger entry that this backup names as the last one.
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

/// A damaged older backup must not stop new ones. It cannot be deleted, and nothing can heal it when both copies are damaged.
fn warn_unreadable(backup_id: &BackupId, error: VaultError) {
    let error = EngineError::from(error);
    let (error, hint) = (error.story(), error.hint());
    tracing::error!(%backup_id, error, hint, "the newest backup cannot be read; this backup is taken without it");
}
