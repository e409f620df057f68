//! What is said about the end of a verification.

use lifeboat_model::{
    AlertKind, BackupId, DatabaseName, Event, Outcome, Severity, VerificationReport, VerificationScope,
};
use lifeboat_signals::{MetricsLine, Unit};

use super::{Telling, failure_facts, name_of};
use crate::error::EngineError;
use crate::lifeboat::Lifeboat;
use crate::verify::VerifyRequest;

const BEYOND_HEALING: &str =
    "no site holds a good copy: take a new backup now, and restore only backups that a drill proves";

/// Tells how a verification ended.
pub(crate) async fn of_verification(
    lifeboat: &Lifeboat,
    request: &VerifyRequest,
    result: &Result<VerificationReport, EngineError>,
) -> Result<(), EngineError> {
    let telling = match result {
        Ok(report) if report.is_sound() => sound(request, report),
        Ok(report) => damaged(request, report),
        Err(error) => {
            failed(Some(&request.database), Some(&request.scope), error.story(), error.hint(), 0, failure_facts(error))
        }
    };
    telling.tell(lifeboat).await
}

fn sound(request: &VerifyRequest, report: &VerificationReport) -> Telling {
    let healed = healed(report);
    Telling {
        action: "verify",
        database: Some(request.database.clone()),
        subject: request.database.to_string(),
        outcome: Outcome::Completed,
        facts: facts(request, report),
        event: Event::VerificationCompleted {
            database: request.database.clone(),
            scope: scope_name(&request.scope).to_owned(),
            backup_id: backup_of(&request.scope),
            objects: report.objects,
            read_bytes: report.read_bytes,
            healed,
        },
        // Healed damage is good news about the other site and bad news about this one.
        severity: if healed > 0 { Severity::Warning } else { Severity::Info },
        kind: AlertKind::VerificationCompleted,
        metrics: MetricsLine::new(request.database.as_str())
            .with("verification_completed", Unit::Count, 1.0)
            .with("verification_objects", Unit::Count, report.objects as f64)
            .with("verification_read_bytes", Unit::Bytes, report.read_bytes as f64)
            .with("verification_healed", Unit::Count, healed as f64),
    }
}

fn damaged(request: &VerifyRequest, report: &VerificationReport) -> Telling {
    let damaged = report.damage().count() as u64 + report.more_findings;
    let first = report.damage().next().map(ToString::to_string).unwrap_or_default();
    let error = format!("{damaged} object(s) are damaged, first {first}");
    let (database, scope) = (Some(&request.database), Some(&request.scope));
    failed(database, scope, error, BEYOND_HEALING.to_owned(), damaged, facts(request, report))
}

pub(super) fn failed(
    database: Option<&DatabaseName>,
    scope: Option<&VerificationScope>,
    error: String,
    hint: String,
    damaged: u64,
    facts: Vec<(&'static str, String)>,
) -> Telling {
    let scope = scope.map(|scope| scope_name(scope).to_owned());
    Telling {
        action: "verify",
        subject: name_of(database).to_owned(),
        outcome: Outcome::Failed,
        facts,
        metrics: MetricsLine::new(name_of(database)).with("verification_failed", Unit::Count, 1.0).with(
            "verification_damaged",
            Unit::Count,
            damaged as f64,
        ),
        event: Event::VerificationFailed { database: database.cloned(), scope, error, hint, damaged },
        severity: Severity::Critical,
        kind: AlertKind::VerificationFailed,
        database: database.cloned(),
    }
}

fn facts(request: &VerifyRequest, report: &VerificationReport) -> Vec<(&'static str, String)> {
    vec![
        ("scope", scope_name(&request.scope).to_owned()),
        ("objects", report.objects.to_string()),
        ("read_bytes", report.read_bytes.to_string()),
        ("findings", (report.findings.len() as u64 + report.more_findings).to_string()),
        ("healed", healed(report).to_string()),
    ]
}

fn healed(report: &VerificationReport) -> u64 {
    report.findings.iter().filter(|finding| finding.healed).count() as u64
}

fn scope_name(scope: &VerificationScope) -> &'static str {
    match scope {
        VerificationScope::Backup { .. } => "backup",
        VerificationScope::All => "all",
        VerificationScope::Rotation { .. } => "rotation",
    }
}

fn backup_of(scope: &VerificationScope) -> Option<BackupId> {
    match scope {
        VerificationScope::Backup { backup_id } => Some(backup_id.clone()),
        VerificationScope::All | VerificationScope::Rotation { .. } => None,
    }
}
