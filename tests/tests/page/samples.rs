//! Statuses that the page must show well.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{
    Acknowledgement, Act, AlertKind, BackupId, BackupsStatus, Component, ComponentsStatus, Costs, DamagedObjects,
    DatabaseName, DatabaseStatus, History, Incident, IncidentName, IncidentSubject, LastBackup, LedgerEntry, Outcome,
    Policy, ScheduleStatus, Sighting, Site, SiteStatus, Standing, Status,
};

const NOW: &str = "2026-11-22T16:05:00Z";

/// Hours of which the sample has backups.
const HOURS: i64 = 80;

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn before(duration: SignedDuration) -> Timestamp {
    now().checked_sub(duration).unwrap()
}

fn clinic() -> DatabaseName {
    "clinic".parse().unwrap()
}

/// Every sample by its name.
pub fn all() -> Vec<(&'static str, Status)> {
    vec![("empty", empty()), ("healthy", healthy()), ("trouble", trouble()), ("blind", blind())]
}

/// Before the first backup.
pub fn empty() -> Status {
    let waited = |kind: &str, allowed_minutes| ScheduleStatus {
        kind: kind.to_owned(),
        status: Standing::Empty,
        last: None,
        age_minutes: 3,
        allowed_minutes,
        overdue: false,
    };
    let database = DatabaseStatus {
        database: clinic(),
        status: Standing::Empty,
        last_backup: None,
        schedules: vec![waited("backup", 90), waited("verification", 2160), waited("drill", 11520)],
        sites: Vec::new(),
    };
    let costs = Costs {
        last_backup: BTreeMap::new(),
        month: History::default().month(now()).cost(0, &Policy::default().prices),
        stored_bytes: 0,
        is_whole: true,
    };
    Status {
        at: now(),
        status: Standing::Empty,
        unread: Vec::new(),
        backups: BackupsStatus { status: Standing::Empty, at: now(), last_backup: None, databases: vec![database] },
        health: ComponentsStatus {
            status: Standing::Empty,
            at: now(),
            looked_at: None,
            components: vec![
                component("store primary", Standing::Ok, Some(12), None),
                component("store offsite", Standing::Ok, Some(41), None),
                component("health", Standing::Empty, None, Some("has not reported yet")),
            ],
        },
        incidents: Vec::new(),
        history: Some(History::default()),
        tail: Some(Vec::new()),
        costs: Some(costs),
    }
}

/// Hourly backups of three days, each verified, and a drill a day.
pub fn healthy() -> Status {
    with_trail(trail(false))
}

/// A backup that fails, an off-site that is away, and what others wrote.
pub fn trouble() -> Status {
    let mut status = with_trail(trail(true));
    let seen = |kind, subject: &str, what: &str, hint: &str, hours| {
        let sighting = Sighting {
            what: what.to_owned(),
            hint: hint.to_owned(),
            database: Some(clinic()),
            part: None,
            objects: DamagedObjects::default(),
            facts: Vec::new(),
        };
        let at = before(SignedDuration::from_hours(hours));
        Incident::seen(
            None,
            &IncidentName::new(kind, subject.parse::<IncidentSubject>().unwrap()),
            sighting,
            &Policy::default(),
            at,
        )
    };
    let failed = seen(
        AlertKind::BackupFailed,
        "clinic",
        "the relation `public.<b>visits</b>` cannot be read: permission denied for table visits",
        "grant SELECT on it to the backup's role, or leave it out by policy",
        3,
    );
    let lag = seen(
        AlertKind::OffsiteLag,
        "clinic",
        "3 backup(s) of clinic are still missing on the off-site after 90 min",
        "check the off-site bucket, its region and the function's permissions there; the next backup copies them",
        2,
    );
    let by = Acknowledgement {
        by: "arn:aws:sts::111122223333:assumed-role/operators/anna.muster@clinic.example".to_owned(),
        at: before(SignedDuration::from_mins(20)),
        reason: "AWS has an outage in eu-west-1, ticket 4711".to_owned(),
    };
    let over = seen(AlertKind::DrillFailed, "clinic", "the scratch server did not answer", "look at it", 50);
    let over = over.cleared(&lifeboat_model::Cleared::All, &Policy::default(), before(SignedDuration::from_hours(48)));
    status.incidents = vec![failed, lag.acknowledged_by(by).unwrap(), over.unwrap()];
    status.status = Standing::Critical;
    status.unread = vec!["the last health report cannot be read: offsite: there was no answer within 8 s".to_owned()];
    status.backups.status = Standing::Critical;
    let newest = BackupId::new(before(SignedDuration::from_mins(245)), 7);
    let last = LastBackup { database: clinic(), backup_id: newest.clone(), at: newest.began_at().unwrap() };
    status.backups.last_backup = Some(last);
    let database = &mut status.backups.databases[0];
    database.status = Standing::Critical;
    database.schedules[0] = ScheduleStatus {
        kind: "backup".to_owned(),
        status: Standing::Critical,
        last: Some(before(SignedDuration::from_mins(245))),
        age_minutes: 245,
        allowed_minutes: 90,
        overdue: true,
    };
    database.sites.iter_mut().for_each(|site| site.newest = Some(newest.clone()));
    database.sites[1].behind = Some(3);
    database.sites[1].status = Standing::Warning;
    status.health.status = Standing::Warning;
    status.health.components[1] = component(
        "store offsite",
        Standing::Warning,
        Some(8001),
        Some("offsite: the store does not answer: service unavailable (503)"),
    );
    status
}

/// Nothing can be read.
pub fn blind() -> Status {
    let mut status = empty();
    let unread = |what: &str| format!("{what} cannot be read: primary: there was no answer within 8 s");
    status.status = Standing::Unknown;
    status.unread = ["the repository on primary", "the history", "the incidents"].map(unread).to_vec();
    status.backups.status = Standing::Unknown;
    let database = &mut status.backups.databases[0];
    (database.status, database.schedules) = (Standing::Unknown, Vec::new());
    database.sites = vec![SiteStatus { site: Site::Primary, status: Standing::Unknown, newest: None, behind: None }];
    (status.history, status.tail, status.costs) = (None, None, None);
    status
}

fn component(name: &str, status: Standing, latency_ms: Option<u64>, detail: Option<&str>) -> Component {
    Component { name: name.to_owned(), status, latency_ms, detail: detail.map(str::to_owned) }
}

fn with_trail(trail: Vec<LedgerEntry>) -> Status {
    let mut history = History::default();
    trail.iter().for_each(|entry| history.fold(entry, now()));
    let newest = BackupId::new(before(SignedDuration::from_mins(5)), 7);
    let last = LastBackup { database: clinic(), backup_id: newest.clone(), at: newest.began_at().unwrap() };
    let schedule = |kind: &str, age_minutes, allowed_minutes| ScheduleStatus {
        kind: kind.to_owned(),
        status: Standing::Ok,
        last: Some(before(SignedDuration::from_mins(age_minutes))),
        age_minutes,
        allowed_minutes,
        overdue: false,
    };
    let site = |site| SiteStatus { site, status: Standing::Ok, newest: Some(newest.clone()), behind: Some(0) };
    let database = DatabaseStatus {
        database: clinic(),
        status: Standing::Ok,
        last_backup: Some(last.clone()),
        schedules: vec![
            schedule("backup", 5, 90),
            schedule("verification", 65, 2160),
            schedule("drill", 26 * 60, 11520),
        ],
        sites: vec![site(Site::Primary), site(Site::Offsite)],
    };
    let prices = Policy::default().prices;
    let stored_bytes = 2 * history.stored_bytes;
    let usage = history.runs(&clinic(), Act::Backup).next_back().unwrap().usage;
    let costs = Costs {
        last_backup: [(clinic(), usage.cost(2 * 31_400_000, &prices))].into(),
        month: history.month(now()).cost(stored_bytes, &prices),
        stored_bytes,
        is_whole: true,
    };
    Status {
        at: now(),
        status: Standing::Ok,
        backups: BackupsStatus { status: Standing::Ok, at: now(), last_backup: Some(last), databases: vec![database] },
        health: ComponentsStatus {
            status: Standing::Ok,
            at: now(),
            looked_at: Some(before(SignedDuration::from_mins(2))),
            components: vec![
                component("store primary", Standing::Ok, Some(11), None),
                component("store offsite", Standing::Ok, Some(38), None),
                component("keys", Standing::Ok, None, None),
                component("key primary", Standing::Ok, Some(21), None),
                component("key offsite", Standing::Ok, Some(77), None),
                component("health", Standing::Ok, None, None),
            ],
        },
        tail: Some(trail.iter().rev().take(12).cloned().collect()),
        history: Some(history),
        costs: Some(costs),
        ..empty()
    }
}

/// What three days put on record.
fn trail(troubled: bool) -> Vec<LedgerEntry> {
    let mut trail = Vec::new();
    for hour in (0..HOURS).rev() {
        let at = before(SignedDuration::from_mins(60 * hour + 5));
        let id = BackupId::new(at, 7).to_string();
        let failed = troubled && (hour < 4 || hour == 40);
        if failed {
            add(&mut trail, at, "backup", "clinic", Outcome::Failed, &[("error", "a table cannot be read")]);
            continue;
        }
        let growth = u64::try_from(HOURS - hour).unwrap();
        let (new, seconds) = (3 + hour % 11 * 4, 14.0 + (hour % 7) as f64 * 1.7);
        add(
            &mut trail,
            at,
            "backup",
            &id,
            Outcome::Completed,
            &[
                ("rows", &(4_100_000 + growth * 1000).to_string()),
                ("raw_bytes", &(1_350_000_000 + growth * 4_000_000).to_string()),
                ("stored_bytes", &(new * 2_600_000).to_string()),
                ("reused_bytes", &((160 - new) * 2_600_000).to_string()),
                ("seconds", &format!("{seconds:.3}")),
            ],
        );
        let found = if troubled && hour == 30 { ("2", "1") } else { ("0", "0") };
        let facts = [("scope", "all"), ("findings", found.0), ("healed", found.1)];
        let outcome = if found.0 == "0" { Outcome::Completed } else { Outcome::Failed };
        add(&mut trail, at, "verify", "clinic", outcome, &facts);
        if hour % 24 == 2 {
            let facts = [("site", "primary"), ("seconds", "41.5"), ("rows", "4100000"), ("findings", "0")];
            add(&mut trail, at, "test-restore", &id, Outcome::Completed, &facts);
        }
    }
    if troubled {
        let mut last = trail.pop().unwrap();
        last.actor = "stated by <script>alert(1)</script>".to_owned();
        trail.push(last);
    }
    trail
}

fn add(
    trail: &mut Vec<LedgerEntry>,
    at: Timestamp,
    action: &str,
    subject: &str,
    outcome: Outcome,
    facts: &[(&str, &str)],
) {
    let usage =
        [("writes", "38"), ("reads", "21"), ("key_requests", "6"), ("gb_seconds", "27.500"), ("database", "clinic")];
    let detail = usage.iter().chain(facts).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    trail.push(LedgerEntry {
        format: 1,
        number: trail.len() as u64 + 1,
        previous: None,
        at,
        actor: "schedule".to_owned(),
        reason: "due at this hour".to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        outcome,
        detail: detail.collect(),
    });
}
