//! What is said about the end of a drill.

use lifeboat_model::{AlertKind, BackupId, DatabaseName, DrillReport, Event, Outcome, Severity};
use lifeboat_signals::{MetricsLine, Unit};

use super::{Telling, failure_facts, name_of};
use crate::drill::DrillRequest;
use crate::error::EngineError;
use crate::lifeboat::Lifeboat;

const NOT_EQUAL: &str = "keep an older backup that a drill proved, and read the report under drills/ in the bucket";

/// Tells how a drill ended.
pub(crate) async fn of_drill(
    lifeboat: &Lifeboat,
    request: &DrillRequest,
    result: &Result<DrillReport, EngineError>,
) -> Result<(), EngineError> {
    let database = Some(&request.database);
    let telling = match result {
        Ok(report) if report.equal => equal(report),
        Ok(report) => {
            let first = report.findings.first().map(ToString::to_string).unwrap_or_default();
            let error = format!("{} proof(s) did not hold, first {first}", report.findings.len());
            failed(database, Some(report.backup_id.clone()), error, NOT_EQUAL.to_owned(), facts(report))
        }
        Err(error) => failed(database, None, error.story(), error.hint(), failure_facts(error)),
    };
    telling.tell(lifeboat).await
}

fn equal(report: &DrillReport) -> Telling {
    Telling {
        action: "test-restore",
        database: Some(report.database.clone()),
        subject: report.backup_id.to_string(),
        outcome: Outcome::Completed,
        facts: facts(report),
        event: Event::RestoreTestCompleted {
            database: report.database.clone(),
            backup_id: report.backup_id.clone(),
            site: report.site,
            tables: report.tables.len() as u64,
            rows: report.rows,
            equal: report.equal,
            seconds: report.seconds.clone(),
        },
        severity: Severity::Info,
        kind: AlertKind::RestoreTestCompleted,
        metrics: MetricsLine::new(report.database.as_str())
            .with("restore_test_completed", Unit::Count, 1.0)
            .with("restore_test_seconds", Unit::Seconds, report.seconds.total())
            .with("restore_test_rows", Unit::Count, report.rows as f64),
    }
}

pub(super) fn failed(
    database: Option<&DatabaseName>,
    backup_id: Option<BackupId>,
    error: String,
    hint: String,
    facts: Vec<(&'static str, String)>,
) -> Telling {
    Telling {
        action: "test-restore",
        subject: backup_id.as_ref().map_or_else(|| name_of(database).to_owned(), ToString::to_string),
        outcome: Outcome::Failed,
        facts,
        metrics: MetricsLine::new(name_of(database)).with("restore_test_failed", Unit::Count, 1.0),
        event: Event::RestoreTestFailed { database: database.cloned(), backup_id, error, hint },
        severity: Severity::Critical,
        kind: AlertKind::RestoreTestFailed,
        database: database.cloned(),
    }
}

fn facts(report: &DrillReport) -> Vec<(&'static str, String)> {
    vec![
        ("backup_id", report.backup_id.to_string()),
        ("site", report.site.to_string()),
        ("tables", report.tables.len().to_string()),
        ("rows", report.rows.to_string()),
        ("findings", report.findings.len().to_string()),
        ("equal", report.equal.to_string()),
        ("seconds", format!("{:.3}", report.seconds.total())),
    ]
}
