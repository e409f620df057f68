//! Incidents: each problem is reported once. Everything that opens, updates or resolves an incident goes through here.

use std::fmt;

use futures_util::future::join_all;
use jiff::Timestamp;
use lifeboat_model::{
    Acknowledgement, Act, Alert, AlertState, Cleared, Fact, Facts, Incident, IncidentName, IncidentState, Mandate,
    Outcome, Sighting,
};
use lifeboat_vault::{Incidents, VaultError};

use crate::error::EngineError;
use crate::run::Run;

/// A change of an incident, and the alert to send about it.
pub(crate) struct Change {
    pub(crate) name: IncidentName,
    pub(crate) transition: Transition,
    alert: Option<Alert>,
}

/// The kind of a change. The ledger records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transition {
    /// It was seen, but not yet as many times in a row as the policy requires.
    Watched,
    /// It was opened.
    Opened,
    /// It is still open, or it came back before anybody was notified that it was resolved.
    SeenAgain,
    /// A part of it is resolved.
    ClearedInPart,
    /// It is resolved.
    Resolved,
    /// It was watched, but never opened, and is gone.
    Passed,
    /// No site can store it. It is reported nevertheless.
    Unstored,
}

impl Transition {
    fn of_seen(before: Option<&Incident>, after: &Incident) -> Self {
        match before {
            _ if !after.is_open() => Self::Watched,
            // It became worse than what was acknowledged.
            Some(before) if before.acknowledged.is_some() && after.acknowledged.is_none() => Self::Opened,
            Some(before) if before.is_open() || before.since == after.since && before.resolved_at.is_some() => {
                Self::SeenAgain
            }
            _ => Self::Opened,
        }
    }

    fn of_cleared(before: Option<&Incident>, after: &Incident) -> Self {
        match (after.state, before) {
            (IncidentState::Resolved, Some(before)) if !before.is_open() => Self::Passed,
            (IncidentState::Resolved, _) => Self::Resolved,
            _ => Self::ClearedInPart,
        }
    }

    /// Whether the incident was opened or resolved.
    pub(crate) fn is_news(self) -> bool {
        matches!(self, Self::Opened | Self::Resolved)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.transition {
            Transition::Watched => "watched",
            Transition::Opened => "opened",
            Transition::SeenAgain => "seen again",
            Transition::ClearedInPart => "cleared in part",
            Transition::Resolved => "resolved",
            Transition::Passed => "passed",
            Transition::Unstored => "not stored",
        };
        write!(f, "{word} {}", self.name)
    }
}

/// Reports a problem: opens the incident, or updates it without an alert. When no site can store it, it is unknown whether it was reported
/// before. Two reports are better than none.
pub(crate) async fn report(run: &Run, name: &IncidentName, sighting: &Sighting) -> Change {
    let now = Timestamp::now();
    let next = |before: Option<&Incident>| Some(Incident::seen(before, name, sighting.clone(), &run.policy, now));
    let (transition, alert) = match change(run, name, next, now).await {
        Ok(Some(Changed { before, after, alert })) => (Transition::of_seen(before.as_ref(), &after), alert),
        Ok(None) => (Transition::SeenAgain, None),
        Err(error) => {
            tracing::error!(incident = %name, error = error.story(), "the incident cannot be stored");
            match error {
                // Other runs keep storing it, and one of them reports it.
                EngineError::Vault(VaultError::Contended { .. }) => (Transition::SeenAgain, None),
                _ => (Transition::Unstored, Some(unstored(run, name, sighting, now))),
            }
        }
    };
    Change { name: name.clone(), transition, alert }
}

/// Clears the parts that were checked and are fine. Resolves the incident when no part of it is left. When the change cannot be stored, the
/// next check clears it.
pub(crate) async fn clear(run: &Run, name: &IncidentName, cleared: &Cleared) -> Option<Change> {
    let now = Timestamp::now();
    let next = |before: Option<&Incident>| before?.cleared(cleared, &run.policy, now);
    match change(run, name, next, now).await {
        Ok(changed) => changed.map(|Changed { before, after, alert }| {
            let transition = Transition::of_cleared(before.as_ref(), &after);
            Change { name: name.clone(), transition, alert }
        }),
        Err(error) => {
            tracing::error!(incident = %name, error = error.story(), "the incident could not be cleared");
            None
        }
    }
}

/// Sends the alerts that this run has claimed, all at the same time. Then it stores that each was sent.
///
/// # Errors
/// [`EngineError::Unannounced`] when an alert could not be sent. It stays pending.
pub(crate) async fn send(run: &Run, changes: &[Change]) -> Result<(), EngineError> {
    let sent = join_all(changes.iter().map(|change| send_one(run, change))).await;
    sent.into_iter().collect()
}

async fn send_one(run: &Run, Change { name, transition, alert }: &Change) -> Result<(), EngineError> {
    let Some(alert) = alert else { return Ok(()) };
    if let Err(error) = run.ports.outbox.alert(alert).await {
        return run.not_notified(error);
    }
    if *transition == Transition::Unstored {
        return Ok(());
    }
    let sent = |before: Option<&Incident>| before?.delivered(alert.state, Timestamp::now());
    if let Err(error) = store(run).change(name, sent).await {
        let error = EngineError::from(error).story();
        tracing::error!(incident = %name, error, "an alert was sent, but could not be marked as sent");
    }
    Ok(())
}

/// Sends every pending alert: those that waited for business hours, those whose sender died, reminders, and those of incidents whose
/// acknowledgement has expired. Returns how many. Neither an alert that cannot be sent nor an incident that cannot be read holds up the others.
///
/// # Errors
/// Why the incidents, or one of them, cannot be read, or why the last failed alert could not be sent.
pub(crate) async fn send_owed(run: &Run) -> Result<usize, EngineError> {
    let (incidents, unreadable) = store(run).list().await?;
    let (mut sent, mut failure) = (0, unreadable.into_iter().next().map(EngineError::from));
    for incident in incidents {
        let now = Timestamp::now();
        let next = |before: Option<&Incident>| {
            let before = before?;
            let changed = before.expired(&run.policy, now).or_else(|| before.reminded(&run.policy, now));
            let due = changed.as_ref().unwrap_or(before);
            let (claimed, _) = due.claimed(&run.policy, &run.id, now)?;
            Some(claimed)
        };
        // Most incidents have no pending alert, as the copy that was just read shows.
        if !run.ports.outbox.reaches_people() || next(Some(&incident)).is_none() {
            continue;
        }
        let name = incident.name;
        let left = match change(run, &name, next, now).await {
            Ok(Some(Changed { alert: Some(alert), .. })) => {
                send_one(run, &Change { name, transition: Transition::SeenAgain, alert: Some(alert) }).await.map(|()| 1)
            }
            Ok(_) => Ok(0),
            Err(error) => Err(error),
        };
        match left {
            Ok(count) => sent += count,
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(sent), Err)
}

/// Every incident that can be read, including resolved ones: the latest of each name. The log names the others.
///
/// # Errors
/// Why they cannot be read.
pub async fn incidents(run: &Run) -> Result<Vec<Incident>, EngineError> {
    let (incidents, unreadable) = store(run).list().await?;
    for error in unreadable.into_iter().map(EngineError::from) {
        tracing::error!(error = error.story(), hint = error.hint(), "an incident cannot be read and is left out");
    }
    Ok(incidents)
}

/// The latest incident of a name.
///
/// # Errors
/// Why it cannot be read.
pub(crate) async fn incident(run: &Run, name: &IncidentName) -> Result<Option<Incident>, EngineError> {
    Ok(store(run).get(name).await?)
}

/// Acknowledges an incident for the person who asks, and records it in the ledger. No reminders are sent until it is resolved. With
/// `objects`, only these are accepted, by the names that findings have: they stay accepted, and the incident is open while another is damaged.
///
/// # Errors
/// [`EngineError::NoIncident`] when no open incident has this name; [`EngineError::NotAccepted`]; why it cannot be stored or recorded.
pub async fn acknowledge(run: &Run, name: &IncidentName, objects: &[String]) -> Result<Incident, EngineError> {
    let Mandate { actor, reason } = &run.mandate;
    let taken_up = |before: Option<&Incident>| {
        let (by, reason) = (actor.clone(), reason.clone());
        let acknowledgement = Acknowledgement { by, at: Timestamp::now(), reason };
        match (before, objects) {
            (None, _) => Ok(None),
            (Some(before), []) => Ok(before.acknowledged_by(acknowledgement)),
            (Some(before), objects) => before.accepted_by(acknowledgement, objects),
        }
    };
    let Some((_, incident)) = store(run).change(name, |before| taken_up(before).ok().flatten()).await? else {
        let found = incident(run, name).await?;
        let name = name.clone();
        return Err(match taken_up(found.as_ref()) {
            Err((object, refusal)) => EngineError::NotAccepted { name, object, refusal },
            Ok(_) => EngineError::NoIncident { name },
        });
    };
    // In the names of objects there are spaces and commas.
    let named = (!objects.is_empty()).then(|| serde_json::json!(objects));
    let facts = Facts::new().with_some(Fact::Accepted, named);
    run.record(run.act_of(Act::Acknowledge, name.to_string(), Outcome::Completed, facts)).await?;
    Ok(incident)
}

/// An alert about a problem that could not be stored as an incident.
fn unstored(run: &Run, name: &IncidentName, sighting: &Sighting, now: Timestamp) -> Alert {
    let rule = run.policy.rule(name.kind);
    let Sighting { what, hint, database, facts, .. } = sighting.clone();
    let note = ("note".to_owned(), "no site could store this incident, so it may be reported again".to_owned());
    Alert {
        kind: name.kind,
        severity: rule.severity,
        state: AlertState::Opened,
        channels: rule.channels,
        database,
        incident: Some(name.clone()),
        since: now,
        what,
        hint: Some(hint),
        facts: facts.into_iter().chain([note]).collect(),
    }
}

/// An incident before and after a change, and the alert that is due.
struct Changed {
    before: Option<Incident>,
    after: Incident,
    alert: Option<Alert>,
}

/// Changes the incident to `next`, and claims the alert that is due in the same change.
async fn change(
    run: &Run,
    name: &IncidentName,
    next: impl Fn(Option<&Incident>) -> Option<Incident>,
    now: Timestamp,
) -> Result<Option<Changed>, EngineError> {
    let run_id = run.id.as_str();
    // A process that cannot notify people must not claim an alert: nobody would send it.
    let claimed = |incident: &Incident| {
        if run.ports.outbox.reaches_people() { incident.claimed(&run.policy, run_id, now) } else { None }
    };
    let claiming = |before: Option<&Incident>| {
        let next = next(before)?;
        Some(claimed(&next).map_or(next, |(claimed, _)| claimed))
    };
    let changed = store(run).change(name, claiming).await?;
    Ok(changed.map(|(before, after)| {
        let alert = claimed(&after).map(|(_, alert)| alert);
        Changed { before, after, alert }
    }))
}

fn store(run: &Run) -> Incidents {
    Incidents::new(&run.ports.sites)
}
