//! How the end of a drill is announced.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use lifeboat_model::{
    Act, AlertKind, BackupId, Cleared, DamagedObjects, DatabaseName, DrillReport, Event, Fact, Facts, Finding,
    Incident, IncidentName, Part, Response, RestoreOutcome, ScratchEntry, SetAside, Severity,
};
use lifeboat_notify::{MetricsLine, Unit};

use super::choice::Chosen;
use super::request::DrillRequest;
use crate::announcement::{Announcement, Ending, RunResult, about, failure_facts, name_of};
use crate::deadline::within;
use crate::error::EngineError;
use crate::health::SITE_WITHIN;
use crate::incidents;
use crate::run::Run;

const NOT_EQUAL: &str = "read the report under drills/ in the bucket, and rely on an older backup that passed a drill";

const CLEAN: &str = "run `lifeboat drill --clean` where the scratch server can be reached";

const UNKEPT: &str = "read in the function's log why drills/ could not be written, and drill again";

/// The end of a drill that proved a backup equal, found a difference, or failed.
pub(crate) struct DrillEnding<'a> {
    pub(crate) request: &'a DrillRequest,
    pub(crate) result: &'a Result<DrillReport, EngineError>,
    /// The scratch database that could not be dropped.
    pub(crate) left: Option<&'a ScratchEntry>,
    /// Whether its report is stored, by which alone it counts as a proof.
    pub(crate) is_kept: bool,
    /// The backup that was chosen, as far as it came to that.
    pub(crate) chosen: Option<&'a Chosen>,
    /// The parts of the open incident that nothing can prove any longer.
    pub(crate) gone: Vec<Part>,
}

impl DrillEnding<'_> {
    /// The part that a drill of the chosen backup is about. The newest backup stands for its site. A drill of the newest says nothing of
    /// another one, which may be the only one that is not restorable.
    fn part(&self) -> Part {
        match self.chosen {
            Some(Chosen { is_newest: false, backup_id, .. }) => Part::Backup(self.request.site, backup_id.clone()),
            _ => Part::Site(self.request.site),
        }
    }

    /// The part that a failure is about. Any drill that can run clears a failure that says nothing of the repository.
    fn part_of_failure(&self, error: &EngineError) -> Option<Part> {
        let is_restoring = self.chosen.is_some_and(|chosen| chosen.is_restoring);
        match error {
            EngineError::Inconsistent { .. } => Some(self.part()),
            EngineError::Vault(error) if error.is_about_the_scratch_record() => None,
            EngineError::Vault(error) if error.is_about_stored_bytes() => Some(self.part()),
            // A site or a key that does not serve says nothing of one backup.
            EngineError::Vault(_) | EngineError::NoBackup { .. } | EngineError::UnknownBackup { .. } => {
                Some(Part::Site(self.request.site))
            }
            // The bytes may be in order, but they came too slowly.
            EngineError::OutOfTime { .. } if is_restoring => Some(Part::Site(self.request.site)),
            EngineError::OutOfTime { .. } | EngineError::NoAnswer { .. } | EngineError::WorkFolder { .. } => None,
            // The scratch server went away, or is full.
            error if error.advice().response == Response::Retry => None,
            // The server took the connection and refused what the backup holds.
            _ => is_restoring.then(|| self.part()),
        }
    }

    /// The parts that an equal drill proves.
    fn proved(&self, report: &DrillReport) -> Vec<Part> {
        let part = self.part();
        let of_newest = matches!(part, Part::Site(_)).then_some(Part::Everything);
        let proved = [part, Part::Backup(report.site, report.backup_id.clone())];
        let parts: BTreeSet<Part> = self.gone.iter().cloned().chain(proved).chain(of_newest).collect();
        parts.into_iter().collect()
    }

    fn announced(&self) -> Announcement {
        let announcement = match self.result {
            Ok(report) if report.equal => self.equal(report),
            Ok(report) => self.not_equal(report).announcement(Some(&self.request.database)),
            Err(error) => self.failure(error).announcement(Some(&self.request.database)),
        };
        let announcement = match self.left {
            Some(left) => naming(announcement, left),
            None => announcement,
        };
        if self.is_kept { announcement } else { unkept(announcement) }
    }

    fn failure(&self, error: &EngineError) -> Failure {
        let (part, backup_id) = (self.part_of_failure(error), self.chosen.map(|chosen| chosen.backup_id.clone()));
        let (error, hint) = (error.story(), self.whole_hint(error.hint(), part.as_ref()));
        let facts = Facts::new().with(Fact::Error, &error).with(Fact::Hint, &hint);
        let facts = facts.with_some(Fact::BackupId, backup_id.as_ref()).with(Fact::Site, self.request.site);
        Failure { backup_id, part, objects: DamagedObjects::default(), error, hint, facts, outcome: None }
    }

    fn not_equal(&self, report: &DrillReport) -> Failure {
        let part = self.part();
        let first = report.findings.first().map(ToString::to_string).unwrap_or_default();
        let objects = report.findings.iter().filter_map(Finding::object).map(|object| name_in(&part, &object));
        let count = report.findings.len();
        let (error, hint) = match report.outcome {
            Some(RestoreOutcome::RowsWhole) => (
                format!("all rows are back, and {count} check(s) of the restored database failed, first {first}"),
                report.set_aside.first().map_or_else(|| NOT_EQUAL.to_owned(), |first| self.remedy(first)),
            ),
            _ => (
                format!("rows are missing or differ: {count} check(s) of the restored database failed, first {first}"),
                NOT_EQUAL.to_owned(),
            ),
        };
        Failure {
            backup_id: Some(report.backup_id.clone()),
            objects: DamagedObjects::new(objects, false),
            error,
            hint: self.whole_hint(hint, Some(&part)),
            facts: facts(report),
            outcome: report.outcome.map(|outcome| (outcome, report.set_aside.len() as u64)),
            part: Some(part),
        }
    }

    /// What to do about the first object that was set aside, and where the others are.
    fn remedy(&self, first: &SetAside) -> String {
        let SetAside { kind, object, what_to_do, .. } = first;
        let database = &self.request.database;
        format!(
            "for {kind} `{object}`: {what_to_do}; the report under drills/ in the bucket has all of them; accept what is as you want it with \
             `lifeboat incidents ack drill-failed/{database} --object NAME`"
        )
    }

    /// The hint, and the command for the drill that alone resolves the incident, where there is one.
    fn whole_hint(&self, hint: String, part: Option<&Part>) -> String {
        let Some(Part::Backup(site, backup_id)) = part else { return hint };
        let database = &self.request.database;
        let again = format!("`lifeboat drill --database {database} --backup {backup_id} --site {site}`");
        format!("{hint}; drill this backup again with {again}")
    }

    fn equal(&self, report: &DrillReport) -> Announcement {
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
                restore_outcome: report.outcome,
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
                cleared: Cleared::Parts(self.proved(report)),
            },
            metrics: MetricsLine::new(report.database.as_str())
                .with("restore_test_completed", Unit::Count, 1.0)
                .with("restore_test_seconds", Unit::Seconds, report.seconds.total())
                .with("restore_test_rows", Unit::Count, report.rows as f64),
            about: about(Some(&report.database)),
        }
    }
}

/// The parts of a database's open incident that nothing can prove any longer: their backup is gone, or their site is no longer configured.
pub(super) async fn gone_parts(run: &Run, database: &DatabaseName) -> Vec<Part> {
    let looking = async {
        let name = IncidentName::new(AlertKind::DrillFailed, database);
        let incident = within(SITE_WITHIN, incidents::incident(run, &name)).await?.filter(Incident::is_open);
        let parts: Vec<Part> = incident.into_iter().flat_map(|incident| incident.parts).collect();
        // One that cannot be looked up keeps none of the others.
        let gone = join_all(parts.iter().map(|part| is_gone(run, database, part))).await;
        Ok(parts.into_iter().zip(gone).filter_map(|(part, is_gone)| is_gone.then_some(part)).collect())
    };
    run.deadline.bound(Box::pin(looking)).await.unwrap_or_else(|error: EngineError| {
        tracing::warn!(error = error.story(), "which backups the incident of failed drills is about is not known");
        Vec::new()
    })
}

async fn is_gone(run: &Run, database: &DatabaseName, part: &Part) -> bool {
    let (site, backup_id) = match part {
        Part::Site(site) => (*site, None),
        Part::Backup(site, backup_id) => (*site, Some(backup_id)),
        Part::Scope(_) | Part::Entries(_) | Part::Everything => return false,
    };
    if !run.ports.sites.names().contains(&site) {
        return true;
    }
    let Some(backup_id) = backup_id else { return false };
    let looking = async { Ok(run.repository_on(site).await?.has_manifest(database, backup_id, site).await?) };
    let is_there = within(SITE_WITHIN, Box::pin(looking)).await.unwrap_or_else(|error| {
        let error = error.story();
        tracing::warn!(%part, error, "whether the backup of a failed drill is still there is not known");
        true
    });
    !is_there
}

impl Ending for DrillEnding<'_> {
    fn announcement(&self, _: &Run) -> Announcement {
        self.announced()
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

/// The announcement of a good drill that also says that its report is lost.
fn unkept(mut announcement: Announcement) -> Announcement {
    if let RunResult::Good { severity, what, hint, .. } = &mut announcement.result {
        *severity = Severity::Warning;
        what.push_str("; no site stored its report, so it does not count as a proof");
        *hint = Some(hint.take().map_or_else(|| UNKEPT.to_owned(), |hint| format!("{hint}; {UNKEPT}")));
    }
    announcement
}

/// The name under which a person may accept an object of a restored database. Each backup and each site has an object of that name, and the
/// acceptance of one must not hide another.
fn name_in(part: &Part, object: &str) -> String {
    match part {
        Part::Backup(site, backup_id) => format!("{object} in {backup_id} on {site}"),
        other => format!("{object} on {other}"),
    }
}

/// A drill that could not begin.
pub(crate) fn failed(database: Option<&DatabaseName>, error: &EngineError) -> Announcement {
    let (objects, facts) = (DamagedObjects::default(), failure_facts(error));
    let (error, hint, outcome) = (error.story(), error.hint(), None);
    let failure = Failure { backup_id: None, part: None, objects, error, hint, facts, outcome };
    failure.announcement(database)
}

/// Why a drill failed.
struct Failure {
    backup_id: Option<BackupId>,
    /// The part of the incident that this is about.
    part: Option<Part>,
    objects: DamagedObjects,
    error: String,
    hint: String,
    facts: Facts,
    /// How the restore ended, and how many objects it set aside.
    outcome: Option<(RestoreOutcome, u64)>,
}

impl Failure {
    fn announcement(self, database: Option<&DatabaseName>) -> Announcement {
        let Self { backup_id, part, objects, error, hint, facts, outcome } = self;
        Announcement {
            act: Act::TestRestore,
            database: database.cloned(),
            subject: backup_id.as_ref().map_or_else(|| name_of(database).to_owned(), ToString::to_string),
            facts,
            event: Event::RestoreTestFailed {
                database: database.cloned(),
                backup_id,
                restore_outcome: outcome.map(|(outcome, _)| outcome),
                set_aside: outcome.map(|(_, set_aside)| set_aside),
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
        .with_some(Fact::RestoreOutcome, report.outcome)
        .with(Fact::SetAside, report.set_aside.len())
        .with(Fact::Equal, report.equal)
        .with(Fact::LeftOut, report.left_out.len())
        .with_seconds(report.seconds.total())
}

#[cfg(test)]
mod tests {
    use lifeboat_model::{FindingKind, FindingSubject, Phases, Site};
    use lifeboat_postgres::{ConnectionSettings, PostgresError};
    use lifeboat_vault::{StoreError, VaultError};

    use super::super::request::BackupChoice;
    use super::*;

    const BACKUP: &str = "2026-11-21T20-49-33Z-k3f9";

    fn request() -> DrillRequest {
        let settings = ConnectionSettings::from_secret("postgres://u:p@scratch.example.com/postgres").unwrap();
        let (database, scratch) = ("clinic".parse().unwrap(), settings);
        DrillRequest { database, backup: BackupChoice::Random, site: Site::Offsite, scratch }
    }

    fn chosen(is_newest: bool, is_restoring: bool) -> Chosen {
        Chosen { backup_id: BACKUP.parse().unwrap(), is_newest, is_restoring }
    }

    fn report(findings: Vec<Finding>) -> DrillReport {
        let now = jiff::Timestamp::UNIX_EPOCH;
        DrillReport {
            database: "clinic".parse().unwrap(),
            backup_id: BACKUP.parse().unwrap(),
            site: Site::Offsite,
            started_at: now,
            finished_at: now,
            tables: Vec::new(),
            rows: 0,
            schema_objects: 0,
            large_objects: 0,
            equal: findings.is_empty(),
            findings,
            outcome: None,
            set_aside: Vec::new(),
            notes: Vec::new(),
            not_compared: Vec::new(),
            left_out: Vec::new(),
            seconds: Phases::default(),
        }
    }

    fn announced(result: Result<DrillReport, EngineError>, chosen: Option<&Chosen>, gone: &[Part]) -> Announcement {
        let (request, gone) = (request(), gone.to_vec());
        DrillEnding { request: &request, result: &result, left: None, is_kept: true, chosen, gone }.announced()
    }

    fn part_of(error: EngineError, chosen: Option<&Chosen>) -> Option<Part> {
        let announcement = announced(Err(error), chosen, &[]);
        let RunResult::Bad { part, .. } = announcement.result else { panic!("it failed") };
        part
    }

    fn old() -> Part {
        Part::Backup(Site::Offsite, BACKUP.parse().unwrap())
    }

    fn refused() -> EngineError {
        let (status, stderr) = ("exit status: 1".to_owned(), "could not create unique index".to_owned());
        PostgresError::ToolFailed { tool: "pg_restore", status, stderr }.into()
    }

    fn vault(source: StoreError) -> EngineError {
        VaultError::Store { site: Site::Offsite, source }.into()
    }

    #[test]
    fn a_backup_that_could_not_be_restored_is_the_part_and_one_that_was_not_reached_is_not() {
        let inconsistent =
            EngineError::Inconsistent { backup_id: BACKUP.parse().unwrap(), what: "the stream has a gap".to_owned() };
        let missing = || vault(StoreError::NotFound { key: "chunks/0001/ab/abcd".to_owned() });
        let (reached, newest) = (chosen(false, true), chosen(true, true));
        assert_eq!(part_of(refused(), Some(&reached)), Some(old()), "its archive is refused");
        assert_eq!(part_of(inconsistent, Some(&reached)), Some(old()));
        assert_eq!(part_of(missing(), Some(&reached)), Some(old()));
        assert_eq!(
            part_of(refused(), Some(&newest)),
            Some(Part::Site(Site::Offsite)),
            "the newest stands for its site"
        );
        let not_reached = chosen(false, false);
        assert_eq!(part_of(refused(), Some(&not_reached)), None, "the scratch server, before the restore");
        assert_eq!(part_of(missing(), Some(&not_reached)), Some(old()), "its manifest");
        assert_eq!(part_of(refused(), None), None);
    }

    #[test]
    fn what_says_nothing_of_the_stored_bytes_is_no_part_of_one_backup() {
        let denied = |key: &str| vault(StoreError::Denied { key: key.to_owned(), source: "no".into() });
        let (reached, site) = (chosen(false, true), Some(Part::Site(Site::Offsite)));
        assert_eq!(part_of(denied("chunks/0001/ab/abcd"), Some(&reached)), site);
        assert_eq!(part_of(VaultError::NoMemory.into(), Some(&reached)), site);
        assert_eq!(part_of(EngineError::OutOfTime { seconds: 700 }, Some(&reached)), site);
        let none = EngineError::NoBackup { database: "clinic".parse().unwrap(), site: Site::Offsite };
        assert_eq!(part_of(none, None), site);
        let gone_away = PostgresError::ServerClosed { step: "loading `public.t`".to_owned(), source: None };
        assert_eq!(part_of(gone_away.into(), Some(&reached)), None, "the scratch server restarted");
        let not_reached = chosen(false, false);
        assert_eq!(
            part_of(denied("state/scratch.json"), Some(&not_reached)),
            None,
            "the record is no part of a backup"
        );
        assert_eq!(part_of(EngineError::OutOfTime { seconds: 700 }, Some(&not_reached)), None);
    }

    #[test]
    fn a_failure_names_the_backup_and_how_it_is_drilled_again_where_only_that_resolves_it() {
        let reached = chosen(false, true);
        let announcement = announced(Err(refused()), Some(&reached), &[]);
        let again = format!("`lifeboat drill --database clinic --backup {BACKUP} --site offsite`");
        let Event::RestoreTestFailed { backup_id: Some(backup_id), hint, .. } = &announcement.event else {
            panic!("{:?}", announcement.event)
        };
        assert!(backup_id.as_str() == BACKUP && hint.ends_with(&again), "{hint}");
        let detail = announcement.facts.into_detail();
        assert_eq!(Fact::BackupId.read::<String>(&detail).as_deref(), Some(BACKUP));
        assert_eq!(Fact::Hint.read::<String>(&detail).as_ref(), Some(hint));
        let newest = chosen(true, true);
        let announcement = announced(Err(refused()), Some(&newest), &[]);
        let RunResult::Bad { hint, .. } = announcement.result else { panic!("it failed") };
        assert!(!hint.contains("lifeboat drill"), "{hint}");
    }

    #[test]
    fn a_good_drill_whose_report_is_lost_says_that_it_does_not_count() {
        let (request, result) = (request(), Ok(report(Vec::new())));
        let chosen = chosen(true, true);
        let ending = DrillEnding {
            request: &request,
            result: &result,
            left: None,
            is_kept: false,
            chosen: Some(&chosen),
            gone: Vec::new(),
        };
        let RunResult::Good { severity, what, hint, .. } = ending.announced().result else { panic!("equal") };
        assert!(severity == Severity::Warning && what.ends_with("it does not count as a proof"), "{what}");
        assert_eq!(hint.as_deref(), Some(UNKEPT));
    }

    #[test]
    fn an_equal_drill_clears_each_part_once_and_that_of_the_newest_backup_everything() {
        let cleared = |is_newest, gone: &[Part]| {
            let chosen = chosen(is_newest, true);
            let announcement = announced(Ok(report(Vec::new())), Some(&chosen), gone);
            let RunResult::Good { cleared: Cleared::Parts(parts), .. } = announcement.result else { panic!("equal") };
            parts
        };
        let gone = Part::Site(Site::Primary);
        assert_eq!(cleared(false, &[]), [old()]);
        assert_eq!(cleared(false, &[old(), gone.clone()]), [old(), gone]);
        assert_eq!(cleared(true, &[]), [Part::Everything, Part::Site(Site::Offsite), old()]);
    }

    #[test]
    fn an_object_of_a_restored_database_is_named_with_the_backup_or_the_site_that_it_came_from() {
        let object = |is_newest| {
            let subject = FindingSubject::Restored("public.visits".to_owned());
            let (kind, detail) = (FindingKind::RowCount, "3 rows in the backup, 2 restored".to_owned());
            let finding = Finding { kind, site: None, subject, detail, healed: false };
            let chosen = chosen(is_newest, true);
            let announcement = announced(Ok(report(vec![finding])), Some(&chosen), &[]);
            let RunResult::Bad { objects, .. } = announcement.result else { panic!("not equal") };
            objects.named.into_iter().next().unwrap()
        };
        assert_eq!(object(false), format!("public.visits in {BACKUP} on offsite"));
        assert_eq!(object(true), "public.visits on offsite");
    }
}
