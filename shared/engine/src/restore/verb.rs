//! `restore`: brings a backup back into a database that stays, and proves it.

use jiff::Timestamp;
use lifeboat_model::{PlanHash, PlannedRestore, RestoreReport, Site, TargetState};
use lifeboat_postgres::{DoneMarks, RestoreTarget};
use lifeboat_vault::{Detours, SiteOrder};
use serde::{Deserialize, Serialize};

use super::ending::RestoreEnding;
use super::inputs::Restore;
use super::plan::{Prepared, prepare};
use super::request::RestoreRequest;
use super::whole::finish;
use crate::announcement::announce;
use crate::error::EngineError;
use crate::run::Run;
use crate::stopwatch::Stopwatch;

/// The step whose result is [`Begun`].
const BEGUN: &str = "begun";

/// What only the first attempt knows.
#[derive(Serialize, Deserialize)]
struct Begun {
    started_at: Timestamp,
    /// How the database that it created differs from the source's.
    notes: Vec<String>,
}

/// Executes the plan that a person approved, proves what it restored, and announces how it ended.
///
/// A restore that was killed, or ran out of time, goes on where it stopped: call this again with the same plan. Nothing is loaded twice. Only
/// when its result is on record, the marks of what it has done are dropped from the database.
///
/// Rows that are missing are no error: the report's `outcome` says so. A plan that is refused changes nothing and is not announced: only the one
/// who asked needs to know. The same holds for a restore that cannot begin, because another one is at it, for example.
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

    stopwatch.begin("create", None);
    let (target, begun) = Box::pin(run.deadline.bound(Box::pin(begin(run, request, &prepared, started_at)))).await?;

    let result = run.deadline.bound(Box::pin(execute(run, &prepared, &target, begun, &mut stopwatch))).await;
    let Prepared { planned, order, .. } = &prepared;
    let ending = RestoreEnding { planned, detours: detours(order, planned.site), result: &result };
    let announced = announce(run, &ending).await;
    let mut report = result.and_then(|report| announced.map(|()| report))?;
    report.proved.notes.extend(run.deadline.bound(Box::pin(finish(&target))).await?);
    Ok(report)
}

/// Creates the database where there is none, and begins in it, or goes on with the restore that is unfinished there.
async fn begin(
    run: &Run,
    request: &RestoreRequest,
    prepared: &Prepared,
    started_at: Timestamp,
) -> Result<(RestoreTarget, Begun), EngineError> {
    let Prepared { planned, manifest, tools, .. } = prepared;
    let target = RestoreTarget::new(request.to.clone());
    let mut notes = Vec::new();
    if planned.target == TargetState::New {
        notes.extend(target.create_database(&manifest.source).await?);
    }
    let marks = target.begin_marks(&run.id, &manifest.backup_id, tools, DoneMarks::PATIENCE).await?;
    let target = target.with_marks(marks);
    let begun = target.once(BEGUN, async { Ok::<_, EngineError>(Begun { started_at, notes }) }).await?;
    Ok((target, begun))
}

async fn execute(
    run: &Run,
    prepared: &Prepared,
    target: &RestoreTarget,
    begun: Begun,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<RestoreReport, EngineError> {
    let Prepared { planned, repository, order, manifest, tools } = prepared;
    let (site, run_id) = (planned.site, target.marks().map_or(run.id.as_str(), |marks| marks.run_id()));
    let restore = Restore { run, repository, order: order.clone(), manifest, tools, is_kept: true };
    let proofs = Box::pin(restore.execute_and_prove(target, stopwatch)).await?;
    let Begun { started_at, mut notes } = begun;
    notes.extend(detours(order, site));
    Ok(RestoreReport {
        run_id: run_id.to_owned(),
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
