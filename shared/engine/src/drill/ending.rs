//! How the end of a drill is announced.

use lifeboat_model::{
    Act, AlertKind, BackupId, Cleared, DamagedObjects, DatabaseName, DrillReport, Event, Fact, Facts, Finding,
    Incident, IncidentName, Part, Response, ScratchEntry, Severity,
};
use lifeboat_notify::{MetricsLine, Unit};

use super::request::{BackupChoice, DrillRequest};
use crate::announcement::{Announcement, Ending, RunResult, about, failure_facts, name_of};
use crate::deadline::within;
use crate::error::EngineError;
use crate::health::SITE_WITHIN;
use crate::incidents;
use crate::run::Run;

const NOT_EQUAL: &str = "read the report under drills/ in the bucket, and rely on an older backup that passed a drill";

const CLEAN: &str = "run `lifeboat drill --clean` where the scratch server can be reached";

/// The end of a drill that proved a backup equal, found a difference, or failed.
pub(crate) struct DrillEnding<'a> {
    pub(crate) request: &'a DrillRequest,
    pub(crate) result: &'a Result<DrillReport, EngineError>,
    /// The scratch database that could not be dropped.
    pub(crate) left: Option<&'a ScratchEntry>,
    /// The backup that was restored, as far as it came to that.
    pub(crate) chosen: Option<&'a BackupId>,
    /// The parts of the incident about backups that are there no more. Nothing can prove them.
    pub(crate) gone: Vec<Part>,
}

impl DrillEnding<'_> {
    /// The part that a drill of this backup is about. The newest backup stands for its site. A drill of the newest says nothing of another
    /// one, which may be the only one that is not restorable.
    fn part(&self, backup_id: &BackupId) -> Part {
        match self.request.backup {
            BackupChoice::Newest => Part::Site(self.request.site),
            BackupChoice::Random | BackupChoice::Id(_) => Part::Backup(self.request.site, backup_id.clone()),
        }
    }

    /// The part that a failure is about. Any drill that can run clears a failure that says nothing of the repository.
    fn part_of_failure(&self, error: &EngineError) -> Option<Part> {
        let EngineError::Vault(error) = error else { return None };
        // A store that does not answer says nothing of one backup.
        let chosen = self.chosen.filter(|_| error.advice().response != Response::Retry);
        Some(chosen.map_or(Part::Site(self.request.site), |backup_id| self.part(backup_id)))
    }

    fn equal(&self, report: &DrillReport) -> Announcement {
        let (backup_id, site) = (&report.backup_id, report.site);
        let mut cleared = self.gone.clone();
        cleared.extend([self.part(backup_id), Part::Backup(site, backup_id.clone())]);
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
                // A restore from one site says nothing about the other, and one of an old backup nothing about the newest.
                cleared: Cleared::Parts(cleared),
            },
            metrics: MetricsLine::new(report.database.as_str())
                .with("restore_test_completed", Unit::Count, 1.0)
                .with("restore_test_seconds", Unit::Seconds, report.seconds.total())
                .with("restore_test_rows", Unit::Count, report.rows as f64),
            about: about(Some(&report.database)),
        }
    }
}

/// Looks which backups that an open incident of a database is about are there no more.
pub(super) async fn gone_backups(run: &Run, database: &DatabaseName) -> Vec<Part> {
    let looking = async {
        let name = IncidentName::new(AlertKind::DrillFailed, database);
        let incident = incidents::incident(run, &name).await?.filter(Incident::is_open);
        let mut gone = Vec::new();
        for part in incident.into_iter().flat_map(|incident| incident.parts) {
            if let Part::Backup(site, backup_id) = &part
                && !run.repository_on(*site).await?.has_manifest(database, backup_id, *site).await?
            {
                gone.push(part);
            }
        }
        Ok(gone)
    };
    within(SITE_WITHIN, Box::pin(looking)).await.unwrap_or_else(|error: EngineError| {
        tracing::warn!(error = error.story(), "whether the backups of failed drills are still there is not known");
        Vec::new()
    })
}

impl Ending for DrillEnding<'_> {
    fn announcement(&self, _: &Run) -> Announcement {
        let announcement = match self.result {
            Ok(report) if report.equal => self.equal(report),
            Ok(report) => not_equal(report, self.part(&report.backup_id)),
            Err(error) => {
                let failed = failed(Some(&self.request.database), self.part_of_failure(error), error);
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

fn not_equal(report: &DrillReport, part: Part) -> Announcement {
    let first = report.findings.first().map(ToString::to_string).unwrap_or_default();
    let failure = Failure {
        backup_id: Some(report.backup_id.clone()),
        part: Some(part),
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
