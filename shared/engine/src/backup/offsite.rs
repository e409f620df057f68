//! Copies older backups to the off-site that could not be stored there while it was unreachable.

use futures_util::TryStreamExt as _;
use lifeboat_model::{Act, BackupId, ChunkId, DatabaseName, Fact, Facts, Manifest, Outcome, Site, StoredChunk};
use lifeboat_vault::{Repository, VaultError};

use super::new_backup::NewBackup;
use crate::error::EngineError;

/// Chunks copied at the same time: enough to hide the store's latency.
const CHUNKS_AT_ONCE: usize = 8;

/// Chunks gathered from a chunk list before they are copied.
const BATCH: usize = 256;

/// The most backups that one run copies: one day of hourly ones. The next run continues with the others.
const MOST_BACKUPS: usize = 24;

/// Copies older backups of a database to the off-site, newest first. A failure is only logged, because the run's own backup is complete. The
/// next run tries again.
pub(super) async fn bring_over(new: &NewBackup<'_>, database: &DatabaseName) {
    new.run.begin_part();
    let work = Box::pin(bring_each_over(new, database));
    match new.run.deadline.spare(new.began, work).await {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            let (error, hint) = (error.story(), error.hint());
            tracing::warn!(%database, error, hint, "older backups are still missing on the off-site; the next run tries again");
        }
        None => {
            tracing::warn!(%database, "no time is left to copy older backups to the off-site; the next run continues")
        }
    }
}

async fn bring_each_over(new: &NewBackup<'_>, database: &DatabaseName) -> Result<(), EngineError> {
    let behind = new.repository.behind(database).await?;
    let mut failure = None;
    for backup_id in behind.iter().take(MOST_BACKUPS) {
        match bring_one_over(new, database, backup_id).await {
            Ok(manifest) => record(new, &manifest).await,
            // One damaged backup must not stop the others from being copied.
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn bring_one_over(
    new: &NewBackup<'_>,
    database: &DatabaseName,
    backup_id: &BackupId,
) -> Result<Manifest, EngineError> {
    let manifest = new.repository.authenticated_manifest(database, backup_id, Site::Primary).await?;
    bring_manifest_over(new.repository, &manifest, |id| new.writer.is_done(id)).await?;
    Ok(manifest)
}

/// Completes a backup that answers a request on the off-site too.
pub(super) async fn complete(repository: &Repository, manifest: Manifest) -> Result<Manifest, EngineError> {
    let backup_id = manifest.backup_id.clone();
    if !repository.is_behind(&manifest.database, &backup_id).await? {
        return Ok(manifest);
    }
    if let Some(source) = repository.sites().aside().cloned() {
        return Err(EngineError::OffsiteBehind { backup_id, source });
    }
    match bring_manifest_over(repository, &manifest, |_| false).await {
        Ok(()) => Ok(manifest),
        Err(source) => Err(EngineError::OffsiteBehind { backup_id, source: source.into() }),
    }
}

/// Copies the chunks, then the chunk list, then the manifest. When it is cut off, the off-site never lists an incomplete backup.
async fn bring_manifest_over(
    repository: &Repository,
    manifest: &Manifest,
    is_there: impl Fn(&ChunkId) -> bool,
) -> Result<(), VaultError> {
    let mut entries = repository.chunk_entries(manifest, Site::Primary)?;
    let mut batch: Vec<StoredChunk> = Vec::with_capacity(BATCH);
    loop {
        let entry = entries.next().await?;
        let is_last = entry.is_none();
        batch.extend(entry.and_then(|entry| entry.chunk).filter(|chunk| !is_there(&chunk.id)));
        if batch.len() == BATCH || is_last {
            let chunks = futures_util::stream::iter(batch.drain(..).map(Ok::<_, VaultError>));
            let bring = |chunk| async move { repository.bring_chunk_over(&chunk).await };
            chunks.try_for_each_concurrent(CHUNKS_AT_ONCE, bring).await?;
        }
        if is_last {
            break;
        }
    }
    repository.bring_documents_over(manifest).await
}

/// The failed run reported this backup as missing on the off-site. This entry records that it is there now.
async fn record(new: &NewBackup<'_>, manifest: &Manifest) {
    let (database, backup_id) = (&manifest.database, &manifest.backup_id);
    tracing::info!(%database, %backup_id, "an older backup was copied to the off-site");
    let facts = Facts::new().with(Fact::Database, database);
    let act = new.run.act_of(Act::BringOver, backup_id.to_string(), Outcome::Completed, facts);
    if let Err(error) = new.run.record_part(act).await {
        let error = error.story();
        tracing::error!(%database, %backup_id, error, "the ledger has no entry of this copy to the off-site");
    }
}
