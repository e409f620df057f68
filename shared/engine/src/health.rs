//! `health`: looks for what did not happen. A run that was never started tells nobody.

use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{
    AlertKind, Cleared, DatabaseName, Diagnosis, HealthReport, History, Incident, IncidentName, LedgerAct, Outcome,
    PolicyVersions, Probe, Sighting, Site, Verdict, Wrong,
};
use lifeboat_notify::{MetricsLine, Unit};
use lifeboat_vault::{States, check_keys, check_mac_keys};

use crate::deadline::within;
use crate::error::EngineError;
use crate::expected::HealthRequest;
use crate::freshness::{Age, Listed, SiteView, ages, lacks, listed, readable, site_views, too_old};
use crate::history::{keep_history, look_at_history};
use crate::incidents::{self, Change, UNNAMED, WHOLE, send_owed};
use crate::ledger::put_on_record;
use crate::lifeboat::Lifeboat;
use crate::policy::adopt_policy;

/// How long each thing is waited for: two thirds of the function's time are left to tell what does not answer.
const LOOK_WITHIN: Duration = Duration::from_secs(20);

/// Databases whose backups are listed at the same time: one that has many must not keep the others from being looked at.
const LISTED_AT_ONCE: usize = 8;

/// Incidents that are opened, updated or resolved at the same time.
const NOTED_AT_ONCE: usize = 8;

/// The state's name.
pub(crate) const HEALTH: &str = "health";

/// Kinds of incidents that are about a database, or a key of a site.
const OF_SETTINGS: [AlertKind; 9] = [
    AlertKind::BackupFailed,
    AlertKind::BackupOverdue,
    AlertKind::VerificationFinding,
    AlertKind::VerificationOverdue,
    AlertKind::DrillFailed,
    AlertKind::DrillOverdue,
    AlertKind::OffsiteLag,
    AlertKind::KeyUnusable,
    AlertKind::LedgerBroken,
];

/// Whether an incident of such a kind is about something that is in the settings.
fn is_in_settings(lifeboat: &Lifeboat, request: &HealthRequest, incident: &Incident) -> bool {
    let sites = lifeboat.sites.names();
    let IncidentName { kind, subject } = &incident.name;
    match kind {
        _ if subject == WHOLE => true,
        AlertKind::KeyUnusable => sites.iter().any(|site| site.to_string() == *subject),
        AlertKind::DrillOverdue if !request.drills => false,
        AlertKind::OffsiteLag if !sites.contains(&Site::Offsite) => false,
        // An order that named no database: the next one that is understood clears it.
        _ if subject == UNNAMED => true,
        _ => request.databases.iter().any(|database| database.as_str() == subject),
    }
}

/// Looks at the freshness of each schedule, at what the off-site lacks and at the keys of both sites, and tells nobody. What is wrong is
/// the answer and no error; what cannot be looked at is wrong.
pub async fn look_at_health(lifeboat: &Lifeboat, request: &HealthRequest) -> HealthReport {
    look(lifeboat, request, false).await
}

/// What is new in the history is kept when somebody looks who may write.
async fn look(lifeboat: &Lifeboat, request: &HealthRequest, keeps_history: bool) -> HealthReport {
    let at = Timestamp::now();
    let fresh = within(LOOK_WITHIN, Box::pin(freshness(lifeboat, request, keeps_history, at)));
    let (mut probes, fresh) = tokio::join!(keys(lifeboat), fresh);
    // A store that does not serve fails the runs, which tell it; here it keeps freshness from being known.
    let all_unknown = |error| request.databases.iter().map(|database| unknown(database, &error)).collect();
    probes.extend(fresh.unwrap_or_else(all_unknown));
    HealthReport { at, probes, sent: 0 }
}

/// Looks, takes `policy`, the users' document, into force, opens and resolves incidents, and sends what is owed. None of these waits for
/// long for what hangs, and none keeps another from being done.
///
/// # Errors
/// The first that could not be done; [`EngineError::Unannounced`] when an alert did not leave.
pub async fn check_health(
    lifeboat: &Lifeboat,
    request: &HealthRequest,
    policy: Option<Result<&PolicyVersions, &(String, String)>>,
) -> Result<HealthReport, EngineError> {
    let adopting_and_sending = async {
        // One after the other: both send, in the name of the same run.
        let adopted = within(LOOK_WITHIN, Box::pin(adopt(lifeboat, policy))).await;
        (adopted, within(LOOK_WITHIN, Box::pin(send_owed(lifeboat))).await)
    };
    let ((adopted, owed), report) = tokio::join!(adopting_and_sending, look(lifeboat, request, true));
    let changes = note(lifeboat, request, &report.probes).await;
    let told = incidents::send(lifeboat, &changes).await;
    record(lifeboat, &report.probes, &changes).await;
    let report = HealthReport { sent: *owed.as_ref().unwrap_or(&0), ..report };
    let kept = keep(lifeboat, &report).await;
    let ended = told.and(owed.map(drop)).and(adopted).and(kept);
    metrics(lifeboat, ended.is_ok()).await.emit();
    ended.map(|()| report)
}

async fn adopt(
    lifeboat: &Lifeboat,
    policy: Option<Result<&PolicyVersions, &(String, String)>>,
) -> Result<(), EngineError> {
    match policy {
        Some(versions) => adopt_policy(lifeboat, versions).await.map(drop),
        None => Ok(()),
    }
}

/// Opens, updates and resolves the incidents of what was looked at, and resolves those of what is there no more: a database or a site that
/// was taken out of the settings is not wrong any more.
async fn note(lifeboat: &Lifeboat, request: &HealthRequest, probes: &[Probe]) -> Vec<Change> {
    let known = incidents::incidents(lifeboat).await.unwrap_or_else(|error| {
        tracing::warn!(error = error.story(), "what is not looked at any more is not known");
        Vec::new()
    });
    let gone = known.into_iter().filter(|incident| {
        OF_SETTINGS.contains(&incident.name.kind) && incident.is_open() && !is_in_settings(lifeboat, request, incident)
    });
    let gone = gone.map(|incident| (incident.name, None));
    let looked_at = probes.iter().map(|probe| (probe.name.clone(), sighting(probe)));
    let noted = looked_at.chain(gone).map(|(name, wrong)| async move {
        match wrong {
            Some(sighting) => Some(incidents::seen(lifeboat, &name, &sighting).await),
            None => incidents::cleared(lifeboat, &name, &Cleared::All).await,
        }
    });
    futures_util::stream::iter(noted).buffered(NOTED_AT_ONCE).filter_map(std::future::ready).collect().await
}

fn sighting(probe: &Probe) -> Option<Sighting> {
    let Wrong { what, hint } = probe.wrong.clone()?;
    Some(Sighting { what, hint, database: probe.database.clone(), part: None, facts: Vec::new() })
}

/// What begins or ends is on record; that it goes on is not. Whoever should hear of it has heard.
async fn record(lifeboat: &Lifeboat, probes: &[Probe], changes: &[Change]) {
    for change in changes.iter().filter(|change| change.turn.is_news()) {
        let wrong = probes.iter().find(|probe| probe.name == change.name).and_then(|probe| probe.wrong.as_ref());
        let what = wrong.map(|wrong| ("error".to_owned(), wrong.what.clone()));
        let act = LedgerAct {
            mandate: lifeboat.mandate.clone(),
            action: "health".to_owned(),
            subject: change.name.to_string(),
            outcome: if wrong.is_some() { Outcome::Failed } else { Outcome::Completed },
            detail: what.into_iter().chain([("incident".to_owned(), change.to_string())]).collect(),
        };
        if let Err(error) = put_on_record(lifeboat, act).await {
            tracing::error!(
                error = error.story(),
                hint = error.hint(),
                "the ledger has no entry of what health has seen"
            );
            // The next one would wait as long.
            return;
        }
    }
}

/// For the status page, which may try no key itself.
async fn keep(lifeboat: &Lifeboat, report: &HealthReport) -> Result<(), EngineError> {
    let states = States::new(&lifeboat.sites);
    let keeping = async {
        let state = states.read::<HealthReport>(HEALTH).await?;
        states.replace(HEALTH, state, report).await?;
        Ok(())
    };
    within(LOOK_WITHIN, Box::pin(keeping)).await
}

async fn freshness(
    lifeboat: &Lifeboat,
    request: &HealthRequest,
    keeps_history: bool,
    at: Timestamp,
) -> Result<Vec<Probe>, EngineError> {
    let views = site_views(lifeboat).await;
    let repository = readable(&views).ok().flatten();
    let known = match keeps_history {
        true => keep_history(lifeboat, repository, request, at).await?,
        false => look_at_history(lifeboat, repository).await?,
    };
    let of_each = request.databases.iter().map(|database| of_one(lifeboat, request, &views, &known, database, at));
    let probes: Vec<Vec<Probe>> = futures_util::stream::iter(of_each).buffered(LISTED_AT_ONCE).collect().await;
    Ok(probes.into_iter().flatten().collect())
}

async fn of_one(
    lifeboat: &Lifeboat,
    request: &HealthRequest,
    views: &[SiteView],
    known: &History,
    database: &DatabaseName,
    at: Timestamp,
) -> Vec<Probe> {
    let listed = listed(views, database, at).await;
    let mut probes: Vec<Probe> = match ages(lifeboat, &listed, known, database, request, at) {
        Ok(ages) => ages.iter().map(|age| fresh(database, age)).collect(),
        Err(error) => vec![unknown(database, &error)],
    };
    if let Some(offsite) = listed.iter().find(|one| one.site == Site::Offsite) {
        probes.push(lag(lifeboat, &listed, offsite, database, at));
    }
    probes
}

fn fresh(database: &DatabaseName, age: &Age) -> Probe {
    let what = age.what;
    let (since, allowed) = (words(age.age), words(age.limit));
    let wrong = age.is_overdue().then(|| Wrong {
        what: match (&age.gone, age.last) {
            (Some(id), _) => {
                format!("backup {id} of {database} is on record, and the primary does not have it any more")
            }
            (None, Some(_)) => format!("the last good {what} of {database} is {since} ago, policy allows {allowed}"),
            (None, None) => format!("there is no good {what} of {database} after {since}, policy allows {allowed}"),
        },
        hint: match &age.gone {
            Some(_) => "somebody deleted it: CloudTrail and the bucket's older versions say who and when; `lifeboat verify` brings back \
                        what the off-site has"
                .to_owned(),
            None => format!(
                "look whether the schedule of the function is enabled and what its log says, then take a {what} by hand"
            ),
        },
    });
    of_database(age.overdue, database, wrong)
}

fn lag(lifeboat: &Lifeboat, listed: &[Listed], offsite: &Listed, database: &DatabaseName, at: Timestamp) -> Probe {
    let limit = lifeboat.policy.freshness.offsite;
    let wrong = match (lacks(listed, Site::Offsite, too_old(at, limit)), &offsite.backups) {
        (Some(0), _) => None,
        (Some(late), _) => Some(Wrong {
            what: format!("{late} backup(s) of {database} are not on the off-site after {}", words(limit)),
            hint: "check the off-site's bucket, its region and the function's rights there; the next backup brings \
                   them over"
                .to_owned(),
        }),
        (None, Err(error)) => {
            Some(Wrong { what: format!("what the off-site has is not known: {}", error.story()), hint: error.hint() })
        }
        // It is the primary that cannot be asked, which is told.
        (None, Ok(_)) => None,
    };
    of_database(AlertKind::OffsiteLag, database, wrong)
}

fn of_database(kind: AlertKind, database: &DatabaseName, wrong: Option<Wrong>) -> Probe {
    let name = IncidentName::new(kind, database.as_str());
    Probe { name, database: Some(database.clone()), elapsed_ms: None, wrong }
}

/// Whether the key of each site opens what it sealed, and vouches. When nothing can be sealed at all, the message names the key, and
/// what each opens cannot be asked: of a site's key nothing is said, then.
async fn keys(lifeboat: &Lifeboat) -> Vec<Probe> {
    let sites = lifeboat.sites.names();
    let asked = async {
        let (keys, macs) = tokio::join!(check_keys(&*lifeboat.keys, &sites), check_mac_keys(&lifeboat.macs, &sites));
        Ok::<_, EngineError>([keys, macs].concat())
    };
    let probe = |subject: String, elapsed_ms, wrong| Probe {
        name: IncidentName::new(AlertKind::KeyUnusable, subject),
        database: None,
        elapsed_ms,
        wrong,
    };
    let checks = match within(LOOK_WITHIN, Box::pin(asked)).await {
        Ok(checks) => checks,
        Err(error) => {
            let what = format!("the keys do not answer: {}", error.story());
            return vec![probe(WHOLE.to_owned(), None, Some(Wrong { what, hint: error.hint() }))];
        }
    };
    // A check is named after its site, or after none.
    let of = |site: Option<Site>| {
        let checks = checks.iter().filter(move |check| {
            let named = check.check.split_once(' ').map(|(name, _)| name);
            named.map(str::to_owned) == site.map(|site| site.to_string())
        });
        let elapsed = checks.clone().filter_map(|check| check.elapsed_ms).reduce(u64::saturating_add);
        let failed = checks.clone().find(|check| check.verdict == Verdict::Failed);
        let wrong = failed.map(|Diagnosis { check, seen, hint, .. }| Wrong {
            what: format!("{check}: {seen}"),
            hint: hint.clone().unwrap_or_default(),
        });
        let subject = site.map_or_else(|| WHOLE.to_owned(), |site| site.to_string());
        probe(subject, elapsed, wrong)
    };
    let whole = of(None);
    let seals = whole.wrong.is_none();
    [whole].into_iter().chain(sites.into_iter().filter(|_| seals).map(|site| of(Some(site)))).collect()
}

/// When the first site cannot be asked, a backup counts as not seen.
fn unknown(database: &DatabaseName, error: &EngineError) -> Probe {
    let what = format!("whether there is a new backup is not known: {}", error.story());
    of_database(AlertKind::BackupOverdue, database, Some(Wrong { what, hint: error.hint() }))
}

/// For CloudWatch, where an alarm tells that no look has ended well.
async fn metrics(lifeboat: &Lifeboat, ended_well: bool) -> MetricsLine {
    let line = MetricsLine::new("-").with("health_looked", Unit::Count, f64::from(u8::from(ended_well)));
    match incidents::incidents(lifeboat).await {
        Ok(all) => {
            let open = all.iter().filter(|incident| incident.is_open()).count();
            line.with("incidents_open", Unit::Count, open as f64)
        }
        Err(_) => line,
    }
}

/// In the largest unit that tells it well.
fn words(duration: SignedDuration) -> String {
    match duration.as_mins() {
        minutes if minutes < 120 => format!("{minutes} min"),
        minutes if minutes < 48 * 60 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / (24 * 60)),
    }
}
