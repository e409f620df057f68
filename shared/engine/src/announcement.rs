//! How the end of a run is announced: incidents, ledger, event bus, subscribers, metrics and one log line. Each follows only after the
//! facts that it states are durable.

use jiff::Timestamp;
use lifeboat_model::{
    Act, Alert, AlertKind, AlertState, Cleared, DamagedObjects, DatabaseName, Event, Fact, Facts, IncidentName,
    IncidentSubject, LedgerAct, Outcome, Part, Severity, Sighting,
};
use lifeboat_notify::MetricsLine;

use crate::error::EngineError;
use crate::incidents::{self, Change};
use crate::run::Run;

/// The name in log lines and metrics of a run without a database.
const NO_DATABASE: &str = "-";

/// The end of a verb's run. Each verb implements it in its own folder.
pub(crate) trait Ending {
    /// Everything to announce about it.
    fn announcement(&self, run: &Run) -> Announcement;
}

/// Everything to announce about the end of a run.
pub(crate) struct Announcement {
    pub(crate) act: Act,
    pub(crate) database: Option<DatabaseName>,
    /// The subject of the run: a backup's id, or a database.
    pub(crate) subject: String,
    pub(crate) facts: Facts,
    pub(crate) event: Event,
    pub(crate) metrics: MetricsLine,
    pub(crate) result: RunResult,
    /// The subject of the incident that a failure opens.
    pub(crate) about: IncidentSubject,
}

/// How a run ended.
pub(crate) enum RunResult {
    /// It succeeded.
    Good {
        notice: AlertKind,
        severity: Severity,
        /// What happened.
        what: String,
        /// What an operator should do although it succeeded.
        hint: Option<String>,
        /// The incidents that this resolves.
        clears: Vec<AlertKind>,
        cleared: Cleared,
    },
    /// It failed. `part` is the part that was checked, if it was not everything. `objects` are damaged, where it looked at any.
    Bad { kind: AlertKind, part: Option<Part>, objects: DamagedObjects, error: String, hint: String },
}

/// Announces the end of a run.
///
/// # Errors
/// [`EngineError::Unannounced`] when the event or the alert could not be sent: the invocation must be repeated. A ledger that cannot be
/// written is no error here but an incident, so that a drill from the off-site still counts while the primary is unavailable.
pub(crate) async fn announce(run: &Run, ending: &impl Ending) -> Result<(), EngineError> {
    ending.announcement(run).announce(run).await
}

impl Announcement {
    /// Tries incidents, ledger, event and alerts each, also after another one failed.
    pub(crate) async fn announce(self, run: &Run) -> Result<(), EngineError> {
        self.metrics.emit();
        self.log();
        let changes = self.change_incidents(run).await;
        let recording = Box::pin(run.record(self.ledger_act(run, &changes)));
        let notifying = async {
            let (published, alerted) =
                tokio::join!(run.ports.outbox.publish(&self.event), self.send_alerts(run, &changes));
            published.or_else(|error| run.not_notified(error)).and(alerted)
        };
        let (recorded, notified) = match self.result {
            // The event may start another run, whose entry must follow this one's.
            RunResult::Good { .. } => (recording.await, notifying.await),
            // The store may hang. It must not use up the time in which people can be notified.
            RunResult::Bad { .. } => tokio::join!(recording, notifying),
        };
        notified.and(self.check_recorded(run, recorded).await)
    }

    /// Opens, updates or resolves the incidents of this run.
    async fn change_incidents(&self, run: &Run) -> Vec<Change> {
        let (clears, cleared) = match &self.result {
            RunResult::Bad { kind, .. } => {
                return vec![incidents::report(run, &self.incident(*kind), &self.sighting()).await];
            }
            RunResult::Good { clears, cleared, .. } => (clears, cleared),
        };
        let mut changes = Vec::new();
        for kind in clears {
            changes.extend(incidents::clear(run, &self.incident(*kind), cleared).await);
            // A request without a usable database name opened this incident. The next request that is understood resolves it.
            let unnamed = IncidentName::new(*kind, IncidentSubject::Unnamed);
            changes.extend(incidents::clear(run, &unnamed, &Cleared::All).await);
        }
        changes
    }

    /// Opens an incident for a run that could not be recorded in the ledger, unless the run is already reported as failed.
    async fn check_recorded(&self, run: &Run, recorded: Result<(), EngineError>) -> Result<(), EngineError> {
        let name = IncidentName::new(AlertKind::LedgerBroken, IncidentSubject::Repository);
        let change = match recorded {
            Ok(()) => incidents::clear(run, &name, &Cleared::All).await,
            Err(error) => {
                let (story, hint) = (error.story(), error.hint());
                let (action, database) = (self.act.as_str(), name_of(self.database.as_ref()));
                tracing::error!(action, database, error = story, hint, "this run could not be recorded in the ledger");
                // A terminal without any key of the trail cannot write it, and no later run at that terminal could.
                if matches!(self.result, RunResult::Bad { .. }) || run.ports.macs.is_empty() {
                    return Ok(());
                }
                let what = format!(
                    "the {} of {} could not be recorded in the ledger: {story}",
                    self.act.profile().noun,
                    self.subject
                );
                let (objects, facts) = (DamagedObjects::default(), self.alert_facts());
                let sighting = Sighting { what, hint, database: None, part: None, objects, facts };
                Some(incidents::report(run, &name, &sighting).await)
            }
        };
        incidents::send(run, change.as_slice()).await
    }

    async fn send_alerts(&self, run: &Run, changes: &[Change]) -> Result<(), EngineError> {
        let notified = match self.notice(run) {
            Some(notice) => run.ports.outbox.alert(&notice).await.or_else(|error| run.not_notified(error)),
            None => Ok(()),
        };
        notified.and(incidents::send(run, changes).await)
    }

    fn notice(&self, run: &Run) -> Option<Alert> {
        let RunResult::Good { notice, severity, what, hint, .. } = &self.result else { return None };
        let is_wanted = run.policy.alerts.notices || *severity > Severity::Info;
        is_wanted.then(|| Alert {
            kind: *notice,
            severity: *severity,
            state: AlertState::Notice,
            channels: run.policy.rule(*notice).channels,
            database: self.database.clone(),
            incident: None,
            since: Timestamp::now(),
            what: what.clone(),
            hint: hint.clone(),
            facts: self.alert_facts(),
        })
    }

    fn sighting(&self) -> Sighting {
        let (what, hint, part, objects) = match &self.result {
            RunResult::Bad { error, hint, part, objects, .. } => {
                (error.clone(), hint.clone(), part.clone(), objects.clone())
            }
            RunResult::Good { what, .. } => (what.clone(), String::new(), None, DamagedObjects::default()),
        };
        Sighting { what, hint, database: self.database.clone(), part, objects, facts: self.alert_facts() }
    }

    /// The facts that the sentences of an alert do not state already.
    fn alert_facts(&self) -> Vec<(String, String)> {
        let facts = self.facts.iter().filter(|(fact, _)| !matches!(fact, Fact::Error | Fact::Hint));
        facts.map(|(fact, value)| (fact.to_string(), value.to_owned())).collect()
    }

    fn incident(&self, kind: AlertKind) -> IncidentName {
        IncidentName::new(kind, self.about.clone())
    }

    fn outcome(&self) -> Outcome {
        match self.result {
            RunResult::Good { .. } => Outcome::Completed,
            RunResult::Bad { .. } => Outcome::Failed,
        }
    }

    fn ledger_act(&self, run: &Run, changes: &[Change]) -> LedgerAct {
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let changes = (!changes.is_empty()).then(|| changes.join(", "));
        let facts = self.facts.clone().with_some(Fact::Database, self.database.as_ref());
        run.act_of(self.act, &self.subject, self.outcome(), facts.with_some(Fact::Incident, changes))
    }

    fn log(&self) {
        let (action, subject) = (self.act.as_str(), self.subject.as_str());
        let database = name_of(self.database.as_ref());
        let facts: Vec<String> = self.facts.iter().map(|(fact, value)| format!("{fact}={value}")).collect();
        let facts = facts.join(" ");
        match self.outcome() {
            Outcome::Completed => tracing::info!(action, database, subject, outcome = "completed", facts),
            Outcome::Failed => tracing::error!(action, database, subject, outcome = "failed", facts),
        }
    }
}

/// The database's name for log lines, subjects and metrics, which always need one.
pub(crate) fn name_of(database: Option<&DatabaseName>) -> &str {
    database.map_or(NO_DATABASE, DatabaseName::as_str)
}

/// The incident subject of a database, or of a run without one.
pub(crate) fn about(database: Option<&DatabaseName>) -> IncidentSubject {
    database.map_or(IncidentSubject::Unnamed, IncidentSubject::from)
}

/// The facts of a run that failed.
pub(crate) fn failure_facts(error: &EngineError) -> Facts {
    Facts::new().with(Fact::Error, error.story()).with(Fact::Hint, error.hint())
}
