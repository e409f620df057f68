//! `health`: checks that scheduled runs happened. A run that never started cannot report anything itself.

mod freshness;
mod history;
mod keys;
mod listeners;
mod metrics;
mod proofs;
mod protection;
mod request;
mod schedules;
mod sites;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use lifeboat_model::{
    Act, AlertKind, Cleared, DatabaseName, Event, Fact, Facts, HealthReport, History, Outcome, PolicyVersions, Probe,
    Sighting, Site, Wrong,
};
use lifeboat_vault::States;

use crate::deadline::within;
use crate::error::EngineError;
use crate::incidents::{self, Change, send_owed};
use crate::policy::adopt_policy;
use crate::run::Run;
use crate::scratch::{probe_scratch, unread_scratch};

use history::keep_history;
use keys::{LOOK_WITHIN, probe_keys};
use listeners::probe_listeners;
use metrics::metrics;
use protection::probe_protection;
use schedules::{dates, lag, unknown, unread_drills};

pub(crate) use freshness::{Age, Observed, SiteBackups, ages, lacks, observe, too_old};
pub(crate) use history::look_at_history;
pub use request::HealthRequest;
pub(crate) use sites::{SITE_WITHIN, SiteView, readable, site_views};

/// How many databases' backups are listed at the same time. A database with many backups must not hold up the others.
const LISTED_AT_ONCE: usize = 8;

/// How many incidents are opened, updated or resolved at the same time.
const CHANGED_AT_ONCE: usize = 8;

/// The name of the stored state that holds the last report.
pub(crate) const HEALTH: &str = "health";

/// Checks the schedules of each database, the backups that the off-site lacks, and the keys and buckets of both sites. Notifies nobody. A problem is part
/// of the answer, not an error. Anything that cannot be checked is a problem.
pub async fn look_at_health(run: &Run, request: &HealthRequest) -> HealthReport {
    look(run, request, false).await
}

/// Checks everything, puts a changed `policy` document in force, opens and resolves incidents, and sends pending alerts. Each step has a time
/// limit, and a step that fails does not stop the others.
///
/// # Errors
/// The first failure; [`EngineError::Unannounced`] when an alert could not be sent.
pub async fn check_health(
    run: &Run,
    request: &HealthRequest,
    policy: Option<Result<&PolicyVersions, &Wrong>>,
) -> Result<HealthReport, EngineError> {
    let adopting_and_sending = async {
        // Not at the same time: both send alerts in the name of the same run.
        let adopted = within(LOOK_WITHIN, Box::pin(adopt(run, policy))).await;
        (adopted, within(LOOK_WITHIN, Box::pin(send_owed(run))).await)
    };
    let ((adopted, owed), report) = tokio::join!(adopting_and_sending, look(run, request, true));
    let changes = change_incidents(run, request, &report.probes).await;
    let notified = incidents::send(run, &changes).await;
    record(run, &report.probes, &changes).await;
    let report = HealthReport { sent: *owed.as_ref().unwrap_or(&0), ..report };
    let kept = keep(run, &report).await;
    let requested = request_cleanup(run, request, &report).await;
    let ended = notified.and(owed.map(drop)).and(adopted).and(kept).and(requested);
    let incidents = incidents::incidents(run).await;
    metrics(&report, incidents.as_deref().ok(), ended.is_ok()).emit();
    ended.map(|()| report)
}

/// `keeps_history` is set for a run that may write.
async fn look(run: &Run, request: &HealthRequest, keeps_history: bool) -> HealthReport {
    let at = Timestamp::now();
    let schedules = within(LOOK_WITHIN, Box::pin(probe_schedules(run, request, keeps_history, at)));
    let scratch = within(SITE_WITHIN, Box::pin(probe_scratch(run, at)));
    let (mut probes, protection, listeners, schedules, scratch) =
        tokio::join!(probe_keys(run), probe_protection(run), probe_listeners(run, request), schedules, scratch);
    probes.extend(protection);
    probes.extend(listeners);
    // The runs themselves report a failing store. Here it leaves the schedules unknown.
    let all_unknown = |error| request.databases.iter().map(|database| unknown(database, &error)).collect();
    probes.extend(schedules.unwrap_or_else(all_unknown));
    match scratch {
        Ok(scratch) => probes.push(scratch),
        Err(error) => probes.push(unread_scratch(&error)),
    }
    HealthReport { at, probes, sent: 0 }
}

/// Asks for a cleanup while a scratch database is left. The function that drills does it: this one has neither the secret of the scratch
/// server nor a way to it.
async fn request_cleanup(run: &Run, request: &HealthRequest, report: &HealthReport) -> Result<(), EngineError> {
    let is_left = |probe: &Probe| probe.name.kind == AlertKind::DrillLeftover && probe.wrong.is_some();
    if !request.drills || !report.probes.iter().any(is_left) {
        return Ok(());
    }
    let event = Event::ScratchCleanupRequested { requested_at: report.at, trigger: run.mandate.actor.clone() };
    run.ports.outbox.publish(&event).await.or_else(|error| run.not_notified(error))
}

async fn adopt(run: &Run, policy: Option<Result<&PolicyVersions, &Wrong>>) -> Result<(), EngineError> {
    match policy {
        Some(versions) => adopt_policy(run, versions).await.map(drop),
        None => Ok(()),
    }
}

/// Opens, updates and resolves the incidents of everything that was checked. Resolves those about a database or site that is no longer
/// configured.
async fn change_incidents(run: &Run, request: &HealthRequest, probes: &[Probe]) -> Vec<Change> {
    let known = incidents::incidents(run).await.unwrap_or_else(|error| {
        tracing::warn!(
            error = error.story(),
            "the incidents cannot be read, so those about removed databases or sites stay open"
        );
        Vec::new()
    });
    let sites = run.ports.sites.names();
    let unconfigured = known.into_iter().filter(|incident| incident.is_open() && !request.concerns(incident, &sites));
    let unconfigured = unconfigured.map(|incident| (incident.name, None));
    let looked_at = probes.iter().map(|probe| (probe.name.clone(), sighting(probe)));
    let changed = looked_at.chain(unconfigured).map(|(name, wrong)| async move {
        match wrong {
            Some(sighting) => Some(incidents::report(run, &name, &sighting).await),
            None => incidents::clear(run, &name, &Cleared::All).await,
        }
    });
    futures_util::stream::iter(changed).buffered(CHANGED_AT_ONCE).filter_map(std::future::ready).collect().await
}

fn sighting(probe: &Probe) -> Option<Sighting> {
    Some(Sighting { database: probe.database.clone(), ..probe.wrong.clone()?.into() })
}

/// Records in the ledger each incident that was opened or resolved. An incident that stays open has its entry already.
async fn record(run: &Run, probes: &[Probe], changes: &[Change]) {
    for change in changes.iter().filter(|change| change.transition.is_news()) {
        let wrong = probes.iter().find(|probe| probe.name == change.name).and_then(|probe| probe.wrong.as_ref());
        let outcome = if wrong.is_some() { Outcome::Failed } else { Outcome::Completed };
        let facts = Facts::new().with_some(Fact::Error, wrong.map(|wrong| &wrong.what)).with(Fact::Incident, change);
        let act = run.act_of(Act::Health, change.name.to_string(), outcome, facts);
        if let Err(error) = run.record(act).await {
            let (error, hint) = (error.story(), error.hint());
            tracing::error!(error, hint, "an incident that was opened or resolved could not be recorded in the ledger");
            // The next entry would wait just as long.
            return;
        }
    }
}

/// Stores the report for the status page, which has no permission to use a key.
async fn keep(run: &Run, report: &HealthReport) -> Result<(), EngineError> {
    let states = States::new(&run.ports.sites);
    let keeping = async {
        let state = states.read::<HealthReport>(HEALTH).await?;
        states.replace(HEALTH, state, report).await?;
        Ok(())
    };
    within(LOOK_WITHIN, Box::pin(keeping)).await
}

async fn probe_schedules(
    run: &Run,
    request: &HealthRequest,
    keeps_history: bool,
    at: Timestamp,
) -> Result<Vec<Probe>, EngineError> {
    let views = site_views(run).await;
    let repository = readable(&views).ok().flatten();
    let history = match keeps_history {
        true => keep_history(run, repository, request, at).await?,
        false => look_at_history(run, repository).await?,
    };
    let each = request.databases.iter().map(|database| probe_database(run, request, &views, &history, database, at));
    let probes: Vec<Vec<Probe>> = futures_util::stream::iter(each).buffered(LISTED_AT_ONCE).collect().await;
    Ok(probes.into_iter().flatten().collect())
}

async fn probe_database(
    run: &Run,
    request: &HealthRequest,
    views: &[SiteView],
    history: &History,
    database: &DatabaseName,
    at: Timestamp,
) -> Vec<Probe> {
    let observed = observe(run, views, request, database, at).await;
    let mut probes: Vec<Probe> = match ages(run, &observed, history, database, request, at) {
        Ok(ages) => ages.iter().map(|age| schedules::freshness(database, age)).collect(),
        Err(error) => vec![unknown(database, &error)],
    };
    probes.extend(observed.unread_drills().map(|error| unread_drills(database, error)));
    let listed = &observed.listed;
    probes.extend(dates(listed, database));
    if let Some(offsite) = listed.iter().find(|one| one.site == Site::Offsite) {
        probes.push(lag(run, listed, offsite, database, at));
    }
    probes
}
