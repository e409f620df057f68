//! How a verb's end is told: ledger, bus, subscribers, metrics, one log line. Only after what it speaks of is durable.

use lifeboat_model::{
    Alert, AlertKind, DatabaseName, DrillReport, Event, LedgerAct, Manifest, Outcome, Severity, VerificationReport,
    VerificationScope,
};
use lifeboat_signals::{MetricsLine, Unit};

use crate::drill::DrillRequest;
use crate::error::EngineError;
use crate::lifeboat::Lifeboat;
use crate::verify::VerifyRequest;

/// Everything that is said about one end of one verb.
struct Telling<'a> {
    action: &'static str,
    database: &'a DatabaseName,
    subject: String,
    outcome: Outcome,
    facts: Vec<(&'static str, String)>,
    event: Event,
    severity: Severity,
    kind: AlertKind,
    metrics: MetricsLine,
}

/// Tells how a backup ended.
pub(crate) async fn of_backup(
    lifeboat: &Lifeboat,
    database: &DatabaseName,
    result: &Result<Manifest, EngineError>,
) -> Result<(), EngineError> {
    let metrics = MetricsLine::new(database.as_str());
    let telling = match result {
        Ok(manifest) => Telling {
            action: "backup",
            database,
            subject: manifest.backup_id.to_string(),
            outcome: Outcome::Completed,
            facts: vec![
                ("relations", manifest.totals.relations.to_string()),
                ("rows", manifest.totals.rows.to_string()),
                ("raw_bytes", manifest.totals.raw_bytes.to_string()),
                ("stored_bytes", manifest.totals.stored_bytes.to_string()),
                ("reused_chunks", manifest.totals.reused_chunks.to_string()),
                ("seconds", format!("{:.3}", manifest.seconds.total())),
            ],
            event: Event::BackupCompleted {
                database: database.clone(),
                backup_id: manifest.backup_id.clone(),
                sites: lifeboat.sites.names(),
                relations: manifest.totals.relations,
                rows: manifest.totals.rows,
                raw_bytes: manifest.totals.raw_bytes,
                stored_bytes: manifest.totals.stored_bytes,
                new_chunks: manifest.totals.new_chunks,
                reused_chunks: manifest.totals.reused_chunks,
                seconds: manifest.seconds.clone(),
            },
            severity: Severity::Info,
            kind: AlertKind::BackupCompleted,
            metrics: metrics
                .with("backup_completed", Unit::Count, 1.0)
                .with("backup_seconds", Unit::Seconds, manifest.seconds.total())
                .with("backup_rows", Unit::Count, manifest.totals.rows as f64)
                .with("backup_raw_bytes", Unit::Bytes, manifest.totals.raw_bytes as f64)
                .with("backup_stored_bytes", Unit::Bytes, manifest.totals.stored_bytes as f64)
                .with("backup_reused_chunks", Unit::Count, manifest.totals.reused_chunks as f64),
        },
        Err(error) => Telling {
            action: "backup",
            database,
            subject: database.to_string(),
            outcome: Outcome::Failed,
            facts: failure_facts(error),
            event: Event::BackupFailed { database: database.clone(), error: error.to_string(), hint: error.hint() },
            severity: Severity::Critical,
            kind: AlertKind::BackupFailed,
            metrics: metrics.with("backup_failed", Unit::Count, 1.0),
        },
    };
    tell(lifeboat, telling).await
}

/// Tells how a verification ended.
pub(crate) async fn of_verification(
    lifeboat: &Lifeboat,
    request: &VerifyRequest,
    result: &Result<VerificationReport, EngineError>,
) -> Result<(), EngineError> {
    let database = &request.database;
    let metrics = MetricsLine::new(database.as_str());
    let scope = scope_name(&request.scope).to_owned();
    let failed = |error: String, hint: String, damaged: u64, facts, metrics: MetricsLine| Telling {
        action: "verify",
        database,
        subject: database.to_string(),
        outcome: Outcome::Failed,
        facts,
        event: Event::VerificationFailed { database: database.clone(), scope: scope.clone(), error, hint, damaged },
        severity: Severity::Critical,
        kind: AlertKind::VerificationFailed,
        metrics: metrics.with("verification_failed", Unit::Count, 1.0),
    };
    let telling = match result {
        Ok(report) => {
            let healed = report.findings.iter().filter(|finding| finding.healed).count() as u64;
            let facts = vec![
                ("scope", scope.clone()),
                ("objects", report.objects.to_string()),
                ("read_bytes", report.read_bytes.to_string()),
                ("findings", (report.findings.len() as u64 + report.more_findings).to_string()),
                ("healed", healed.to_string()),
            ];
            let metrics = metrics
                .with("verification_objects", Unit::Count, report.objects as f64)
                .with("verification_read_bytes", Unit::Bytes, report.read_bytes as f64)
                .with("verification_findings", Unit::Count, report.findings.len() as f64)
                .with("verification_healed", Unit::Count, healed as f64);
            if report.is_sound() {
                Telling {
                    action: "verify",
                    database,
                    subject: database.to_string(),
                    outcome: Outcome::Completed,
                    facts,
                    event: Event::VerificationCompleted {
                        database: database.clone(),
                        scope,
                        backup_id: backup_of(&request.scope),
                        objects: report.objects,
                        read_bytes: report.read_bytes,
                        healed,
                    },
                    // Healed damage is good news about the other site and bad news about this one.
                    severity: if healed > 0 { Severity::Warning } else { Severity::Info },
                    kind: AlertKind::VerificationCompleted,
                    metrics: metrics.with("verification_completed", Unit::Count, 1.0),
                }
            } else {
                let damaged = report.damage().count() as u64 + report.more_findings;
                let first = report.damage().next().map(ToString::to_string).unwrap_or_default();
                let hint =
                    "no site holds a good copy: take a new backup now, and restore only backups that a drill proves";
                failed(
                    format!("{damaged} object(s) are damaged, first {first}"),
                    hint.to_owned(),
                    damaged,
                    facts,
                    metrics,
                )
            }
        }
        Err(error) => failed(error.to_string(), error.hint(), 0, failure_facts(error), metrics),
    };
    tell(lifeboat, telling).await
}

/// Tells how a drill ended.
pub(crate) async fn of_drill(
    lifeboat: &Lifeboat,
    request: &DrillRequest,
    result: &Result<DrillReport, EngineError>,
) -> Result<(), EngineError> {
    let database = &request.database;
    let metrics = MetricsLine::new(database.as_str());
    let failed = |backup_id, error: String, hint: String, facts, metrics: MetricsLine| Telling {
        action: "test-restore",
        database,
        subject: database.to_string(),
        outcome: Outcome::Failed,
        facts,
        event: Event::RestoreTestFailed { database: database.clone(), backup_id, error, hint },
        severity: Severity::Critical,
        kind: AlertKind::RestoreTestFailed,
        metrics: metrics.with("restore_test_failed", Unit::Count, 1.0),
    };
    let telling = match result {
        Ok(report) => {
            let facts = vec![
                ("backup_id", report.backup_id.to_string()),
                ("site", report.site.to_string()),
                ("tables", report.tables.len().to_string()),
                ("rows", report.rows.to_string()),
                ("equal", report.equal.to_string()),
                ("seconds", format!("{:.3}", report.seconds.total())),
            ];
            let metrics = metrics
                .with("restore_test_seconds", Unit::Seconds, report.seconds.total())
                .with("restore_test_rows", Unit::Count, report.rows as f64)
                .with("restore_test_findings", Unit::Count, report.findings.len() as f64);
            if report.equal {
                Telling {
                    action: "test-restore",
                    database,
                    subject: report.backup_id.to_string(),
                    outcome: Outcome::Completed,
                    facts,
                    event: Event::RestoreTestCompleted {
                        database: database.clone(),
                        backup_id: report.backup_id.clone(),
                        site: report.site,
                        tables: report.tables.len() as u64,
                        rows: report.rows,
                        equal: report.equal,
                        seconds: report.seconds.clone(),
                    },
                    severity: Severity::Info,
                    kind: AlertKind::RestoreTestCompleted,
                    metrics: metrics.with("restore_test_completed", Unit::Count, 1.0),
                }
            } else {
                let first = report.findings.first().map(ToString::to_string).unwrap_or_default();
                let error = format!("{} proof(s) did not hold, first {first}", report.findings.len());
                let hint = "keep an older backup that a drill proved, and read the report under drills/ in the bucket";
                failed(Some(report.backup_id.clone()), error, hint.to_owned(), facts, metrics)
            }
        }
        Err(error) => failed(None, error.to_string(), error.hint(), failure_facts(error), metrics),
    };
    tell(lifeboat, telling).await
}

/// Ledger, event, alert, metrics, log line: each is tried whatever became of the others.
///
/// # Errors
/// [`EngineError::Unannounced`] when the event or the alert did not leave: the invocation must be repeated. A ledger that
/// cannot be written is logged as an error, so that a drill from the off-site still counts when the primary is gone.
async fn tell(lifeboat: &Lifeboat, telling: Telling<'_>) -> Result<(), EngineError> {
    let Telling { action, database, subject, outcome, facts, event, severity, kind, metrics } = telling;
    metrics.emit();
    log(action, database, &subject, outcome, &facts);
    let alert = Alert {
        severity,
        kind,
        database: database.clone(),
        subject: format!("[{}] {}: {database}", severity.as_str(), event.detail_type()),
        text: alert_text(&event, &facts),
    };
    let act = LedgerAct {
        actor: lifeboat.actor.clone(),
        action: action.to_owned(),
        subject,
        outcome,
        detail: facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    };
    if let Err(error) = record(lifeboat, act).await {
        tracing::error!(action, %database, error = %error, hint = error.hint(), "the ledger entry could not be written");
    }
    let published = lifeboat.outbox.publish(&event).await;
    let alerted = lifeboat.outbox.alert(&alert).await;
    published.and(alerted).map_err(EngineError::Unannounced)
}

async fn record(lifeboat: &Lifeboat, act: LedgerAct) -> Result<(), EngineError> {
    let repository = lifeboat.repository().await?;
    repository.ledger().append(act, jiff::Timestamp::now()).await?;
    Ok(())
}

fn log(action: &str, database: &DatabaseName, subject: &str, outcome: Outcome, facts: &[(&'static str, String)]) {
    let facts: String = facts.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    match outcome {
        Outcome::Completed => tracing::info!(action, %database, subject, outcome = "completed", facts),
        Outcome::Failed => tracing::error!(action, %database, subject, outcome = "failed", facts),
    }
}

fn alert_text(event: &Event, facts: &[(&'static str, String)]) -> String {
    let mut text = format!("{} for database {}.\n", event.detail_type(), event.database());
    if let Event::BackupFailed { error, hint, .. }
    | Event::VerificationFailed { error, hint, .. }
    | Event::RestoreTestFailed { error, hint, .. } = event
    {
        text.push_str(&format!("\nWhat happened: {error}\nWhat to do: {hint}\n"));
    }
    text.push('\n');
    for (name, value) in facts.iter().filter(|(name, _)| !matches!(*name, "error" | "hint")) {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text
}

fn failure_facts(error: &EngineError) -> Vec<(&'static str, String)> {
    vec![("error", error.to_string()), ("hint", error.hint())]
}

fn scope_name(scope: &VerificationScope) -> &'static str {
    match scope {
        VerificationScope::Backup { .. } => "backup",
        VerificationScope::All => "all",
        VerificationScope::Rotation { .. } => "rotation",
    }
}

fn backup_of(scope: &VerificationScope) -> Option<lifeboat_model::BackupId> {
    match scope {
        VerificationScope::Backup { backup_id } => Some(backup_id.clone()),
        VerificationScope::All | VerificationScope::Rotation { .. } => None,
    }
}
