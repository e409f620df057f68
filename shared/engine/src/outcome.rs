//! How a verb's end is told: ledger, bus, subscribers, metrics, one log line. Only after what it speaks of is durable.

mod backup;
mod drill;
mod not_begun;
mod verification;

use jiff::Timestamp;
use lifeboat_model::{Alert, AlertKind, DatabaseName, Event, LedgerAct, Outcome, Severity};
use lifeboat_signals::MetricsLine;

use crate::error::EngineError;
use crate::lifeboat::Lifeboat;

pub(crate) use backup::of_backup;
pub(crate) use drill::of_drill;
pub(crate) use not_begun::of_not_begun;
pub(crate) use verification::of_verification;

/// What a subscriber reads about damage that is no more.
const HEALED: &str = "replaced by the sound copy of the other site; every backup is whole again";
const LOOK: &str =
    "read what was damaged under findings/ in the bucket, and who wrote to it in the bucket's access log";

/// Stands where a database's name would, and is none.
const NO_DATABASE: &str = "-";

/// Everything that is said about one end of one verb.
struct Telling {
    action: &'static str,
    database: Option<DatabaseName>,
    subject: String,
    outcome: Outcome,
    facts: Vec<(&'static str, String)>,
    event: Event,
    severity: Severity,
    kind: AlertKind,
    metrics: MetricsLine,
}

impl Telling {
    /// Each way out is tried whatever became of the others.
    ///
    /// # Errors
    /// [`EngineError::Unannounced`] when the event or the alert did not leave: the invocation must be repeated. A ledger
    /// that cannot be written is logged as an error, so that a drill from the off-site still counts with the primary gone.
    async fn tell(self, lifeboat: &Lifeboat) -> Result<(), EngineError> {
        self.metrics.emit();
        self.log();
        // A store that hangs must not take the time in which people can still be told.
        let recorded = lifeboat.deadline.bound(Box::pin(record(lifeboat, self.act(lifeboat)))).await;
        if let Err(error) = recorded {
            let (error, hint) = (error.story(), error.hint());
            let (action, database) = (self.action, self.database_name());
            tracing::error!(action, database, error, hint, "the ledger has no entry of this");
        }
        let alert = self.alert();
        let (published, alerted) = tokio::join!(lifeboat.outbox.publish(&self.event), lifeboat.outbox.alert(&alert));
        published.and(alerted).map_err(EngineError::Unannounced)
    }

    fn database_name(&self) -> &str {
        name_of(self.database.as_ref())
    }

    fn act(&self, lifeboat: &Lifeboat) -> LedgerAct {
        // By the run's id CloudTrail knows who called a function, which the function is not told.
        let facts = self.facts.iter().cloned().chain([("run_id", lifeboat.run_id.clone())]);
        LedgerAct {
            mandate: lifeboat.mandate.clone(),
            action: self.action.to_owned(),
            subject: self.subject.clone(),
            outcome: self.outcome,
            detail: facts.map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }

    fn alert(&self) -> Alert {
        let about = self.database.as_ref().map(|database| format!(": {database}")).unwrap_or_default();
        Alert {
            severity: self.severity,
            kind: self.kind,
            database: self.database.clone(),
            subject: format!("[{}] {}{about}", self.severity.as_str(), self.event.detail_type()),
            text: self.alert_text(),
        }
    }

    fn alert_text(&self) -> String {
        let mut text = match &self.database {
            Some(database) => format!("{} for database {database}.\n", self.event.detail_type()),
            None => format!("{}; no database was named.\n", self.event.detail_type()),
        };
        if let Event::BackupFailed { error, hint, .. }
        | Event::VerificationFailed { error, hint, .. }
        | Event::RestoreTestFailed { error, hint, .. } = &self.event
        {
            text.push_str(&format!("\nWhat happened: {error}.\nWhat to do: {hint}.\n"));
        }
        if let Event::VerificationCompleted { healed, .. } = &self.event
            && *healed > 0
        {
            text.push_str(&format!(
                "\nWhat happened: {healed} damaged object(s) were {HEALED}.\nWhat to do: {LOOK}.\n"
            ));
        }
        text.push('\n');
        for (name, value) in self.facts.iter().filter(|(name, _)| !matches!(*name, "error" | "hint")) {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text
    }

    fn log(&self) {
        let Self { action, subject, .. } = self;
        let database = self.database_name();
        let facts: Vec<String> = self.facts.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let facts = facts.join(" ");
        match self.outcome {
            Outcome::Completed => tracing::info!(action, database, subject, outcome = "completed", facts),
            Outcome::Failed => tracing::error!(action, database, subject, outcome = "failed", facts),
        }
    }
}

/// For logs, the ledger and metrics, where something must stand.
fn name_of(database: Option<&DatabaseName>) -> &str {
    database.map_or(NO_DATABASE, DatabaseName::as_str)
}

async fn record(lifeboat: &Lifeboat, act: LedgerAct) -> Result<(), EngineError> {
    let repository = lifeboat.repository().await?;
    repository.ledger(&lifeboat.macs).append(act, Timestamp::now()).await?;
    Ok(())
}

fn failure_facts(error: &EngineError) -> Vec<(&'static str, String)> {
    vec![("error", error.story()), ("hint", error.hint())]
}
