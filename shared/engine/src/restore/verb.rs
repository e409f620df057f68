//! `restore`: brings a backup back into a database that stays, and proves it.

use jiff::Timestamp;
use lifeboat_model::{PlanHash, PlannedRestore, RestoreReport, Site, TargetState};
use lifeboat_postgres::{DoneMarks, RestoreTarget};
use lifeboat_vault::{Detours, SiteOrder};

use super::ending::RestoreEnding;
use super::inputs::Restore;
use super::plan::{Prepared, prepare};
use super::request::RestoreRequest;
use super::whole::finish;
use crate::announcement::announce;
use crate::error::EngineError;
use crate::run::Run;
use crate::stopwatch::Stopwatch;

/// Executes the plan that a person approved, proves what it restored, and announces how it ended.
///
/// A restore that was killed, or ran out of time, goes on where it stopped: call this again with the same plan. Nothing is loaded twice. Only
/// when its result is on record, the marks of what it has done are dropped from the database.
///
/// Rows that are missing are no error: the report's `outcome` says so. A plan that is refused changes nothing and is not announced: only the one
/// who asked needs to know.
///
/// # Errors
/// [`EngineError::CannotRestore`] when a finding of the plan is in the way; [`EngineError::PlanChanged`] when the plan is not the approved one
/// any longer; the failures of [`plan_restore`](super::plan::plan_restore); why the restore could not come to an end.
pub async fn restore(run: &Run, request: &RestoreRequest, approved: PlanHash) -> Result<RestoreReport, EngineError> {
    let started_at = Timestamp::now();
    let mut stopwatch = Stopwatch::new(&*run.progress);
    stopwatch.begin("plan", None);
    let prepared = Box::pin(run.deadline.bound(Box::pin(prepare(run, request)))).await?;
    require_approved(&prepared.planned, approved)?;

    let mut kept = None;
    let work = Box::pin(execute(run, request, &prepared, &mut kept, started_at, &mut stopwatch));
    let result = run.deadline.bound(work).await;
    let Prepared { planned, order, .. } = &prepared;
    let ending = RestoreEnding { planned, detours: detours(order, planned.site), result: &result };
    let announced = announce(run, &ending).await;
    let report = result.and_then(|report| announced.map(|()| report))?;
    if let Some(target) = &kept {
        let left = run.deadline.bound(Box::pin(finish(target))).await?;
        left.into_iter().for_each(|left| tracing::warn!("{left}"));
    }
    Ok(report)
}

async fn execute(
    run: &Run,
    request: &RestoreRequest,
    prepared: &Prepared,
    kept: &mut Option<RestoreTarget>,
    started_at: Timestamp,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<RestoreReport, EngineError> {
    let Prepared { planned, repository, order, manifest, tools } = prepared;
    stopwatch.begin("create", None);
    let target = RestoreTarget::new(request.to.clone());
    let mut notes: Vec<String> = match planned.target {
        TargetState::New => target.create_database(&manifest.source).await?.into_iter().collect(),
        TargetState::Empty | TargetState::Unfinished | TargetState::Occupied => Vec::new(),
    };
    let marks = target.begin_marks(&run.id, &manifest.backup_id, DoneMarks::PATIENCE).await?;
    let run_id = marks.run_id().to_owned();
    let target = kept.insert(target.with_marks(marks));
    let site = planned.site;
    let restore = Restore { run, repository, order: order.clone(), manifest, tools, is_kept: true };
    let proofs = Box::pin(restore.execute_and_prove(target, stopwatch)).await?;
    notes.extend(detours(order, site));
    Ok(RestoreReport {
        run_id,
        plan: planned.hash,
        to: planned.plan.to.clone(),
        proved: proofs.report(site, manifest, started_at, notes, stopwatch.phases()),
    })
}

fn require_approved(planned: &PlannedRestore, approved: PlanHash) -> Result<(), EngineError> {
    if let Some(obstacle) = planned.obstacle() {
        let (what, hint) = (obstacle.what.clone(), obstacle.hint.clone());
        return Err(EngineError::CannotRestore { what, hint });
    }
    if planned.hash != approved {
        return Err(EngineError::PlanChanged { approved, now: planned.hash });
    }
    Ok(())
}

/// What another site gave than the preferred one, as a sentence.
fn detours(order: &SiteOrder, site: Site) -> Option<String> {
    order.detours().map(|Detours { objects, from, why }| {
        format!("{objects} object(s) were read from {from}, because {site} did not give them, first: {why}")
    })
}
