//! How the end of a restore is announced. It is on record whatever came of it: rows of patients were copied.

use lifeboat_model::{
    Act, AlertKind, Cleared, DamagedObjects, Event, Fact, Facts, PlannedRestore, RestoreOutcome, RestorePlan,
    RestoreReport, SetAside, Severity,
};
use lifeboat_notify::{MetricsLine, Unit};

use crate::announcement::{Announcement, Ending, RunResult, about, failure_facts};
use crate::error::EngineError;
use crate::run::Run;

const ROWS_MISSING: &str = "read what the report says of each table, correct the cause, and restore again into another database; the \
                            backup is unchanged";

/// The end of a restore that brought all rows back, lacks some, or could not come to an end.
pub(crate) struct RestoreEnding<'a> {
    pub(crate) planned: &'a PlannedRestore,
    /// What another site gave than the preferred one.
    pub(crate) detours: Option<String>,
    pub(crate) result: &'a Result<RestoreReport, EngineError>,
}

impl Ending for RestoreEnding<'_> {
    fn announcement(&self, _: &Run) -> Announcement {
        match self.result {
            Ok(report) if report.proved.outcome != Some(RestoreOutcome::Failed) => self.completed(report),
            Ok(report) => self.rows_missing(report),
            Err(error) => self.broken(error),
        }
    }
}

impl RestoreEnding<'_> {
    fn completed(&self, report: &RestoreReport) -> Announcement {
        let RestoreReport { to, proved, .. } = report;
        let (backup_id, site) = (&proved.backup_id, proved.site);
        let aside = proved.set_aside.len();
        let (end, hint) = match proved.outcome {
            Some(RestoreOutcome::Whole) if proved.equal => ("everything is back".to_owned(), None),
            _ => (
                format!(
                    "all rows are back, {aside} object(s) were set aside, {} check(s) differ",
                    proved.findings.len()
                ),
                proved.set_aside.first().map(remedy),
            ),
        };
        let also = proved.left_out_in_words().into_iter().chain(self.detours.clone());
        let also: String = also.map(|words| format!("; {words}")).collect();
        Announcement {
            act: Act::Restore,
            database: Some(proved.database.clone()),
            subject: backup_id.to_string(),
            facts: facts(report),
            event: Event::RestoreCompleted {
                database: proved.database.clone(),
                backup_id: backup_id.clone(),
                site,
                target: to.to_string(),
                restore_outcome: proved.outcome,
                set_aside: aside as u64,
                tables: proved.tables.len() as u64,
                rows: proved.rows,
                left_out: proved.left_out.len() as u64,
                seconds: proved.seconds.clone(),
            },
            result: RunResult::Good {
                notice: AlertKind::RestoreCompleted,
                severity: Severity::Warning,
                what: format!("backup {backup_id} was restored from {site} into {to}: {end}{also}"),
                hint,
                clears: vec![AlertKind::RestoreFailed],
                cleared: Cleared::All,
            },
            metrics: MetricsLine::new(proved.database.as_str())
                .with("restore_completed", Unit::Count, 1.0)
                .with("restore_seconds", Unit::Seconds, proved.seconds.total())
                .with("restore_rows", Unit::Count, proved.rows as f64),
            about: about(Some(&proved.database)),
        }
    }

    fn rows_missing(&self, report: &RestoreReport) -> Announcement {
        let proved = &report.proved;
        let first = proved.findings.first().map(ToString::to_string).unwrap_or_default();
        let error = format!(
            "rows are missing or differ in {}: {} check(s) failed, first {first}",
            report.to,
            proved.findings.len()
        );
        let outcome = proved.outcome.map(|outcome| (outcome, proved.set_aside.len() as u64));
        self.failure(facts(report), error, ROWS_MISSING.to_owned(), outcome)
    }

    fn broken(&self, error: &EngineError) -> Announcement {
        let to = &self.planned.plan.to;
        let hint =
            format!("{}; then start the same restore again: it goes on in `{to}` where it stopped", error.hint());
        let facts =
            failure_facts(error).with(Fact::BackupId, &self.planned.plan.backup_id).with(Fact::Site, self.planned.site);
        self.failure(facts.with(Fact::Target, &self.planned.plan.to), error.story(), hint, None)
    }

    fn failure(
        &self,
        facts: Facts,
        error: String,
        hint: String,
        outcome: Option<(RestoreOutcome, u64)>,
    ) -> Announcement {
        let RestorePlan { database, backup_id, to, .. } = &self.planned.plan;
        Announcement {
            act: Act::Restore,
            database: Some(database.clone()),
            subject: backup_id.to_string(),
            facts,
            event: Event::RestoreFailed {
                database: database.clone(),
                backup_id: backup_id.clone(),
                target: to.to_string(),
                restore_outcome: outcome.map(|(outcome, _)| outcome),
                set_aside: outcome.map(|(_, set_aside)| set_aside),
                error: error.clone(),
                hint: hint.clone(),
            },
            result: RunResult::Bad {
                kind: AlertKind::RestoreFailed,
                part: None,
                objects: DamagedObjects::default(),
                error,
                hint,
            },
            metrics: MetricsLine::new(database.as_str()).with("restore_failed", Unit::Count, 1.0),
            about: about(Some(database)),
        }
    }
}

fn remedy(first: &SetAside) -> String {
    let SetAside { kind, object, what_to_do, .. } = first;
    format!("for {kind} `{object}`: {what_to_do}; the report has all of them")
}

fn facts(report: &RestoreReport) -> Facts {
    let RestoreReport { plan, to, proved, .. } = report;
    Facts::new()
        .with(Fact::BackupId, &proved.backup_id)
        .with(Fact::Site, proved.site)
        .with(Fact::Target, to)
        .with(Fact::Plan, plan)
        .with(Fact::Tables, proved.tables.len())
        .with(Fact::Rows, proved.rows)
        .with(Fact::Findings, proved.findings.len())
        .with_some(Fact::RestoreOutcome, proved.outcome)
        .with(Fact::SetAside, proved.set_aside.len())
        .with(Fact::LeftOut, proved.left_out.len())
        .with_seconds(proved.seconds.total())
}
