//! `test-restore`, the drill: restores a backup from one site alone into a scratch database, proves it equal, and drops the database.

mod choice;
mod ending;
mod identity;
mod place;
mod request;
mod turn;

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use lifeboat_model::{DrillReport, Manifest, Phases, ScratchEntry};
use lifeboat_postgres::RestoreTarget;

use crate::announcement::announce;
use crate::error::EngineError;
use crate::restore::{Proofs, Restore, finish, prove};
use crate::run::Run;
use crate::scratch::report_leftovers;
use crate::stopwatch::Stopwatch;

use choice::Chosen;
use ending::{DrillEnding, gone_parts};
use place::DrillPlace;

pub(crate) use ending::failed;
pub use request::{BackupChoice, DrillRequest, DrillTarget};
pub use turn::drill_in_turn;

/// Time kept for dropping the scratch database. The server removes its files and writes a checkpoint meanwhile.
const CLEANING: Duration = Duration::from_secs(60);

/// Restores a backup, proves it equal, and announces how it ended.
///
/// A difference is not an error: the report's findings list it, and `equal` is false. An error means that the backup could not be restored
/// at all. A scratch database that cannot be dropped is named in the announcement, and has an incident of its own.
pub async fn drill(run: &Run, request: &DrillRequest) -> Result<DrillReport, EngineError> {
    let mut chosen = None;
    let Ended { result, left, kept, is_kept } = Box::pin(restore_prove_and_clean(run, request, &mut chosen)).await;
    // Only a drill that proved something resolves an incident.
    let gone = match &result {
        Ok(report) if report.equal => gone_parts(run, &request.database).await,
        _ => Vec::new(),
    };
    let ending = DrillEnding { request, result: &result, left: left.as_ref(), is_kept, chosen: chosen.as_ref(), gone };
    let announced = announce(run, &ending).await;
    let reported = match &left {
        Some(left) => report_leftovers(run, Some(left)).await,
        None => Ok(()),
    };
    let ended = result.and_then(|report| announced.and(reported).map(|()| report));
    if let (Ok(_), Some(kept)) = (&ended, kept) {
        let refused = run.deadline.bound(Box::pin(finish(&kept))).await?;
        refused.into_iter().for_each(|refused| tracing::warn!("{refused}"));
    }
    ended
}

/// What a drill came to.
struct Ended {
    result: Result<DrillReport, EngineError>,
    /// The scratch database that could not be dropped.
    left: Option<ScratchEntry>,
    /// The database that is kept.
    kept: Option<RestoreTarget>,
    /// Whether its report is stored.
    is_kept: bool,
}

/// The scratch database is dropped whether the proofs hold or not, and also when the work has used up its time.
async fn restore_prove_and_clean(run: &Run, request: &DrillRequest, chosen: &mut Option<Chosen>) -> Ended {
    let started_at = Timestamp::now();
    let mut stopwatch = Stopwatch::new(&*run.progress);
    let mut place = DrillPlace::default();
    let work = Box::pin(restore_and_prove(run, request, chosen, &mut place, &mut stopwatch));
    let proven = run.deadline.keeping(CLEANING).bound(work).await;

    stopwatch.begin("drop", None);
    let mut notes = place.notes();
    let kept = place.kept();
    let left = place.clean(run).await;
    notes.extend(left.as_ref().map(|left| format!("scratch database {left} could not be dropped, and holds the rows")));
    let result =
        proven.map(|(manifest, proofs)| proofs.report(request, &manifest, started_at, notes, stopwatch.phases()));
    let is_kept = match &result {
        Ok(report) => keep_report(run, report).await,
        Err(_) => false,
    };
    Ended { result, left, kept, is_kept }
}

async fn restore_and_prove(
    run: &Run,
    request: &DrillRequest,
    chosen: &mut Option<Chosen>,
    place: &mut DrillPlace,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<(Manifest, Proofs), EngineError> {
    stopwatch.begin("choose", None);
    let tools = run.ports.tools().await?;
    let repository = run.repository_on(request.site).await?;
    let chosen = chosen.insert(choice::choose(&repository, request).await?);
    let manifest = repository.authenticated_manifest(&request.database, &chosen.backup_id, request.site).await?;

    stopwatch.begin("create", None);
    let target = place.prepare(run, request, &repository, &manifest).await?;
    chosen.is_restoring = true;
    let restore = Restore {
        run,
        repository: &repository,
        site: request.site,
        manifest: &manifest,
        tools: &tools,
        is_kept: matches!(request.into, DrillTarget::Keep(_)),
    };
    let proofs = place.while_on_record(Box::pin(restore_then_prove(&restore, &target, stopwatch))).await?;
    Ok((manifest, proofs))
}

async fn restore_then_prove(
    restore: &Restore<'_>,
    target: &RestoreTarget,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<Proofs, EngineError> {
    let restored = restore.execute(target, stopwatch).await?;
    stopwatch.begin("prove", Some(restore.manifest.totals.relations));
    let roles = restored.roles.clone();
    let proofs = prove(restore, target, restored).await;
    // Only now: a member reads what belongs to these roles.
    let stays = restore.leave(target, &roles).await;
    proofs.map(|mut proofs| {
        proofs.notes.extend(stays);
        proofs
    })
}

/// Stores the report as `drills/<database>/<time>.json` on each site by itself: it is the proof of the drill, and one site may be away. Says
/// whether any site has it.
///
/// The stored report has no definitions: it is not sealed, as the inventory is.
async fn keep_report(run: &Run, report: &DrillReport) -> bool {
    let mut report = report.clone();
    report.set_aside.iter_mut().for_each(|aside| aside.definition = None);
    let (report, sites) = (&report, run.ports.sites.names());
    let kept = join_all(sites.iter().map(|site| async move {
        let keeping = async { Ok(run.repository_on(*site).await?.put_drill(report).await?) };
        let kept = run.deadline.bound(Box::pin(keeping)).await;
        if let Err(error) = &kept {
            let (error, hint) = (error.story(), error.hint());
            tracing::error!(%site, error, hint, "the report of the drill could not be stored");
        }
        kept.is_ok()
    }));
    kept.await.contains(&true)
}

impl Proofs {
    fn report(
        self,
        request: &DrillRequest,
        manifest: &Manifest,
        started_at: Timestamp,
        notes: Vec<String>,
        seconds: Phases,
    ) -> DrillReport {
        DrillReport {
            database: request.database.clone(),
            backup_id: manifest.backup_id.clone(),
            site: request.site,
            started_at,
            finished_at: Timestamp::now(),
            outcome: Some(self.outcome),
            equal: self.findings.is_empty(),
            set_aside: self.set_aside,
            rows: self.tables.iter().map(|table| table.rows).sum(),
            tables: self.tables,
            schema_objects: self.schema_objects,
            large_objects: self.large_objects,
            findings: self.findings,
            notes: notes.into_iter().chain(self.notes).collect(),
            not_compared: self.not_compared,
            left_out: manifest.left_out_by_policy(),
            seconds,
        }
    }
}
