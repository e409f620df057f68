//! `backup`: one consistent view of one database, sealed and stored on every site.

mod collector;
mod offsite;
mod plan;
mod rows;
mod streams;

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use lifeboat_model::{
    BackupId, BackupState, ChunkKey, DatabaseName, LedgerLink, MANIFEST_FORMAT, Manifest, Phases, SLICE_BLOCKS, Site,
};
use lifeboat_postgres::{Checked, ClientTools, ConnectionSettings, Snapshot, SnapshotOptions, doctor};
use lifeboat_vault::{Repository, VaultError, Writer};

use crate::error::EngineError;
use crate::lease::under_lease;
use crate::lifeboat::{Lifeboat, newest_backup};
use crate::outcome;
use crate::stopwatch::Stopwatch;

use collector::{Collector, Stored, entries_for};
pub use plan::{BackupPlan, plan_backup};

/// Which database to back up, and since when that has been wanted.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// Its name in the repository.
    pub database: DatabaseName,
    /// How to reach it.
    pub source: ConnectionSettings,
    /// The tick or order this run answers. A complete backup that began at or after it answers it too, so that a request
    /// delivered twice is carried out once.
    pub requested_at: Option<Timestamp>,
}

/// Takes a backup and tells the ledger, the bus and the subscribers how it ended.
///
/// Returns the manifest of the complete backup: the new one, or the one that already answers the request. On any error but
/// [`EngineError::OffsiteBehind`] the repository has no new backup; chunks that were stored are reused by the next run. May
/// run twice and be killed anywhere.
pub async fn backup(lifeboat: &Lifeboat, request: &BackupRequest) -> Result<Manifest, EngineError> {
    let result = lifeboat.deadline.bound(Box::pin(take_backup(lifeboat, request))).await;
    if let (Err(error), Some(_)) = (&result, request.requested_at)
        && error.is_underway()
    {
        // The same request, delivered twice: the run that has the lease answers it, and tells how it ended.
        tracing::info!(database = %request.database, error = error.story(), "the request is being answered");
        return result;
    }
    let told = outcome::of_backup(lifeboat, &request.database, &result).await;
    result.and_then(|manifest| told.map(|()| manifest))
}

async fn take_backup(lifeboat: &Lifeboat, request: &BackupRequest) -> Result<Manifest, EngineError> {
    let mut stopwatch = Stopwatch::new(&*lifeboat.progress);
    let started = Timestamp::now();

    stopwatch.begin("doctor", None);
    let tools = lifeboat.tools().await?;
    require_fit(lifeboat, &request.source, &tools).await?;
    let repository = Repository::open_or_create(lifeboat.sites.clone(), Arc::clone(&lifeboat.keys), started).await?;
    if let Some(answered) = already_answered(&repository, request).await?
        && !repository.is_behind(&request.database, &answered.backup_id).await?
    {
        return Ok(answered);
    }
    let lease = format!("backup-{}", request.database);
    let work = Box::pin(answer_under_lease(lifeboat, request, &repository, tools, started, &mut stopwatch));
    under_lease(&repository, &lease, &lifeboat.run_id, work).await
}

async fn answer_under_lease(
    lifeboat: &Lifeboat,
    request: &BackupRequest,
    repository: &Repository,
    tools: ClientTools,
    started: Timestamp,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<Manifest, EngineError> {
    // Looked at again: another delivery of the same request may have ended between the first look and the lease.
    if let Some(answered) = already_answered(repository, request).await? {
        return offsite::complete(repository, answered).await;
    }
    // Before the snapshot, which holds locks and holds back the user's vacuum.
    stopwatch.begin("remember", None);
    let began = Instant::now();
    let writer = Arc::new(repository.begin_writing(started).await?);
    let named_before = remember_previous(repository, &writer, &request.database).await?;

    stopwatch.begin("snapshot", None);
    let options = SnapshotOptions { left_out: lifeboat.policy.left_out.clone(), ..SnapshotOptions::default() };
    let snapshot = Snapshot::take(&request.source, &options).await?;
    let plan = plan_backup(snapshot.relations(), snapshot.large_objects().await?)?;
    let run = Run { lifeboat, id: BackupId::new(started, fastrand::u32(..)), started, began, tools, writer };

    let stored = tokio::select! {
        stored = store_everything(&run, repository, &snapshot, plan, request, stopwatch) => stored,
        // The user's database outranks the backup: what was stored until now is reused by the next run.
        must_end = snapshot.guard() => Err(must_end.into()),
    };
    // The snapshot holds back the user's vacuum: it ends before anything else is done, also when the run has failed.
    let source = snapshot.source().clone();
    let ended = snapshot.close().await;
    let stored = stored?;
    // A snapshot that had ended before its time may have shown some session another view.
    ended?;

    let ledger = newest_entry(&run, repository, named_before).await;
    let manifest = run.manifest(request, source, stored, ledger, stopwatch.phases());
    stopwatch.begin("publish", None);
    publish(repository, &manifest, run.writer.chunk_key()).await?;
    // After its own publication: the newest backup is worth most, and few chunks of older ones are missing by then.
    stopwatch.begin("bring over", None);
    offsite::bring_over(&run, repository, &request.database).await;
    Ok(manifest)
}

/// The end of the audit trail, for which the backup vouches from now on. When the trail does not hold what the backup before this one
/// named, or has other trouble, that stays what the backups name: a trail that was cut must not be forgotten with the next backup. Nor
/// must it be the end of backups: the verification that follows each of them walks the trail, and tells what is wrong with it.
async fn newest_entry(run: &Run<'_>, repository: &Repository, before: Option<LedgerLink>) -> Option<LedgerLink> {
    let newest = run.lifeboat.ledger(repository).newest_link(before).await;
    newest.unwrap_or_else(|error| {
        let error = EngineError::from(error);
        let (error, hint) = (error.story(), error.hint());
        tracing::error!(error, hint, "the backup does not say where the ledger ends now");
        before
    })
}

/// Publishes the manifest; when that fails, finds out whether there is a backup now.
async fn publish(repository: &Repository, manifest: &Manifest, chunk_key: &ChunkKey) -> Result<(), EngineError> {
    let backup_id = manifest.backup_id.clone();
    let Err(source) = repository.publish(manifest, chunk_key).await else {
        return match repository.sites().aside() {
            None => Ok(()),
            Some(source) => Err(EngineError::OffsiteBehind { backup_id, source: Arc::clone(source) }),
        };
    };
    match repository.manifests(&manifest.database, Site::Primary).await {
        Ok(listed) if listed.contains(&backup_id) => {
            Err(EngineError::OffsiteBehind { backup_id, source: Arc::new(source) })
        }
        _ => Err(source.into()),
    }
}

/// What one run carries from step to step.
struct Run<'a> {
    lifeboat: &'a Lifeboat,
    id: BackupId,
    started: Timestamp,
    began: Instant,
    tools: ClientTools,
    writer: Arc<Writer>,
}

async fn store_everything(
    run: &Run<'_>,
    repository: &Repository,
    snapshot: &Snapshot,
    plan: BackupPlan,
    request: &BackupRequest,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<Stored, EngineError> {
    let list = repository.chunk_list(&request.database, &run.id)?;
    let mut collector = Collector::new(list, &plan);

    stopwatch.begin("data", Some(plan.piece_count()));
    let (stored, entries) = entries_for(run.sessions());
    tokio::try_join!(
        streams::store_schema(run, snapshot, stored.clone()),
        rows::store_rows(run, snapshot, &plan, stored),
        collector.take(entries),
    )?;
    // Sequences do not obey snapshots: read last, they stand at or after every row that was copied.
    stopwatch.begin("sequences", None);
    let (stored, entries) = entries_for(1);
    tokio::try_join!(streams::store_sequences(run, snapshot, stored), collector.take(entries))?;

    collector.finish(plan).await
}

impl Run<'_> {
    /// Sessions that copy at the same time.
    fn sessions(&self) -> usize {
        self.lifeboat.sessions.max(1)
    }

    fn manifest(
        &self,
        request: &BackupRequest,
        source: lifeboat_model::Source,
        stored: Stored,
        ledger: Option<LedgerLink>,
        seconds: Phases,
    ) -> Manifest {
        Manifest {
            format: MANIFEST_FORMAT,
            backup_id: self.id.clone(),
            database: request.database.clone(),
            state: BackupState::Complete,
            epoch: self.writer.epoch(),
            started_at: self.started,
            finished_at: Timestamp::now(),
            source,
            slice_blocks: SLICE_BLOCKS,
            relations: stored.relations,
            large_objects: stored.large_objects,
            totals: stored.totals,
            chunk_list: stored.chunk_list,
            seconds,
            tools: vec![concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned(), self.tools.version().to_owned()],
            ledger,
        }
    }
}

/// The newest backup, when it began no earlier than the request was made.
async fn already_answered(repository: &Repository, request: &BackupRequest) -> Result<Option<Manifest>, EngineError> {
    let Some(requested_at) = request.requested_at else { return Ok(None) };
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
            warn_of_unreadable(&newest, error);
            Ok(None)
        }
    }
}

/// Lets the writer know the chunks of the newest backup, so that unchanged ones cost nothing but the reading. When that
/// backup cannot be read, each chunk costs a request and is reused all the same. Chunks that a verification could not heal are
/// suspects, which are opened first. Returns where that backup says that the ledger ended.
async fn remember_previous(
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
            warn_of_unreadable(&newest, error);
        }
        return Ok(named);
    }
    Ok(None)
}

/// Damage to an older backup must not be the end of new ones: nothing in the repository can be deleted to get it out of
/// the way, and with both copies damaged nothing can heal it.
fn warn_of_unreadable(backup_id: &BackupId, error: VaultError) {
    let error = EngineError::from(error);
    let (error, hint) = (error.story(), error.hint());
    tracing::error!(%backup_id, error, hint, "the newest backup cannot be read; this one is taken without it");
}

/// Fails with the first check that failed: the others often follow from it. What the doctor warns of is in the log of each run.
async fn require_fit(lifeboat: &Lifeboat, source: &ConnectionSettings, tools: &ClientTools) -> Result<(), EngineError> {
    for check in doctor(source, tools, &lifeboat.policy.left_out).await {
        match check.outcome {
            Checked::Ok(seen) => tracing::debug!(step = check.name, "{seen}"),
            Checked::Warn { seen, hint } => tracing::warn!(step = check.name, hint, "{seen}"),
            Checked::Failed(error) => return Err(error.into()),
        }
    }
    Ok(())
}
