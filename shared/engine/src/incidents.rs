//! What is wrong, told once: every sighting and every all-clear goes through here.

use std::fmt;

use futures_util::future::join_all;
use jiff::Timestamp;
use lifeboat_model::{
    Acknowledgement, Alert, AlertState, Cleared, Incident, IncidentName, IncidentState, LedgerAct, Mandate, Outcome,
    Sighting,
};
use lifeboat_vault::{Incidents, VaultError};

use crate::error::EngineError;
use crate::ledger::put_on_record;
use crate::lifeboat::Lifeboat;

/// What an incident is about when no database was named.
pub(crate) const UNNAMED: &str = "unnamed";

/// What an incident is about that concerns the whole repository.
pub(crate) const WHOLE: &str = "repository";

/// What became of an incident, and what is to be sent about it.
pub(crate) struct Change {
    pub(crate) name: IncidentName,
    pub(crate) turn: Turn,
    alert: Option<Alert>,
}

/// What a change comes to; for the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Seen, but not as often in a row as policy asks for.
    Watched,
    /// Something is wrong from now on.
    Opened,
    /// It still is, or was, and nobody has been told otherwise.
    SeenAgain,
    /// A part of it is over.
    ClearedInPart,
    /// It is over.
    Resolved,
    /// It was watched, and is not seen any more.
    Passed,
    /// No site can store it: it is told all the same.
    Unstored,
}

impl Turn {
    fn of_seen(before: Option<&Incident>, after: &Incident) -> Self {
        match before {
            _ if !after.is_open() => Self::Watched,
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

    /// Whether something began or ended.
    pub(crate) fn is_news(self) -> bool {
        matches!(self, Self::Opened | Self::Resolved)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.turn {
            Turn::Watched => "watched",
            Turn::Opened => "opened",
            Turn::SeenAgain => "seen again",
            Turn::ClearedInPart => "cleared in part",
            Turn::Resolved => "resolved",
            Turn::Passed => "passed",
            Turn::Unstored => "not stored",
        };
        write!(f, "{word} {}", self.name)
    }
}

/// Something is wrong. Opens the incident, or updates it quietly. When no site stores it, nobody knows whether it was told already: then
/// better twice than never.
pub(crate) async fn seen(lifeboat: &Lifeboat, name: &IncidentName, sighting: &Sighting) -> Change {
    let now = Timestamp::now();
    let next = |before: Option<&Incident>| Some(Incident::seen(before, name, sighting.clone(), &lifeboat.policy, now));
    let (turn, alert) = match change(lifeboat, name, next, now).await {
        Ok(Some(Changed { before, after, alert })) => (Turn::of_seen(before.as_ref(), &after), alert),
        Ok(None) => (Turn::SeenAgain, None),
        Err(error) => {
            tracing::error!(incident = %name, error = error.story(), "the incident cannot be stored");
            match error {
                // Others store it all the time, and tell it.
                EngineError::Vault(VaultError::Contended { .. }) => (Turn::SeenAgain, None),
                _ => (Turn::Unstored, Some(unstored(lifeboat, name, sighting, now))),
            }
        }
    };
    Change { name: name.clone(), turn, alert }
}

/// Something is as it should be. Resolves the incident when there is one, and nothing is left of it. When that cannot be said, the next
/// look says it.
pub(crate) async fn cleared(lifeboat: &Lifeboat, name: &IncidentName, cleared: &Cleared) -> Option<Change> {
    let now = Timestamp::now();
    let next = |before: Option<&Incident>| before?.cleared(cleared, &lifeboat.policy, now);
    match change(lifeboat, name, next, now).await {
        Ok(changed) => changed.map(|Changed { before, after, alert }| {
            let turn = Turn::of_cleared(before.as_ref(), &after);
            Change { name: name.clone(), turn, alert }
        }),
        Err(error) => {
            tracing::error!(incident = %name, error = error.story(), "it is not known whether this was told as wrong");
            None
        }
    }
}

/// Sends what this run has claimed, all at the same time, and then puts down that it has left.
///
/// # Errors
/// [`EngineError::Unannounced`] when one did not leave: it is owed as before.
pub(crate) async fn send(lifeboat: &Lifeboat, changes: &[Change]) -> Result<(), EngineError> {
    let sent = join_all(changes.iter().map(|change| send_one(lifeboat, change))).await;
    sent.into_iter().collect()
}

async fn send_one(lifeboat: &Lifeboat, Change { name, turn, alert }: &Change) -> Result<(), EngineError> {
    let Some(alert) = alert else { return Ok(()) };
    if let Err(error) = lifeboat.outbox.alert(alert).await {
        return lifeboat.untold(error);
    }
    if *turn == Turn::Unstored {
        return Ok(());
    }
    let told = |before: Option<&Incident>| before?.told(alert.state, Timestamp::now());
    if let Err(error) = store(lifeboat).change(name, told).await {
        let error = EngineError::from(error).story();
        tracing::error!(incident = %name, error, "an alert has left, and that is not put down: it may be sent again");
    }
    Ok(())
}

/// Sends what is owed: messages that waited for business hours, whose sender died, and reminders. Returns how many. One that does not
/// leave keeps no other from it.
///
/// # Errors
/// What keeps the incidents from being read; the last that did not leave.
pub(crate) async fn send_owed(lifeboat: &Lifeboat) -> Result<usize, EngineError> {
    let (mut sent, mut failure) = (0, None);
    for incident in store(lifeboat).list().await? {
        let now = Timestamp::now();
        let next = |before: Option<&Incident>| {
            let before = before?;
            let reminded = before.reminded(&lifeboat.policy, now);
            let due = reminded.as_ref().unwrap_or(before);
            let (claimed, _) = due.claimed(&lifeboat.policy, &lifeboat.run_id, now)?;
            Some(claimed)
        };
        // Most are owed nothing: what was read says so.
        if !lifeboat.outbox.reaches_people() || next(Some(&incident)).is_none() {
            continue;
        }
        let name = incident.name;
        let left = match change(lifeboat, &name, next, now).await {
            Ok(Some(Changed { alert: Some(alert), .. })) => {
                send_one(lifeboat, &Change { name, turn: Turn::SeenAgain, alert: Some(alert) }).await.map(|()| 1)
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

/// Every incident, those that are over as well, each name's latest.
///
/// # Errors
/// What keeps them from being read.
pub async fn incidents(lifeboat: &Lifeboat) -> Result<Vec<Incident>, EngineError> {
    Ok(store(lifeboat).list().await?)
}

/// Takes an incident up, in the name of whoever orders it: it is not told again until it is over. On record.
///
/// # Errors
/// [`EngineError::NoIncident`] when nothing of that name is wrong; what keeps it from being stored or put on record.
pub async fn acknowledge(lifeboat: &Lifeboat, name: &IncidentName) -> Result<Incident, EngineError> {
    let Mandate { actor, reason } = &lifeboat.mandate;
    let taken_up = |before: Option<&Incident>| {
        let (by, reason) = (actor.clone(), reason.clone());
        before?.taken_up(Acknowledgement { by, at: Timestamp::now(), reason })
    };
    let changed = store(lifeboat).change(name, taken_up).await?;
    let (_, incident) = changed.ok_or_else(|| EngineError::NoIncident { name: name.clone() })?;
    let act = LedgerAct {
        mandate: lifeboat.mandate.clone(),
        action: "acknowledge".to_owned(),
        subject: name.to_string(),
        outcome: Outcome::Completed,
        detail: [("run_id".to_owned(), lifeboat.run_id.clone())].into(),
    };
    put_on_record(lifeboat, act).await?;
    Ok(incident)
}

/// An alert about something that could not be stored as an incident: better twice than never.
fn unstored(lifeboat: &Lifeboat, name: &IncidentName, sighting: &Sighting, now: Timestamp) -> Alert {
    let rule = lifeboat.policy.rule(name.kind);
    let Sighting { what, hint, database, facts, .. } = sighting.clone();
    let note = ("note".to_owned(), "no site could store this as an incident: it may be told again".to_owned());
    Alert {
        kind: name.kind,
        severity: rule.severity,
        state: AlertState::Opened,
        channels: rule.channels,
        database,
        incident: Some(name.to_string()),
        since: now,
        what,
        hint: Some(hint),
        facts: facts.into_iter().chain([note]).collect(),
    }
}

/// An incident before and after a change, and the message that is due.
struct Changed {
    before: Option<Incident>,
    after: Incident,
    alert: Option<Alert>,
}

/// Makes `next` of the incident, and claims the message that is due in the same change.
async fn change(
    lifeboat: &Lifeboat,
    name: &IncidentName,
    next: impl Fn(Option<&Incident>) -> Option<Incident>,
    now: Timestamp,
) -> Result<Option<Changed>, EngineError> {
    let run_id = lifeboat.run_id.as_str();
    // What a process that reaches nobody would claim, nobody would send.
    let claimed = |incident: &Incident| {
        if lifeboat.outbox.reaches_people() { incident.claimed(&lifeboat.policy, run_id, now) } else { None }
    };
    let claiming = |before: Option<&Incident>| {
        let next = next(before)?;
        Some(claimed(&next).map_or(next, |(claimed, _)| claimed))
    };
    let changed = store(lifeboat).change(name, claiming).await?;
    Ok(changed.map(|(before, after)| {
        let alert = claimed(&after).map(|(_, alert)| alert);
        Changed { before, after, alert }
    }))
}

fn store(lifeboat: &Lifeboat) -> Incidents {
    Incidents::new(&lifeboat.sites)
}
