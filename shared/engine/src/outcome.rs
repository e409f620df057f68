//! How a verb's end is told: incidents, ledger, bus, subscribers, metrics, one log line. Only after what it speaks of is durable.

mod backup;
mod drill;
mod not_begun;
mod verification;

use jiff::Timestamp;
use lifeboat_model::{
    Alert, AlertKind, AlertState, Cleared, DatabaseName, Event, IncidentName, LedgerAct, Outcome, Severity, Sighting,
};
use lifeboat_notify::MetricsLine;

use crate::error::EngineError;
use crate::incidents::{self, Change, UNNAMED, WHOLE};
use crate::ledger::put_on_record;
use crate::lifeboat::Lifeboat;

pub(crate) use backup::of_backup;
pub(crate) use drill::of_drill;
pub(crate) use not_begun::of_not_begun;
pub(crate) use verification::of_verification;

/// Stands where a database's name would, and is none.
const NO_DATABASE: &str = "-";

/// The detail of a verification's entry that says what was read.
pub(crate) const SCOPE_FACT: &str = "scope";

/// Everything that is said about one end of one verb.
struct Telling {
    action: &'static str,
    database: Option<DatabaseName>,
    /// Whether there is such a database.
    is_known: bool,
    subject: String,
    facts: Vec<(&'static str, String)>,
    event: Event,
    metrics: MetricsLine,
    end: End,
}

/// How it ended.
enum End {
    /// As intended.
    Well {
        notice: AlertKind,
        severity: Severity,
        /// What happened.
        what: String,
        /// What is to be done all the same.
        hint: Option<String>,
        /// What is not wrong, then, and which part of it was looked at.
        clears: Vec<AlertKind>,
        cleared: Cleared,
    },
    /// Not as intended, and which part is wrong, where only a part was looked at.
    Badly { kind: AlertKind, part: Option<String>, error: String, hint: String },
}

impl Telling {
    /// Each way out is tried whatever became of the others.
    ///
    /// # Errors
    /// [`EngineError::Unannounced`] when the event or the alert did not leave: the invocation must be repeated. A ledger
    /// that cannot be written is told like any other trouble, so that a drill from the off-site still counts with the primary gone.
    async fn tell(self, lifeboat: &Lifeboat) -> Result<(), EngineError> {
        self.metrics.emit();
        self.log();
        let changes = self.note(lifeboat).await;
        let recording = Box::pin(put_on_record(lifeboat, self.act(lifeboat, &changes)));
        let telling = async {
            let (published, alerted) =
                tokio::join!(lifeboat.outbox.publish(&self.event), self.alert(lifeboat, &changes));
            published.or_else(|error| lifeboat.untold(error)).and(alerted)
        };
        let (recorded, told) = match self.end {
            // What an event starts is on record after what it follows from.
            End::Well { .. } => (recording.await, telling.await),
            // A store that hangs, which may be what is wrong, must not take the time in which people can be told.
            End::Badly { .. } => tokio::join!(recording, telling),
        };
        told.and(self.recorded(lifeboat, recorded).await)
    }

    /// Opens, updates or resolves the incidents that this end is about.
    async fn note(&self, lifeboat: &Lifeboat) -> Vec<Change> {
        let (clears, cleared) = match &self.end {
            End::Badly { kind, .. } => {
                return vec![incidents::seen(lifeboat, &self.incident(*kind), &self.sighting()).await];
            }
            End::Well { clears, cleared, .. } => (clears, cleared),
        };
        let mut changes = Vec::new();
        for kind in clears {
            changes.extend(incidents::cleared(lifeboat, &self.incident(*kind), cleared).await);
            // That of orders which named no database, or none that there is: this one was understood.
            let unnamed = IncidentName::new(*kind, UNNAMED);
            changes.extend(incidents::cleared(lifeboat, &unnamed, &Cleared::All).await);
        }
        changes
    }

    /// What is done and not on record is an incident of its own, unless something is told as wrong already.
    async fn recorded(&self, lifeboat: &Lifeboat, recorded: Result<(), EngineError>) -> Result<(), EngineError> {
        let name = IncidentName::new(AlertKind::LedgerBroken, WHOLE);
        let change = match recorded {
            Ok(()) => incidents::cleared(lifeboat, &name, &Cleared::All).await,
            Err(error) => {
                let (story, hint) = (error.story(), error.hint());
                let (action, database) = (self.action, self.database_name());
                tracing::error!(action, database, error = story, hint, "the ledger has no entry of this");
                if matches!(self.end, End::Badly { .. }) {
                    return Ok(());
                }
                let what = format!("a {action} of {} is not on record: {story}", self.subject);
                let sighting = Sighting { what, hint, database: None, part: None, facts: self.owned_facts() };
                Some(incidents::seen(lifeboat, &name, &sighting).await)
            }
        };
        incidents::send(lifeboat, change.as_slice()).await
    }

    async fn alert(&self, lifeboat: &Lifeboat, changes: &[Change]) -> Result<(), EngineError> {
        let noticed = match self.notice(lifeboat) {
            Some(notice) => lifeboat.outbox.alert(&notice).await.or_else(|error| lifeboat.untold(error)),
            None => Ok(()),
        };
        noticed.and(incidents::send(lifeboat, changes).await)
    }

    fn notice(&self, lifeboat: &Lifeboat) -> Option<Alert> {
        let End::Well { notice, severity, what, hint, .. } = &self.end else { return None };
        let is_wanted = lifeboat.policy.alerts.notices || *severity > Severity::Info;
        is_wanted.then(|| Alert {
            kind: *notice,
            severity: *severity,
            state: AlertState::Notice,
            channels: lifeboat.policy.rule(*notice).channels,
            database: self.database.clone(),
            incident: None,
            since: Timestamp::now(),
            what: what.clone(),
            hint: hint.clone(),
            facts: self.owned_facts(),
        })
    }

    fn sighting(&self) -> Sighting {
        let (what, hint, part) = match &self.end {
            End::Badly { error, hint, part, .. } => (error.clone(), hint.clone(), part.clone()),
            End::Well { what, .. } => (what.clone(), String::new(), None),
        };
        Sighting { what, hint, database: self.database.clone(), part, facts: self.owned_facts() }
    }

    /// Without what the sentences say already.
    fn owned_facts(&self) -> Vec<(String, String)> {
        let facts = self.facts.iter().filter(|(name, _)| !matches!(*name, "error" | "hint"));
        facts.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn incident(&self, kind: AlertKind) -> IncidentName {
        let known = self.database.as_ref().filter(|_| self.is_known);
        IncidentName::new(kind, known.map_or(UNNAMED, DatabaseName::as_str))
    }

    fn database_name(&self) -> &str {
        name_of(self.database.as_ref())
    }

    fn outcome(&self) -> Outcome {
        match self.end {
            End::Well { .. } => Outcome::Completed,
            End::Badly { .. } => Outcome::Failed,
        }
    }

    fn act(&self, lifeboat: &Lifeboat, changes: &[Change]) -> LedgerAct {
        // By the run's id CloudTrail knows who called a function, which the function is not told.
        let mut facts = self.facts.clone();
        facts.push(("run_id", lifeboat.run_id.clone()));
        facts.extend(lifeboat.tally.take().facts());
        facts.extend(self.database.iter().map(|database| ("database", database.to_string())));
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        facts.extend((!changes.is_empty()).then(|| ("incident", changes.join(", "))));
        LedgerAct {
            mandate: lifeboat.mandate.clone(),
            action: self.action.to_owned(),
            subject: self.subject.clone(),
            outcome: self.outcome(),
            detail: facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }

    fn log(&self) {
        let Self { action, subject, .. } = self;
        let database = self.database_name();
        let facts: Vec<String> = self.facts.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let facts = facts.join(" ");
        match self.outcome() {
            Outcome::Completed => tracing::info!(action, database, subject, outcome = "completed", facts),
            Outcome::Failed => tracing::error!(action, database, subject, outcome = "failed", facts),
        }
    }
}

/// For logs, the ledger and metrics, where something must stand.
fn name_of(database: Option<&DatabaseName>) -> &str {
    database.map_or(NO_DATABASE, DatabaseName::as_str)
}

fn failure_facts(error: &EngineError) -> Vec<(&'static str, String)> {
    vec![("error", error.story()), ("hint", error.hint())]
}
