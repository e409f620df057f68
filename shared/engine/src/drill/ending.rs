//! How the end of a drill is announced.

use lifeboat_model::{
    Act, AlertKind, BackupId, Cleared, DamagedObjects, DatabaseName, DrillReport, Event, Fact, Facts, Finding, Part,
    ScratchEntry, Severity,
};
use lifeboat_notify::{MetricsLine, Unit};

use super::request::DrillRequest;
use crate::announcement::{Announcement, Ending, RunResult, about, failure_facts, name_of};
use crate::error::EngineError;
use crate::run::Run;

const NOT_EQUAL: &str = "read the report under drills/ in the bucket, and rely on an older backup that passed a drill";

const CLEAN: &str = "run `lifeboat drill --clean` where the scratch server can be reached";

/// The end of a drill that proved a backup equal, found a difference, or failed.
pub(crate) struct DrillEnding<'a> {
    pub(crate) request: &'a DrillRequest,
    pub(crate) result: &'a Result<DrillReport, EngineError>,
    /// The scratch database that could not be dropped.
    pub(crate) left: Option<&'a ScratchEntry>,
}

impl Ending for DrillEnding<'_> {
    fn announcement(&self, _: &Run) -> Announcement {
        let announcement = match self.result {
            Ok(report) if report.equal => equal(report),
            Ok(report) => not_equal(report),
            Err(error) => {
                // Only a failure of the repository belongs to the site. Any drill that can run clears other failures.
                let part = matches!(error, EngineError::Vault(_)).then_some(Part::Site(self.request.site));
                let failed = failed(Some(&self.request.database), part, error);
                Announcement { facts: failed.facts.with(Fact::Site, self.request.site), ..failed }
            }
        };
        match self.left {
            Some(left) => naming(announcement, left),
            None => announcement,
        }
    }
}

/// The announcement that also names the scratch database that still holds rows: in the facts, in the event, and in the sentence.
fn naming(mut announcement: Announcement, left: &ScratchEntry) -> Announcement {
    announcement.facts = announcement.facts.with(Fact::Leftover, left);
    if let Event::RestoreTestCompleted { leftover, .. } | Event::RestoreTestFailed { leftover, .. } =
        &mut announcement.event
    {
        *leftover = Some(left.to_string());
    }
    if let RunResult::Good { severity, what, hint, .. } = &mut announcement.result {
        *severity = Severity::Warning;
        what.push_str(&format!(", but scratch database {left} could not be dropped"));
        *hint = Some(CLEAN.to_owned());
    }
    announcement
}

fn equal(report: &DrillReport) -> Announcement {
    let (backup_id, site) = (&report.backup_id, report.site);
    let left_out = report.left_out_in_words().map(|words| format!("; {words}")).unwrap_or_default();
    Announcement {
        act: Act::TestRestore,
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
            left_out: report.left_out.len() as u64,
            leftover: None,
            seconds: report.seconds.clone(),
        },
        result: RunResult::Good {
            notice: AlertKind::DrillCompleted,
            severity: Severity::Info,
            what: format!("backup {backup_id} was restored from {site} and equals its source{left_out}"),
            hint: None,
            // Whether a drill is overdue, the health check says: the other site may not have been proved for long.
            clears: vec![AlertKind::DrillFailed],
            // A restore from one site says nothing about the other.
            cleared: Cleared::Part(Part::Site(report.site)),
        },
        metrics: MetricsLine::new(report.database.as_str())
            .with("restore_test_completed", Unit::Count, 1.0)
            .with("restore_test_seconds", Unit::Seconds, report.seconds.total())
            .with("restore_test_rows", Unit::Count, report.rows as f64),
        about: about(Some(&report.database)),
    }
}

fn not_equal(report: &DrillReport) -> Announcement {
    let first = report.findings.first().map(ToString::to_string).unwrap_or_default();
    let failure = Failure {
        backup_id: Some(report.backup_id.clone()),
        part: Some(Part::Site(report.site)),
        objects: DamagedObjects::new(report.findings.iter().filter_map(Finding::object), false),
        error: format!("{} check(s) of the restored database failed, first {first}", report.findings.len()),
        hint: NOT_EQUAL.to_owned(),
        facts: facts(report),
    };
    failure.announcement(Some(&report.database))
}

/// A drill that failed or could not begin. `part` is the part of the incident that this is about.
pub(crate) fn failed(database: Option<&DatabaseName>, part: Option<Part>, error: &EngineError) -> Announcement {
    let (story, hint) = (error.story(), error.hint());
    let (objects, facts) = (DamagedObjects::default(), failure_facts(error));
    let failure = Failure { backup_id: None, part, objects, error: story, hint, facts };
    failure.announcement(database)
}

/// Why a drill failed.
struct Failure {
    backup_id: Option<BackupId>,
    part: Option<Part>,
    objects: DamagedObjects,
    error: String,
    hint: String,
    facts: Facts,
}

impl Failure {
    fn announcement(self, database: Option<&DatabaseName>) -> Announcement {
        let Self { backup_id, part, objects, error, hint, facts } = self;
        Announcement {
            act: Act::TestRestore,
            database: database.cloned(),
            subject: backup_id.as_ref().map_or_else(|| name_of(database).to_owned(), ToString::to_string),
            facts,
            event: Event::RestoreTestFailed {
                database: database.cloned(),
                backup_id,
                error: error.clone(),
                hint: hint.clone(),
                leftover: None,
            },
            result: RunResult::Bad { kind: AlertKind::DrillFailed, part, objects, error, hint },
            metrics: MetricsLine::new(name_of(database)).with("restore_test_failed", Unit::Count, 1.0),
            about: about(database),
        }
    }
}

fn facts(report: &DrillReport) -> Facts {
    Facts::new()
        .with(Fact::BackupId, &report.backup_id)
        .with(Fact::Site, report.site)
        .with(Fact::Tables, report.tables.len())
        .with(Fact::Rows, report.rows)
        .with(Fact::Findings, report.findings.len())
        .with(Fact::Equal, report.equal)
        .with(Fact::LeftOut, report.left_out.len())
        .with_seconds(report.seconds.total())
}
