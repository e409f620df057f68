//! `status`: the whole state at a glance. It changes nothing, needs no key, and still answers when parts of it cannot be read.

use std::cmp::Reverse;
use std::time::Instant;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{
    Act, AlertKind, BackupId, BackupsStatus, Component, ComponentsStatus, Costs, DatabaseName, DatabaseStatus,
    HealthReport, History, Incident, IncidentName, IncidentState, IncidentSubject, LastBackup, LedgerEntry, Outcome,
    ScheduleStatus, Site, SiteStatus, Standing, Status,
};
use lifeboat_vault::{LedgerFilter, Repository, States, answers};

use crate::deadline::within;
use crate::error::EngineError;
use crate::health::{
    Age, HEALTH, HealthRequest, Observed, SITE_WITHIN, SiteBackups, SiteView, ages, lacks, look_at_history, observe,
    readable, site_views, too_old,
};
use crate::incidents::incidents;
use crate::run::Run;

/// How many entries of the ledger are shown.
const TAIL: usize = 12;

/// How many resolved incidents are shown.
const OVER_SHOWN: usize = 12;

/// A health report older than this is stale. CloudWatch's alarm waits as long.
const LOOKED_WITHIN: SignedDuration = SignedDuration::from_mins(60);

/// Reads everything. The status names each part that cannot be read, and shows the rest.
pub async fn status(run: &Run, request: &HealthRequest) -> Status {
    let at = Timestamp::now();
    let mut unread = Unread::default();
    let (views, stores, looked, incidents) = tokio::join!(
        site_views(run),
        join_all(run.ports.sites.names().into_iter().map(|site| store(run, site))),
        in_time(look(run)),
        in_time(incidents(run)),
    );
    for SiteView { site, repository } in &views {
        unread.note(&format!("the repository on {site}"), repository.as_ref().err().map(AsRef::as_ref));
    }
    let repository = readable(&views).ok();
    let (history, tail, databases) = tokio::join!(
        in_time(look_at_history(run, repository.flatten())),
        in_time(tail(run, repository.flatten())),
        join_all(request.databases.iter().map(|database| observe(run, &views, request, database, at))),
    );
    // Without the repository these would be empty, which is not the same as unknown.
    let history = unread.or_note("the history", history).filter(|_| repository.is_some());
    let tail = unread.or_note("the ledger", tail).filter(|_| repository.is_some());
    let databases = request.databases.iter().zip(&databases);
    let databases =
        databases.map(|(database, observed)| database_status(run, observed, history.as_ref(), database, request, at));
    let backups = backups_status(databases.collect(), at);
    let looked = unread.or_note("the last health report", looked);
    let health = components_status(run, stores, looked.as_ref(), backups.last_backup.as_ref(), at);
    let incidents = shown(unread.or_note("the incidents", incidents).unwrap_or_default());
    let open = incidents.iter().filter(|incident| incident.is_open()).map(|incident| Standing::from(incident.severity));
    let unseen = unread.0.first().map(|_| Standing::Unknown);
    // A health check that has not run yet must not show as "no backups".
    let parts = Some(health.status).filter(|status| *status > Standing::Empty);
    let status = Standing::worst(open.chain(parts).chain([backups.status]).chain(unseen));
    let costs = history.as_ref().map(|history| costs(run, history, request, at));
    Status { at, status, unread: unread.0, backups, health, incidents, history, tail, costs }
}

/// One sentence for each part that could not be read.
#[derive(Default)]
struct Unread(Vec<String>);

impl Unread {
    fn note(&mut self, what: &str, error: Option<&EngineError>) {
        self.0.extend(error.map(|error| format!("{what} cannot be read: {}", error.story())));
    }

    fn or_note<T>(&mut self, what: &str, read: Result<T, EngineError>) -> Option<T> {
        self.note(what, read.as_ref().err());
        read.ok()
    }
}

async fn in_time<T>(reading: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
    within(SITE_WITHIN, Box::pin(reading)).await
}

async fn look(run: &Run) -> Result<Option<HealthReport>, EngineError> {
    Ok(States::new(&run.ports.sites).read::<HealthReport>(HEALTH).await?.value)
}

async fn tail(run: &Run, repository: Option<&Repository>) -> Result<Vec<LedgerEntry>, EngineError> {
    let Some(repository) = repository else { return Ok(Vec::new()) };
    Ok(run.ledger(repository).entries(&LedgerFilter::default(), TAIL).await?)
}

async fn store(run: &Run, site: Site) -> Component {
    let asked = Instant::now();
    let answer = in_time(async { Ok(answers(&run.ports.sites, site).await?) }).await;
    let latency_ms = u64::try_from(asked.elapsed().as_millis()).ok();
    let (status, detail) = match answer {
        Ok(()) => (Standing::Ok, None),
        // Backups continue without the off-site. Nothing works without the primary.
        Err(error) if site == Site::Offsite => (Standing::Warning, Some(error.story())),
        Err(error) => (Standing::Critical, Some(error.story())),
    };
    Component { name: format!("store {site}"), status, latency_ms, detail }
}

fn database_status(
    run: &Run,
    observed: &Observed,
    history: Option<&History>,
    database: &DatabaseName,
    request: &HealthRequest,
    at: Timestamp,
) -> DatabaseStatus {
    let listed = &observed.listed;
    let sites: Vec<SiteStatus> = listed.iter().map(|one| site_status(run, listed, one, at)).collect();
    let newest = sites.iter().filter_map(|site| site.newest.clone()).max();
    let last_backup = newest.and_then(|backup_id| {
        let began = backup_id.began_at()?;
        Some(LastBackup { database: database.clone(), backup_id, at: began })
    });
    // The ages are unknown without the ledger.
    let ages = history.and_then(|history| ages(run, observed, history, database, request, at).ok());
    let schedules: Vec<ScheduleStatus> = ages.iter().flatten().map(|age| schedule(run, age)).collect();
    let unknown = ages.is_none().then_some(Standing::Unknown);
    let all = schedules.iter().map(|schedule| schedule.status).chain(sites.iter().map(|site| site.status));
    let status = match (Standing::worst(all.chain(unknown)), &last_backup) {
        // A database that has a backup but no verification yet is fine. A database without a backup is not.
        (Standing::Empty, Some(_)) => Standing::Ok,
        (worst, _) => worst,
    };
    DatabaseStatus { database: database.clone(), status, last_backup, schedules, sites }
}

fn site_status(run: &Run, listed: &[SiteBackups], one: &SiteBackups, at: Timestamp) -> SiteStatus {
    let due = too_old(at, run.policy.freshness.offsite);
    let behind = lacks(listed, one.site, due).map(|lacking| lacking.len() as u64);
    let newest: Option<BackupId> = one.backups.as_ref().ok().and_then(|backups| backups.last().cloned());
    let status = match (&one.backups, behind, &newest) {
        (Err(_), ..) => Standing::Unknown,
        (Ok(_), Some(1..), _) => Standing::from(run.policy.rule(AlertKind::OffsiteLag).severity),
        (Ok(_), _, None) => Standing::Empty,
        (Ok(_), _, Some(_)) => Standing::Ok,
    };
    SiteStatus { site: one.site, status, newest, behind }
}

fn schedule(run: &Run, age: &Age) -> ScheduleStatus {
    let status = match age.last {
        _ if age.is_overdue() => Standing::from(run.policy.rule(age.overdue_kind).severity),
        None => Standing::Empty,
        Some(_) => Standing::Ok,
    };
    ScheduleStatus {
        kind: age.act.profile().noun.to_owned(),
        status,
        last: age.last,
        age_minutes: age.age.as_mins(),
        allowed_minutes: age.limit.as_mins(),
        overdue: age.is_overdue(),
    }
}

fn backups_status(databases: Vec<DatabaseStatus>, at: Timestamp) -> BackupsStatus {
    let last = databases.iter().filter_map(|database| database.last_backup.as_ref()).max_by_key(|last| last.at);
    let status = match (Standing::worst(databases.iter().map(|database| database.status)), last) {
        // A new database must not hide the backups of the others.
        (Standing::Empty, Some(_)) => Standing::Ok,
        (worst, _) => worst,
    };
    BackupsStatus { status, at, last_backup: last.cloned(), databases }
}

/// `looked` is the last health report; `None` when it cannot be read.
fn components_status(
    run: &Run,
    mut components: Vec<Component>,
    looked: Option<&Option<HealthReport>>,
    last_backup: Option<&LastBackup>,
    at: Timestamp,
) -> ComponentsStatus {
    let report = looked.and_then(Option::as_ref);
    let (status, detail) = match (looked, report.map(|report| at.duration_since(report.at))) {
        (None, _) => (Standing::Unknown, Some("its last report cannot be read".to_owned())),
        (_, Some(age)) if age > LOOKED_WITHIN => {
            (Standing::Unknown, Some(format!("has not reported for {} minutes", age.as_mins())))
        }
        (_, Some(_)) => (Standing::Ok, None),
        // On the first day the first backup may end before the first health check.
        (_, None) if last_backup.is_some_and(|last| at.duration_since(last.at) > LOOKED_WITHIN) => {
            (Standing::Unknown, Some("has never reported".to_owned()))
        }
        (_, None) => (Standing::Empty, Some("has not reported yet".to_owned())),
    };
    let is_fresh = status == Standing::Ok;
    let probes = report.into_iter().flat_map(|report| &report.probes);
    for probe in probes.filter(|probe| probe.name.kind == AlertKind::KeyUnusable) {
        let IncidentName { kind, subject } = &probe.name;
        let name = match subject {
            IncidentSubject::Repository => "keys".to_owned(),
            subject => format!("key {subject}"),
        };
        let severity = run.policy.rule(*kind).severity;
        let (status, detail) = match &probe.wrong {
            Some(wrong) => (Standing::from(severity), Some(wrong.what.clone())),
            None if is_fresh => (Standing::Ok, None),
            None => (Standing::Unknown, Some("not checked recently".to_owned())),
        };
        components.push(Component { name, status, latency_ms: probe.elapsed_ms.filter(|_| is_fresh), detail });
    }
    components.push(Component { name: "health".to_owned(), status, latency_ms: None, detail });
    let status = Standing::worst(components.iter().map(|component| component.status));
    ComponentsStatus { status, at, looked_at: report.map(|report| report.at), components }
}

/// Open incidents, the most severe and oldest first; then resolved ones, the latest first.
fn shown(incidents: Vec<Incident>) -> Vec<Incident> {
    let (mut open, rest): (Vec<_>, Vec<_>) = incidents.into_iter().partition(Incident::is_open);
    open.sort_by_key(|incident| (Reverse(incident.severity), incident.since));
    let mut over: Vec<Incident> =
        rest.into_iter().filter(|incident| incident.state == IncidentState::Resolved).collect();
    over.sort_by_key(|incident| Reverse(incident.resolved_at));
    over.truncate(OVER_SHOWN);
    open.into_iter().chain(over).collect()
}

fn costs(run: &Run, history: &History, request: &HealthRequest, at: Timestamp) -> Costs {
    let (prices, sites) = (&run.policy.prices, run.ports.sites.names().len() as u64);
    let last_backup = request.databases.iter().filter_map(|database| {
        let last = history.runs(database, Act::Backup).rfind(|run| run.outcome == Outcome::Completed)?;
        let stored_bytes = last.stored_bytes.unwrap_or(0).saturating_mul(sites);
        Some((database.clone(), last.usage.cost(stored_bytes, prices)))
    });
    let stored_bytes = history.stored_bytes.saturating_mul(sites);
    Costs {
        last_backup: last_backup.collect(),
        month: history.month(at).cost(stored_bytes, prices),
        stored_bytes,
        is_whole: history.first <= 1,
    }
}
