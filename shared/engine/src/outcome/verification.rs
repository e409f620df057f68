//! What is said about the end of a verification.

use lifeboat_model::{
    AlertKind, BackupId, Cleared, DatabaseName, Event, FindingKind, Severity, VerificationReport, VerificationScope,
};
use lifeboat_notify::{MetricsLine, Unit};

use super::{End, SCOPE_FACT, Telling, failure_facts, name_of};
use crate::error::EngineError;
use crate::lifeboat::Lifeboat;
use crate::verify::VerifyRequest;

/// What a subscriber reads about damage that is no more.
const HEALED: &str = "replaced by the sound copy of the other site; every backup is whole again";
const LOOK: &str =
    "read what was damaged under findings/ in the bucket, and who wrote to it in the bucket's access log";

const BEYOND_HEALING: &str =
    "no site holds a good copy: take a new backup now, and restore only backups that a drill proves";

const NO_ANSWER: &str = "look why the site did not answer; the next verification reads again what it did not give";

const BROKEN_TRAIL: &str = "run `lifeboat ledger verify`, and look who wrote to ledger/ in the bucket: object versions under Object Lock \
                            have what was written first";

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
        is_known: true,
        database: Some(request.database.clone()),
        subject: request.database.to_string(),
        facts: facts(request, report),
        event: Event::VerificationCompleted {
            database: request.database.clone(),
            scope: scope_name(&request.scope).to_owned(),
            backup_id: backup_of(&request.scope),
            objects: report.objects,
            read_bytes: report.read_bytes,
            healed,
        },
        end: End::Well {
            notice: AlertKind::VerificationCompleted,
            // Healed damage is good news about the other site and bad news about this one.
            severity: if healed > 0 { Severity::Warning } else { Severity::Info },
            what: match healed {
                0 => format!("{} objects were read, all as they were written", report.objects),
                _ => format!("{healed} damaged object(s) were {HEALED}"),
            },
            hint: (healed > 0).then(|| LOOK.to_owned()),
            clears: match request.scope {
                // What a backup added is read after each; that is not the rotation, which may have stopped.
                VerificationScope::Backup { .. } => vec![AlertKind::VerificationFinding, AlertKind::LedgerBroken],
                _ => vec![AlertKind::VerificationFinding, AlertKind::VerificationOverdue, AlertKind::LedgerBroken],
            },
            // That something else is sound says nothing of it.
            cleared: match request.scope {
                VerificationScope::All => Cleared::All,
                _ => Cleared::Part(scope_words(&request.scope)),
            },
        },
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
    let (database, scope) = (Some(&request.database), Some(&request.scope));
    let of_kind = |kind| report.damage().filter(|finding| finding.kind == kind).count();
    let (of_trail, unanswered) = (of_kind(FindingKind::LedgerBroken), of_kind(FindingKind::Unanswered));
    // What is not named is no heavier than the lightest that is.
    let named = report.damage().count();
    let others = named - of_trail - unanswered;
    let is_only = |count: usize| count > 0 && count == named;
    let are = if is_only(unanswered) { "could not be read" } else { "are damaged" };
    let error = format!("{damaged} object(s) {are}, first {first}");
    let wrong = if is_only(of_trail) { AlertKind::LedgerBroken } else { AlertKind::VerificationFinding };
    let hints = [(others, BEYOND_HEALING), (of_trail, BROKEN_TRAIL), (unanswered, NO_ANSWER)];
    let hints: Vec<&str> = hints.into_iter().filter(|(count, _)| *count > 0).map(|(_, hint)| hint).collect();
    let hint = hints.join("; ");
    let mut telling = failed(database, scope, error, hint, damaged, facts(request, report));
    if let End::Badly { kind, part, .. } = &mut telling.end {
        *kind = wrong;
        // Of what a site did not answer for nothing was found: any verification that can be carried out clears it.
        *part = part.take().filter(|_| !is_only(unanswered));
    }
    telling
}

pub(super) fn failed(
    database: Option<&DatabaseName>,
    scope: Option<&VerificationScope>,
    error: String,
    hint: String,
    damaged: u64,
    facts: Vec<(&'static str, String)>,
) -> Telling {
    // One that could not be carried out found nothing: any that can be clears it.
    let part = scope.filter(|_| damaged > 0).map(scope_words);
    let scope = scope.map(|scope| scope_name(scope).to_owned());
    Telling {
        action: "verify",
        is_known: true,
        subject: name_of(database).to_owned(),
        facts,
        metrics: MetricsLine::new(name_of(database)).with("verification_failed", Unit::Count, 1.0).with(
            "verification_damaged",
            Unit::Count,
            damaged as f64,
        ),
        end: End::Badly { kind: AlertKind::VerificationFinding, part, error: error.clone(), hint: hint.clone() },
        event: Event::VerificationFailed { database: database.cloned(), scope, error, hint, damaged },
        database: database.cloned(),
    }
}

fn facts(request: &VerifyRequest, report: &VerificationReport) -> Vec<(&'static str, String)> {
    vec![
        (SCOPE_FACT, scope_words(&request.scope)),
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

/// A scope in full, so that two are equal when they are about the same objects.
fn scope_words(scope: &VerificationScope) -> String {
    match scope {
        VerificationScope::Backup { backup_id } => format!("backup {backup_id}"),
        VerificationScope::All => "all".to_owned(),
        VerificationScope::Rotation { day, days } => format!("rotation {day} of {days}"),
    }
}

fn backup_of(scope: &VerificationScope) -> Option<BackupId> {
    match scope {
        VerificationScope::Backup { backup_id } => Some(backup_id.clone()),
        VerificationScope::All | VerificationScope::Rotation { .. } => None,
    }
}
