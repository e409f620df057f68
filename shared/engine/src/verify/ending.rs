//! How the end of a verification is announced.

use jiff::Timestamp;
use lifeboat_model::{
    Act, AlertKind, Cleared, DamagedObjects, DatabaseName, Event, Fact, Facts, Finding, FindingKind, FindingSubject,
    Part, Severity, VerificationReport, VerificationScope,
};
use lifeboat_notify::{MetricsLine, Unit};
use lifeboat_vault::number_of_ledger_key;

use super::request::VerifyRequest;
use crate::announcement::{Announcement, Ending, RunResult, about, failure_facts, name_of};
use crate::error::EngineError;
use crate::run::Run;

const HEALED: &str = "replaced by the intact copy of the other site";

const READ_FINDINGS: &str = "read the report under findings/ in the bucket; CloudTrail (output `TrailLogsName` of the site's \
                             stack) shows who wrote to it";

const NO_GOOD_COPY: &str =
    "no site holds a good copy: take a new backup now, and restore only backups that pass a drill";

const NO_ANSWER: &str = "check why the site did not answer; the next verification reads these objects again";

const NEWER: &str = "a newer version of Lifeboat wrote these objects: update this one, and verify again";

const BROKEN_LEDGER: &str = "run `lifeboat ledger verify`, and compare the object versions under ledger/ in the bucket: \
                             Object Lock keeps the first one that was written";

/// The end of a verification that found no damage, found damage, or failed.
pub(crate) struct VerificationEnding<'a> {
    pub(crate) request: &'a VerifyRequest,
    pub(crate) result: &'a Result<VerificationReport, EngineError>,
    /// What was healed before it failed.
    pub(crate) healed: &'a [Finding],
    /// The entry from which on the audit trail was walked to its end.
    pub(crate) entries_from: Option<u64>,
    /// Since when everything was read.
    pub(crate) all_since: Option<Timestamp>,
}

impl Ending for VerificationEnding<'_> {
    fn announcement(&self, _: &Run) -> Announcement {
        let request = self.request;
        match self.result {
            Ok(report) if report.is_sound() => {
                let (entries_from, all_since) = (self.entries_from, self.all_since);
                sound(request, report, Cleared::Verified { scope: request.scope.clone(), entries_from, all_since })
            }
            Ok(report) => damaged(request, report, self.entries_from),
            Err(error) => unfinished(request, error, self.healed),
        }
    }
}

fn sound(request: &VerifyRequest, report: &VerificationReport, cleared: Cleared) -> Announcement {
    let (healed, database) = (healed(report), &request.database);
    Announcement {
        act: Act::Verify,
        database: Some(database.clone()),
        subject: database.to_string(),
        facts: facts(request, report),
        event: Event::VerificationCompleted {
            database: database.clone(),
            scope: Some(request.scope.kind()),
            backup_id: request.scope.backup_id().cloned(),
            objects: report.objects,
            read_bytes: report.read_bytes,
            healed,
        },
        result: RunResult::Good {
            notice: AlertKind::VerificationCompleted,
            // Healed damage is a warning: one site kept the data, but the other one lost it.
            severity: if healed > 0 { Severity::Warning } else { Severity::Info },
            what: match healed {
                0 => format!("{} objects were read, and all are intact", report.objects),
                _ => format!("{healed} damaged object(s) were {HEALED}; every backup is whole again"),
            },
            hint: (healed > 0).then(|| READ_FINDINGS.to_owned()),
            // Whether a verification is overdue, the health check says: other parts may have been missed.
            clears: vec![AlertKind::VerificationFinding, AlertKind::LedgerBroken],
            // Other objects may still be damaged.
            cleared,
        },
        metrics: MetricsLine::new(database.as_str())
            .with("verification_completed", Unit::Count, 1.0)
            .with("verification_objects", Unit::Count, report.objects as f64)
            .with("verification_read_bytes", Unit::Bytes, report.read_bytes as f64)
            .with("verification_healed", Unit::Count, healed as f64),
        about: about(Some(database)),
    }
}

fn damaged(request: &VerifyRequest, report: &VerificationReport, entries_from: Option<u64>) -> Announcement {
    let damaged = report.damage().count() as u64 + report.more_findings;
    let first = report.damage().next().map(ToString::to_string).unwrap_or_default();
    let of_kind = |kind| report.damage().filter(|finding| finding.kind == kind).count();
    let (of_ledger, unanswered) = (of_kind(FindingKind::LedgerBroken), of_kind(FindingKind::Unanswered));
    let newer = of_kind(FindingKind::NewerFormat);
    // The report keeps the most severe findings. Those beyond its limit are no worse.
    let named = report.damage().count();
    let others = named - of_ledger - unanswered - newer;
    let is_only = |count: usize| count > 0 && count == named;
    let is_undecided = is_only(unanswered + newer);
    let state = match (is_undecided, is_only(newer)) {
        (_, true) => "have a newer format",
        (true, _) => "could not be read",
        (false, _) => "are damaged",
    };
    let hints = [(others, NO_GOOD_COPY), (of_ledger, BROKEN_LEDGER), (unanswered, NO_ANSWER), (newer, NEWER)];
    let hints: Vec<&str> = hints.into_iter().filter(|(count, _)| *count > 0).map(|(_, hint)| hint).collect();
    let failure = Failure {
        kind: if is_only(of_ledger) { AlertKind::LedgerBroken } else { AlertKind::VerificationFinding },
        part: match (&request.scope, entries_from.and_then(|from| first_entry(report, from))) {
            // This scope is read once. The rotation reads the objects again that did not answer; any verification that can run clears this.
            (VerificationScope::Backup { .. }, _) if is_only(unanswered) => None,
            (_, Some(first)) => Some(Part::Entries(first)),
            (scope, None) => Some(Part::Scope(scope.clone())),
        },
        objects: DamagedObjects::new(report.damage().filter_map(Finding::object), report.more_findings > 0)
            .with_unread(!report.is_complete()),
        error: format!("{damaged} object(s) {state}, first {first}"),
        hint: hints.join("; "),
        damaged,
        facts: facts(request, report),
    };
    failure.announcement(Some(&request.database), Some(&request.scope))
}

/// The first entry that is damaged, when only entries from `from` on are: the next verification walks them again, whatever its scope.
fn first_entry(report: &VerificationReport, from: u64) -> Option<u64> {
    let number = |finding: &Finding| match &finding.subject {
        FindingSubject::Object(key) => number_of_ledger_key(key).filter(|number| *number >= from),
        _ => None,
    };
    let numbers: Option<Vec<u64>> = report.damage().map(number).collect();
    numbers.filter(|_| report.more_findings == 0)?.into_iter().min()
}

/// A verification that failed after it may have healed objects. They are whole, and one site had lost them.
fn unfinished(request: &VerifyRequest, error: &EngineError, healed: &[Finding]) -> Announcement {
    let failure = Failure::new(error);
    let failure = match healed.first() {
        None => failure,
        Some(first) => Failure {
            error: format!(
                "{}; before, {} damaged object(s) were {HEALED}, first {first}",
                failure.error,
                healed.len()
            ),
            hint: format!("{}; {READ_FINDINGS}", failure.hint),
            facts: failure.facts.with(Fact::Healed, healed.len()),
            ..failure
        },
    };
    failure.announcement(Some(&request.database), Some(&request.scope))
}

/// A verification that failed or could not begin. It found no damage, so any verification that can run clears its incident.
pub(crate) fn failed(
    database: Option<&DatabaseName>,
    scope: Option<&VerificationScope>,
    error: &EngineError,
) -> Announcement {
    Failure::new(error).announcement(database, scope)
}

/// Why a verification failed.
struct Failure {
    kind: AlertKind,
    part: Option<Part>,
    objects: DamagedObjects,
    error: String,
    hint: String,
    damaged: u64,
    facts: Facts,
}

impl Failure {
    fn new(error: &EngineError) -> Self {
        Self {
            kind: AlertKind::VerificationFinding,
            part: None,
            objects: DamagedObjects::default(),
            error: error.story(),
            hint: error.hint(),
            damaged: 0,
            facts: failure_facts(error),
        }
    }

    fn announcement(self, database: Option<&DatabaseName>, scope: Option<&VerificationScope>) -> Announcement {
        let Self { kind, part, objects, error, hint, damaged, facts } = self;
        Announcement {
            act: Act::Verify,
            database: database.cloned(),
            subject: name_of(database).to_owned(),
            facts,
            event: Event::VerificationFailed {
                database: database.cloned(),
                scope: scope.map(VerificationScope::kind),
                error: error.clone(),
                hint: hint.clone(),
                damaged,
            },
            result: RunResult::Bad { kind, part, objects, error, hint },
            metrics: MetricsLine::new(name_of(database)).with("verification_failed", Unit::Count, 1.0).with(
                "verification_damaged",
                Unit::Count,
                damaged as f64,
            ),
            about: about(database),
        }
    }
}

fn facts(request: &VerifyRequest, report: &VerificationReport) -> Facts {
    let judged = report.damage().filter(|finding| !finding.kind.is_undecided()).count() as u64;
    Facts::new()
        .with(Fact::Scope, &request.scope)
        .with(Fact::Objects, report.objects)
        .with(Fact::ReadBytes, report.read_bytes)
        .with(Fact::Findings, report.findings.len() as u64 + report.more_findings)
        .with(Fact::Damaged, judged + report.more_findings)
        .with(Fact::Healed, healed(report))
}

fn healed(report: &VerificationReport) -> u64 {
    report.findings.iter().filter(|finding| finding.healed).count() as u64
}
