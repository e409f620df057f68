//! `backup`: reads one consistent view of one database, seals it and stores it on every site.

mod collector;
mod ending;
mod new_backup;
mod offsite;
mod plan;
mod previous;
mod request;
mod rows;
mod streams;

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use lifeboat_model::{BackupId, ChunkKey, LedgerLink, Manifest, Site, Source};
use lifeboat_postgres::{
    Checked, ClientTools, ConnectionSettings, PostgresError, Readers, SequenceValues, ServerIdentity, Snapshot,
    SnapshotOptions, doctor,
};
use lifeboat_vault::{Repository, sha256};

use crate::announcement::announce;
use crate::error::EngineError;
use crate::lease::{RunLease, require_free};
use crate::run::Run;
use crate::stopwatch::Stopwatch;

use collector::{Collector, Entries, Stored, entries_for};
use ending::BackupEnding;
use new_backup::NewBackup;
use previous::{already_answered, remember_previous};

pub(crate) use ending::failed;
pub use plan::{BackupPlan, plan_backup};
pub use request::{Asked, BackupRequest};

/// How often a backup takes a new snapshot because a relation was altered or dropped while it began. A job that does so every few seconds
/// rarely meets all of them.
const SNAPSHOT_ATTEMPTS: u32 = 5;

/// Takes a backup and announces how it ended.
///
/// Returns the manifest of the complete backup: the new one, or the one that already answers the request. On any error but
/// [`EngineError::OffsiteBehind`] the repository has no new backup, but the next run reuses the stored chunks. It may run twice, and may be
/// killed at any point.
pub async fn backup(run: &Run, request: &BackupRequest) -> Result<Manifest, EngineError> {
    let result = run.deadline.bound(Box::pin(take_backup(run, request))).await;
    if let Err(error) = &result
        && (request.is_underway(error) || request.is_postponed(error, &run.policy))
    {
        // The run that holds the lease answers this request and announces the result. A backup that had no turn is requested again, or a
        // person repeats it.
        tracing::info!(database = %request.database, error = error.story(), "this run takes no backup");
        return result;
    }
    let announced = announce(run, &BackupEnding { database: &request.database, result: &result }).await;
    result.and_then(|manifest| announced.map(|()| manifest))
}

async fn take_backup(run: &Run, request: &BackupRequest) -> Result<Manifest, EngineError> {
    let mut stopwatch = Stopwatch::new(&*run.progress);
    let started = Timestamp::now();

    stopwatch.begin("turn", None);
    let tools = run.ports.tools().await?;
    let server = server_name(&request.source).await?;
    let repository = run.repository_or_new(started).await?;
    if let Some(answered) = already_answered(repository, request).await?
        && !repository.is_behind(&request.database, &answered.backup_id).await?
    {
        return Ok(answered);
    }
    // Who has the lease of a database has had a turn before: a run that only waits for one keeps no other from answering the request.
    let lease = format!("backup-{}", request.database);
    require_free(run, repository, &lease).await?;
    let turn = RunLease::take_turn(run, repository, &server, run.policy.per_server).await?;
    match RunLease::take(run, repository, &lease).await {
        Ok(lease) => lease.hold(Box::pin(answer(run, request, repository, tools, turn, &mut stopwatch))).await,
        Err(error) => {
            turn.give_back().await;
            Err(error)
        }
    }
}

/// Answers the request under the database's lease. The turn ends with the last connection to the server.
async fn answer(
    run: &Run,
    request: &BackupRequest,
    repository: &Repository,
    tools: ClientTools,
    turn: RunLease,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<Manifest, EngineError> {
    // Another delivery of the same request may have ended between the first check and the lease.
    match already_answered(repository, request).await {
        Ok(None) => {}
        Ok(Some(answered)) => {
            turn.give_back().await;
            return offsite::complete(repository, answered).await;
        }
        Err(error) => {
            turn.give_back().await;
            return Err(error);
        }
    }
    let copied = turn.hold(Box::pin(copy_in_turn(run, request, repository, tools, stopwatch))).await?;
    let Copied { new, ledger, source, stored } = copied;
    let ledger = new.newest_entry(ledger).await;
    let manifest = new.manifest(request, source, stored, ledger, stopwatch.phases());
    stopwatch.begin("publish", None);
    publish(repository, &manifest, new.writer.chunk_key()).await?;
    // The new backup is published first: it is the most valuable one, and few chunks of older backups are missing then.
    stopwatch.begin("bring over", None);
    offsite::bring_over(&new, &request.database).await;
    Ok(manifest)
}

/// A copy that is stored and not published yet.
struct Copied<'a> {
    new: NewBackup<'a>,
    /// The ledger entry that the previous backup names.
    ledger: Option<LedgerLink>,
    source: Source,
    stored: Stored,
}

/// Everything that needs connections to the server.
async fn copy_in_turn<'a>(
    run: &'a Run,
    request: &BackupRequest,
    repository: &'a Repository,
    tools: ClientTools,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<Copied<'a>, EngineError> {
    stopwatch.begin("doctor", None);
    let (started, began) = (Timestamp::now(), Instant::now());
    let readers = require_fit(run, &request.source, &tools).await?;
    // This precedes the snapshot, which holds locks and holds back the database's vacuum.
    stopwatch.begin("remember", None);
    let writer = Arc::new(repository.begin_writing(started).await?);
    let previous = remember_previous(repository, &writer, &request.database).await?;

    let next_id = || BackupId::following(previous.id.as_ref(), started, fastrand::u32(..));
    let mut new = NewBackup { run, repository, id: next_id(), started, began, tools, readers, writer };
    let mut attempt = 1;
    let (source, stored) = loop {
        match copy_database(&new, request, stopwatch).await {
            Err(EngineError::Postgres(PostgresError::RewrittenDuringSnapshot { relation }))
                if attempt < SNAPSHOT_ATTEMPTS =>
            {
                tracing::info!(table = relation, attempt, "changed between snapshot and lock, starting over");
                // The chunk list of the id may be begun. The stored chunks are reused.
                new.id = next_id();
                attempt += 1;
            }
            copied => break copied?,
        }
    };
    Ok(Copied { new, ledger: previous.ledger, source, stored })
}

/// Takes a snapshot and stores what the backup's plan wants of it.
async fn copy_database(
    new: &NewBackup<'_>,
    request: &BackupRequest,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<(Source, Stored), EngineError> {
    stopwatch.begin("snapshot", None);
    let options = SnapshotOptions { left_out: new.run.policy.left_out.clone(), ..SnapshotOptions::default() };
    let snapshot = Snapshot::take(&request.source, &options).await?;
    let plan = plan_backup(snapshot.relations(), snapshot.large_objects().await?)?;
    let stored = tokio::select! {
        stored = execute_backup(new, plan, &snapshot, request, stopwatch) => stored,
        // The database is more important than the backup. The next run reuses the stored chunks.
        must_end = snapshot.guard() => Err(must_end.into()),
    };
    // The snapshot ends first, even after a failure, because it holds back the database's vacuum.
    let source = snapshot.source().clone();
    let ended = snapshot.close().await;
    let stored = stored?;
    // If the snapshot ended too early, a session may have read another view of the database.
    ended?;
    Ok((source, stored))
}

/// Starts that the names of turns tell apart. A server that starts for each backup must not leave a new lease each time.
const STARTS: i64 = 1000;

/// The name of a server's turns, whatever address it has: its system identifier and the end of its start in seconds. Servers made from one
/// image share the identifier. Where a role may not read it, a hash of the address.
async fn server_name(source: &ConnectionSettings) -> Result<String, EngineError> {
    let ServerIdentity { system_identifier, started_at } = source.server_identity().await?;
    Ok(match system_identifier {
        Some(identifier) => format!("server-{identifier}-{:03}", started_at.as_second().rem_euclid(STARTS)),
        None => format!("server-{}", sha256(source.address().as_bytes())),
    })
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
    match repository.has_manifest(&manifest.database, &backup_id, Site::Primary).await {
        Ok(true) => Err(EngineError::OffsiteBehind { backup_id, source: Arc::new(source) }),
        _ => Err(source.into()),
    }
}

/// Carries out the plan: copies, seals and stores everything in it.
async fn execute_backup(
    new: &NewBackup<'_>,
    plan: BackupPlan,
    snapshot: &Snapshot,
    request: &BackupRequest,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<Stored, EngineError> {
    let list = new.repository.chunk_list(&request.database, &new.id)?;
    let mut collector = Collector::new(list, &plan);

    stopwatch.begin("data", Some(plan.piece_count()));
    let (stored, entries) = entries_for(new.readers.sessions);
    let (earlier, ()) = tokio::try_join!(read_snapshot(new, snapshot, &plan, stored), collector.take(entries))?;
    // Sequences ignore snapshots. Read last, their values are at or after every copied row.
    stopwatch.begin("sequences", None);
    let (stored, entries) = entries_for(1);
    tokio::try_join!(streams::store_sequences(new, snapshot, &earlier, stored), collector.take(entries))?;

    collector.finish(plan).await
}

/// Stores the definitions and the rows. Gives the sequences' values at the time of the definitions.
async fn read_snapshot(
    new: &NewBackup<'_>,
    snapshot: &Snapshot,
    plan: &BackupPlan,
    stored: Entries,
) -> Result<SequenceValues, EngineError> {
    let schema = streams::store_schema(new, snapshot, stored.clone());
    let rows = rows::store_rows(new, snapshot, plan, stored);
    if new.readers.take_turns {
        // The last client program has ended when the first row is read.
        let earlier = schema.await?;
        rows.await?;
        return Ok(earlier);
    }
    tokio::try_join!(schema, rows).map(|(earlier, ())| earlier)
}

/// Fails with the first check that failed, because later failures often follow from it. The log of each run has the doctor's warnings. Returns
/// the sessions that may read rows.
async fn require_fit(run: &Run, source: &ConnectionSettings, tools: &ClientTools) -> Result<Readers, EngineError> {
    let examined = doctor(source, tools, &run.policy.left_out, run.load()).await;
    for check in examined.checks {
        match check.outcome {
            Checked::Ok(seen) => tracing::debug!(step = check.name, "{seen}"),
            Checked::Warn { seen, hint } => tracing::warn!(step = check.name, hint, "{seen}"),
            Checked::Failed(error) => return Err(error.into()),
        }
    }
    Ok(examined.readers)
}
