//! What is said about the end of a drill.

use lifeboat_model::{AlertKind, BackupId, Cleared, DatabaseName, DrillReport, Event, Severity, Site};
use lifeboat_notify::{MetricsLine, Unit};

use super::{End, Telling, failure_facts, name_of};
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
            failed(
                database,
                Some(report.backup_id.clone()),
                Some(report.site),
                error,
                NOT_EQUAL.to_owned(),
                facts(report),
            )
        }
        // The repository's trouble is the site's; any other says nothing of a site, and any drill that can be carried out clears it.
        Err(error) => {
            let site = matches!(error, EngineError::Vault(_)).then_some(request.site);
            failed(database, None, site, error.story(), error.hint(), failure_facts(error))
        }
    };
    telling.tell(lifeboat).await
}

fn equal(report: &DrillReport) -> Telling {
    Telling {
        action: "test-restore",
        is_known: true,
        database: Some(report.database.clone()),
        subject: report.backup_id.to_string(),
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
        end: End::Well {
            notice: AlertKind::DrillCompleted,
            severity: Severity::Info,
            what: format!("backup {} was restored from {} and is equal", report.backup_id, report.site),
            hint: None,
            clears: vec![AlertKind::DrillFailed, AlertKind::DrillOverdue],
            // A restore from one site says nothing of the other.
            cleared: Cleared::Part(report.site.to_string()),
        },
        metrics: MetricsLine::new(report.database.as_str())
            .with("restore_test_completed", Unit::Count, 1.0)
            .with("restore_test_seconds", Unit::Seconds, report.seconds.total())
            .with("restore_test_rows", Unit::Count, report.rows as f64),
    }
}

pub(super) fn failed(
    database: Option<&DatabaseName>,
    backup_id: Option<BackupId>,
    site: Option<Site>,
    error: String,
    hint: String,
    facts: Vec<(&'static str, String)>,
) -> Telling {
    Telling {
        action: "test-restore",
        is_known: true,
        subject: backup_id.as_ref().map_or_else(|| name_of(database).to_owned(), ToString::to_string),
        facts,
        metrics: MetricsLine::new(name_of(database)).with("restore_test_failed", Unit::Count, 1.0),
        end: End::Badly {
            kind: AlertKind::DrillFailed,
            part: site.map(|site| site.to_string()),
            error: error.clone(),
            hint: hint.clone(),
        },
        event: Event::RestoreTestFailed { database: database.cloned(), backup_id, error, hint },
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
