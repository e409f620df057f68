//! The state as OpenMetrics text, for Prometheus and compatible tools.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use lifeboat_model::{Act, AlertKind, Cost, Costs, Outcome, PastRun, Standing, Status};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::error::ReportError;

/// As the `Content-Type` of an answer.
pub const EXPOSITION_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// Every standing. Each has its own gauge, which alerting rules can name.
const STANDINGS: [Standing; 5] =
    [Standing::Ok, Standing::Empty, Standing::Warning, Standing::Unknown, Standing::Critical];

/// Every number of the status.
///
/// # Errors
/// [`ReportError::Exposition`].
pub fn exposition(status: &Status) -> Result<String, ReportError> {
    let mut metrics = Metrics(Registry::with_prefix("lifeboat"));
    of_everything(&mut metrics, status);
    of_databases(&mut metrics, status);
    of_runs(&mut metrics, status);
    let mut text = String::new();
    encode(&mut text, &metrics.0).map_err(ReportError::Exposition)?;
    Ok(text)
}

/// Gauges, registered as they are made.
struct Metrics(Registry);

impl Metrics {
    fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Gauges::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }
}

fn of_everything(metrics: &mut Metrics, status: &Status) {
    let standings = STANDINGS
        .map(|standing| (vec![("status", standing.to_string())], f64::from(u8::from(standing == status.status))));
    metrics.gauges("status", "1 for the current overall status, 0 for the others", standings);
    let unread = [(Labels::new(), status.unread.len() as f64)];
    metrics.gauges("unread", "Things that could not be checked", unread);
    let looked = status.health.looked_at.map(|at| (Labels::new(), seconds(at)));
    metrics.gauges("health_timestamp_seconds", "When schedules were last checked", looked);
    let components = &status.health.components;
    let up = components
        .iter()
        .map(|part| (vec![("component", part.name.clone())], f64::from(u8::from(part.status <= Standing::Empty))));
    metrics.gauges("component_up", "1 when the component works", up);
    let latencies = components
        .iter()
        .filter_map(|part| Some((vec![("component", part.name.clone())], part.latency_ms? as f64 / 1000.0)));
    metrics.gauges("component_latency_seconds", "How long the component took to answer", latencies);
    let open = status.incidents.iter().filter(|incident| incident.is_open()).map(|incident| {
        let kind: AlertKind = incident.name.kind;
        let labels = vec![
            ("kind", kind.to_string()),
            ("subject", incident.name.subject.to_string()),
            ("severity", incident.severity.to_string()),
            ("acknowledged", incident.acknowledged.is_some().to_string()),
        ];
        (labels, 1.0)
    });
    metrics.gauges("incident_open", "1 for each open incident", open);
    let entries = status.history.as_ref().map(|history| (Labels::new(), history.folded as f64));
    metrics.gauges("ledger_entries", "Entries of the audit trail", entries);
    let stored = status.costs.as_ref().map(|costs| (Labels::new(), costs.stored_bytes as f64));
    metrics.gauges("stored_bytes", "Bytes that backups have stored, on all sites", stored);
    let month = status.costs.iter().flat_map(|Costs { month: Cost { requests, storage, compute, .. }, .. }| {
        let parts = [("requests", *requests), ("storage", *storage), ("compute", *compute)];
        parts.map(|(part, sum)| (vec![("part", part.to_owned())], sum))
    });
    metrics.gauges(
        "month_cost",
        "Cost of this month's requests and compute so far and of a month of storage, in the currency of the policy's prices",
        month,
    );
}

fn of_databases(metrics: &mut Metrics, status: &Status) {
    let databases = &status.backups.databases;
    let schedules = || {
        databases.iter().flat_map(|database| {
            database.schedules.iter().map(move |schedule| {
                let labels = vec![("database", database.database.to_string()), ("kind", schedule.kind.clone())];
                (labels, schedule)
            })
        })
    };
    let last = schedules().filter_map(|(labels, schedule)| Some((labels, seconds(schedule.last?))));
    metrics.gauges("last_success_timestamp_seconds", "When the last success was", last);
    let allowed = schedules().map(|(labels, schedule)| (labels, schedule.allowed_minutes as f64 * 60.0));
    metrics.gauges("allowed_age_seconds", "How old the last success may be", allowed);
    let overdue = schedules().map(|(labels, schedule)| (labels, f64::from(u8::from(schedule.overdue))));
    metrics.gauges("overdue", "1 when it is overdue", overdue);
    let behind = databases.iter().flat_map(|database| {
        database.sites.iter().filter_map(move |site| {
            let labels = vec![("database", database.database.to_string()), ("site", site.site.to_string())];
            Some((labels, site.behind? as f64))
        })
    });
    metrics.gauges("backups_behind", "Backups that are missing on the site", behind);
}

fn of_runs(metrics: &mut Metrics, status: &Status) {
    let newest = |act: Act, value: fn(&PastRun) -> Option<f64>| {
        let databases = status.backups.databases.iter();
        databases.filter_map(move |database| {
            let mut runs = status.history.as_ref()?.runs(&database.database, act);
            let run = runs.rfind(|run| run.outcome == Outcome::Completed)?;
            Some((vec![("database", database.database.to_string())], value(run)?))
        })
    };
    metrics.gauges(
        "backup_duration_seconds",
        "How long the newest backup took",
        newest(Act::Backup, |run| run.seconds),
    );
    let rows = newest(Act::Backup, |run| run.rows.map(|rows| rows as f64));
    metrics.gauges("backup_rows", "Rows of the newest backup", rows);
    let raw = newest(Act::Backup, |run| run.raw_bytes.map(|bytes| bytes as f64));
    metrics.gauges("backup_raw_bytes", "Size of the newest backup before compression", raw);
    let stored = newest(Act::Backup, |run| run.stored_bytes.map(|bytes| bytes as f64));
    metrics.gauges("backup_stored_bytes", "Bytes that the newest backup stored", stored);
    let reuse = newest(Act::Backup, PastRun::reused_ratio);
    metrics.gauges("backup_reused_ratio", "Share of the newest backup's bytes that was reused", reuse);
    let recovery = newest(Act::TestRestore, |run| run.seconds);
    metrics.gauges("drill_recovery_seconds", "Recovery time that the newest drill measured", recovery);
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}
