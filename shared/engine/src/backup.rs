//! `backup`: reads one consistent view of one database, seals it and stores it on every site.

mod collector;
mod ending;
mod offsite;
mod plan;
mod previous;
mod request;
mod rows;
mod streams;

use std::sync::Arc;

use jiff::Timestamp;
use lifeboat_model::{
    BackupId, BackupState, ChunkKey, LedgerLink, MANIFEST_FORMAT, Manifest, Phases, SLICE_BLOCKS, Site, Source,
};
use lifeboat_postgres::{Checked, ClientTools, ConnectionSettings, Snapshot, SnapshotOptions, doctor};
use lifeboat_vault::{Repository, Writer};

use crate::announcement::announce;
use crate::error::EngineError;
use crate::lease::under_lease;
use crate::run::Run;
use crate::stopwatch::Stopwatch;

use collector::{Collector, Stored, entries_for};
use ending::BackupEnding;
use previous::{already_answered, remember_previous};

pub(crate) use ending::failed;
pub use plan::{BackupPlan, plan_backup};
pub use request::{Asked, BackupRequest, request_backups};

/// Takes a backup and announces how it ended.
///
/// Returns the manifest of the complete backup: the new one, or the one that already answers the request. On any error but
/// [`EngineError::OffsiteBehind`] the repository has no new backup, but the next run reuses the stored chunks. It may run twice, and may be
/// killed at any point.
pub async fn backup(run: &Run, request: &BackupRequest) -> Result<Manifest, EngineError> {
    let result = run.deadline.bound(Box::pin(take_backup(run, request))).await;
    if let Err(error) = &result
        && request.is_underway(error)
    {
        // The run that holds the lease answers this request and announces the result.
        tracing::info!(database = %request.database, error = error.story(), "another run answers this request");
        return result;
    }
    let announced = announce(run, &BackupEnding { database: &request.database, result: &result }).await;
    result.and_then(|manifest| announced.map(|()| manifest))
}

async fn take_backup(run: &Run, request: &BackupRequest) -> Result<Manifest, EngineError> {
    let mut stopwatch = Stopwatch::new(&*run.progress);
    let started = Timestamp::now();

    stopwatch.begin("doctor", None);
    let tools = run.ports.tools().await?;
    require_fit(run, &request.source, &tools).await?;
    let repository = run.repository_or_new(started).await?;
    if let Some(answered) = already_answered(repository, request).await?
        && !repository.is_behind(&request.database, &answered.backup_id).await?
    {
        return Ok(answered);
    }
    let lease = format!("backup-{}", request.database);
    let work = Box::pin(answer_under_lease(run, request, repository, tools, started, &mut stopwatch));
    under_lease(repository, &lease, &run.id, work).await
}

async fn answer_under_lease(
    run: &Run,
    request: &BackupRequest,
    repository: &Repository,
    tools: ClientTools,
    started: Timestamp,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<Manifest, EngineError> {
    // Another delivery of the same request may have ended between the first check and the lease.
    if let Some(answered) = already_answered(repository, request).await? {
        return offsite::complete(repository, answered).await;
    }
    // This precedes the snapshot, which holds locks and holds back the database's vacuum.
    stopwatch.begin("remember", None);
    let writer = Arc::new(repository.begin_writing(started).await?);
    let named_before = remember_previous(repository, &writer, &request.database).await?;

    stopwatch.begin("snapshot", None);
    let options = SnapshotOptions { left_out: run.policy.left_out.clone(), ..SnapshotOptions::default() };
    let snapshot = Snapshot::take(&request.source, &options).await?;
    let plan = plan_backup(snapshot.relations(), snapshot.large_objects().await?)?;
    let new = NewBackup { run, repository, id: BackupId::new(started, fastrand::u32(..)), started, tools, writer };

    let stored = tokio::select! {
        stored = new.execute(plan, &snapshot, request, stopwatch) => stored,
        // The database is more important than the backup. The next run reuses the stored chunks.
        must_end = snapshot.guard() => Err(must_end.into()),
    };
    // The snapshot ends first, even after a failure, because it holds back the database's vacuum.
    let source = snapshot.source().clone();
    let ended = snapshot.close().await;
    let stored = stored?;
    // If the snapshot ended too early, a session may have read another view of the database.
    ended?;

    let ledger = new.newest_entry(named_before).await;
    let manifest = new.manifest(request, source, stored, ledger, stopwatch.phases());
    stopwatch.begin("publish", None);
    publish(repository, &manifest, new.writer.chunk_key()).await?;
    // The new backup is published first: it is the most valuable one, and few chunks of older backups are missing then.
    stopwatch.begin("bring over", None);
    offsite::bring_over(&new, &request.database).await;
    Ok(manifest)
}

/// Publishes the manifest. When that fails, checks whether the backup exists nevertheless.
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

/// A backup that is being taken.
struct NewBackup<'a> {
    run: &'a Run,
    repository: &'a Repository,
    id: BackupId,
    started: Timestamp,
    tools: ClientTools,
    writer: Arc<Writer>,
}

impl NewBackup<'_> {
    /// Carries out the plan: copies, seals and stores everything in it.
    async fn execute(
        &self,
        plan: BackupPlan,
        snapshot: &Snapshot,
        request: &BackupRequest,
        stopwatch: &mut Stopwatch<'_>,
    ) -> Result<Stored, EngineError> {
        let list = self.repository.chunk_list(&request.database, &self.id)?;
        let mut collector = Collector::new(list, &plan);

        stopwatch.begin("data", Some(plan.piece_count()));
        let (stored, entries) = entries_for(self.run.ports.sessions());
        tokio::try_join!(
            streams::store_schema(self, snapshot, stored.clone()),
            rows::store_rows(self, snapshot, &plan, stored),
            collector.take(entries),
        )?;
        // Sequences ignore snapshots. Read last, their values are at or after every copied row.
        stopwatch.begin("sequences", None);
        let (stored, entries) = entries_for(1);
        tokio::try_join!(streams::store_sequences(self, snapshot, stored), collector.take(entries))?;

        collector.finish(plan).await
    }

    /// The end of the ledger, which the backup's manifest names and so protects.
    ///
    /// When the ledger lacks the entry that the previous backup named (`before`), or is damaged otherwise, the backup names the same entry
    /// again. An entry that was cut off must not be forgotten with the next backup. A damaged ledger does not stop backups: the verification
    /// after each backup walks the ledger and reports the damage.
    async fn newest_entry(&self, before: Option<LedgerLink>) -> Option<LedgerLink> {
        let newest = self.run.ledger(self.repository).newest_link(before).await;
        newest.unwrap_or_else(|error| {
            let error = EngineError::from(error);
            let (error, hint) = (error.story(), error.hint());
            tracing::error!(
                error,
                hint,
                "the ledger's end cannot be read; the backup names the entry that the previous one named"
            );
            before
        })
    }

    fn manifest(
        &self,
        request: &BackupRequest,
        source: Source,
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

/// Fails with the first check that failed, because later failures often follow from it. The log of each run has the doctor's warnings.
async fn require_fit(run: &Run, source: &ConnectionSettings, tools: &ClientTools) -> Result<(), EngineError> {
    for check in doctor(source, tools, &run.policy.left_out).await {
        match check.outcome {
            Checked::Ok(seen) => tracing::debug!(step = check.name, "{seen}"),
            Checked::Warn { seen, hint } => tracing::warn!(step = check.name, hint, "{seen}"),
            Checked::Failed(error) => return Err(error.into()),
        }
    }
    Ok(())
}
