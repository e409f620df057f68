//! The previous backup: whether it already answers the request, and which chunks the writer can reuse from it.

use jiff::Timestamp;
use lifeboat_model::{BackupId, DatabaseName, EpochCause, LedgerLink, Manifest, Site};
use lifeboat_vault::{Repository, VaultError, Writer};

use super::request::{Asked, BackupRequest};
use crate::error::EngineError;
use crate::run::newest_backup;

/// What a new backup takes over from the previous one.
#[derive(Default)]
pub(super) struct Previous {
    /// Its id; absent for the first backup.
    pub(super) id: Option<BackupId>,
    /// The ledger entry that it names as the last one, if it could be read.
    pub(super) ledger: Option<LedgerLink>,
}

/// The newest backup, if it began at or after the time of the request.
pub(super) async fn already_answered(
    repository: &Repository,
    request: &BackupRequest,
) -> Result<Option<Manifest>, EngineError> {
    let Asked::Since(requested_at) = request.asked else { return Ok(None) };
    let Some(newest) = newest_backup(repository, &request.database, Site::Primary).await? else { return Ok(None) };
    if newest.began_at().is_none_or(|began| is_before(began, requested_at)) {
        return Ok(None);
    }
    match repository.authenticated_manifest(&request.database, &newest, Site::Primary).await {
        // The second in an id may be later than the one in which the backup began.
        Ok(manifest) if is_before(manifest.started_at, requested_at) => Ok(None),
        Ok(manifest) => {
            tracing::info!(backup_id = %newest, "the request is already answered");
            find_epoch_before(repository, &manifest).await;
            Ok(Some(manifest))
        }
        Err(error) => {
            warn_unreadable(&newest, error);
            Ok(None)
        }
    }
}

/// Finds the epoch of the backup before one that is announced again, as the run that took it did: it may have died before it could say that a
/// new epoch began because of the keys.
async fn find_epoch_before(repository: &Repository, answered: &Manifest) {
    let cause = repository.document().epoch(answered.epoch).and_then(|epoch| epoch.cause);
    if cause != Some(EpochCause::Keys) {
        return;
    }
    let Manifest { database, backup_id, epoch, .. } = answered;
    let finding = async {
        let now = Timestamp::now();
        let before = repository.newest_manifests(database, Site::Primary, Some(backup_id), 1, now).await?;
        if let Some(previous) = before.last() {
            repository.previous_manifest(database, previous, Site::Primary, *epoch).await?;
        }
        Ok::<_, VaultError>(())
    };
    if let Err(error) = finding.await {
        let error = EngineError::from(error).story();
        tracing::warn!(%backup_id, error, "whether this backup is the first one in its epoch is not known");
    }
}

/// By the second: an event's time has no finer unit.
fn is_before(began: Timestamp, requested_at: Timestamp) -> bool {
    began.as_second() < requested_at.as_second()
}

/// Gives the writer the chunks of the newest backup, so that unchanged ones are not stored again. When that backup cannot be read, each
/// chunk costs one more request and is still reused. The writer opens chunks that a verification could not heal before it reuses them.
pub(super) async fn remember_previous(
    repository: &Repository,
    writer: &Writer,
    database: &DatabaseName,
) -> Result<Previous, EngineError> {
    writer.suspect(repository.suspects(database, writer.epoch()).await?);
    let Some(newest) = newest_backup(repository, database, Site::Primary).await? else {
        return Ok(Previous::default());
    };
    let previous = repository.previous_manifest(database, &newest, Site::Primary, writer.epoch()).await;
    let (ledger, remembered) = match previous {
        Ok(previous) => (previous.ledger, writer.remember_backup(&previous).await),
        Err(error) => (None, Err(error)),
    };
    if let Err(error) = remembered {
        warn_unreadable(&newest, error);
    }
    Ok(Previous { id: Some(newest), ledger })
}

/// A damaged older backup must not stop new ones. It cannot be deleted, and nothing can heal it when both copies are damaged.
fn warn_unreadable(backup_id: &BackupId, error: VaultError) {
    let error = EngineError::from(error);
    let (error, hint) = (error.story(), error.hint());
    tracing::error!(%backup_id, error, hint, "the newest backup cannot be read; this backup is taken without it");
}
