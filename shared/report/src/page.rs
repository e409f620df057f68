//! The status page as HTML without scripts. It works on a phone, with a screen reader, and in dark mode.

mod chart;
mod database;
mod labels;

use askama::Template;
use jiff::Timestamp;
use lifeboat_model::{Component, Cost, Costs, Incident, LedgerEntry, Outcome, Severity, Standing, Status};

use self::database::DatabaseView;
use crate::error::ReportError;

/// The content security policy of the page: a browser may only show it.
pub const PAGE_POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const CSS: &str = include_str!("../templates/page.css");

#[derive(Template)]
#[template(path = "page.html")]
struct PageView {
    css: &'static str,
    head: Head,
    unread: Vec<String>,
    open: Vec<IncidentView>,
    databases: Vec<DatabaseView>,
    components: Vec<ComponentRow>,
    over: Vec<IncidentView>,
    cost: Option<CostView>,
    tail: Option<Vec<EntryRow>>,
    version: &'static str,
}

struct Head {
    standing: Standing,
    sign: &'static str,
    title: String,
    last_backup: String,
    at: String,
    at_words: String,
    looked: String,
}

struct IncidentView {
    standing: Standing,
    severity: Severity,
    kind: String,
    title: String,
    what: String,
    hint: String,
    since: String,
    since_words: String,
    seen: String,
    taken: String,
    over_words: String,
}

struct ComponentRow {
    name: String,
    standing: Standing,
    sign: &'static str,
    latency: String,
    detail: String,
}

struct CostView {
    note: String,
    rows: Vec<CostRow>,
}

struct CostRow {
    name: String,
    requests: String,
    storage: String,
    compute: String,
    total: String,
}

struct EntryRow {
    number: u64,
    at: String,
    actor: String,
    action: String,
    subject: String,
    standing: Standing,
    outcome: &'static str,
}

/// The whole page.
///
/// # Errors
/// [`ReportError::Page`].
pub fn page(status: &Status) -> Result<String, ReportError> {
    let now = status.at;
    let (open, over): (Vec<&Incident>, Vec<&Incident>) =
        status.incidents.iter().partition(|incident| incident.is_open());
    let view =
        |incidents: Vec<&Incident>| incidents.into_iter().map(|incident| IncidentView::of(incident, now)).collect();
    let databases = status.backups.databases.iter();
    let page = PageView {
        css: CSS,
        head: Head::of(status),
        unread: status.unread.iter().map(|sentence| labels::sentence(sentence)).collect(),
        open: view(open),
        databases: databases.map(|database| DatabaseView::of(database, status.history.as_ref(), now)).collect(),
        components: status.health.components.iter().map(ComponentRow::of).collect(),
        over: view(over),
        cost: status.costs.as_ref().map(CostView::of),
        tail: status.tail.as_ref().map(|tail| tail.iter().map(EntryRow::of).collect()),
        version: env!("CARGO_PKG_VERSION"),
    };
    page.render().map_err(ReportError::Page)
}

impl Head {
    fn of(status: &Status) -> Self {
        let now = status.at;
        let last_backup = match &status.backups.last_backup {
            Some(last) => format!("The last backup of {} began {}.", last.database, labels::ago(last.at, now)),
            None if status.unread.is_empty() => "There is no backup.".to_owned(),
            None => "No backup is known.".to_owned(),
        };
        let looked = match status.health.looked_at {
            Some(at) => format!("Schedules last checked {}.", labels::ago(at, now)),
            None => "Schedules were never checked.".to_owned(),
        };
        Self {
            standing: status.status,
            sign: labels::sign(status.status),
            title: status.headline(),
            last_backup,
            at: format!("{now:.0}"),
            at_words: format!("{} UTC", labels::moment(now)),
            looked,
        }
    }
}

impl IncidentView {
    fn of(incident: &Incident, now: Timestamp) -> Self {
        let seen = match incident.sightings {
            1 => "seen once".to_owned(),
            times => format!("seen {times} times, last {}", labels::ago(incident.seen_at, now)),
        };
        let taken = match &incident.acknowledged {
            Some(by) => {
                format!("Acknowledged by {} {}: {}.", by.by, labels::ago(by.at, now), labels::sentence(&by.reason))
            }
            None => "Nobody has acknowledged it.".to_owned(),
        };
        let resolved_at = incident.resolved_at.unwrap_or(incident.seen_at);
        Self {
            standing: Standing::from(incident.severity),
            severity: incident.severity,
            kind: incident.name.kind.to_string(),
            title: format!("{}: {}", incident.name.kind.title(), incident.name.subject),
            what: labels::sentence(&incident.what),
            hint: labels::sentence(&incident.hint),
            since: format!("{:.0}", incident.since),
            since_words: format!("{} UTC ({})", labels::moment(incident.since), labels::ago(incident.since, now)),
            seen,
            taken,
            over_words: format!("From {} to {} UTC.", labels::moment(incident.since), labels::moment(resolved_at)),
        }
    }
}

impl ComponentRow {
    fn of(component: &Component) -> Self {
        Self {
            name: component.name.clone(),
            standing: component.status,
            sign: labels::sign(component.status),
            latency: component.latency_ms.map_or_else(|| "–".to_owned(), |latency| format!("{latency} ms")),
            detail: component.detail.clone().unwrap_or_default(),
        }
    }
}

impl CostView {
    fn of(costs: &Costs) -> Self {
        let row = |name: String, cost: &Cost| CostRow {
            name,
            requests: labels::money(cost.requests),
            storage: labels::money(cost.storage),
            compute: labels::money(cost.compute),
            total: labels::money(cost.total),
        };
        let backups = costs.last_backup.iter().map(|(name, cost)| row(format!("Last backup of {name}"), cost));
        let part =
            if costs.is_whole { "" } else { " The oldest ledger entries were not read, so the true cost is higher." };
        Self {
            note: format!(
                "Backups, verifications and drills at the policy's prices, and one month of the {} that they stored.{part}",
                labels::bytes(costs.stored_bytes)
            ),
            rows: backups.chain([row("This month".to_owned(), &costs.month)]).collect(),
        }
    }
}

impl EntryRow {
    fn of(entry: &LedgerEntry) -> Self {
        let (standing, outcome) = match entry.outcome {
            Outcome::Completed => (Standing::Ok, "completed"),
            Outcome::Failed => (Standing::Critical, "failed"),
        };
        Self {
            number: entry.number,
            at: labels::moment(entry.at),
            actor: entry.actor.clone(),
            action: entry.action.clone(),
            subject: entry.subject.clone(),
            standing,
            outcome,
        }
    }
}
