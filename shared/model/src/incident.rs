//! An incident: something that is wrong, told once, told again until somebody has taken it up, and told once when it is over.
//!
//! The transitions are here, pure; that each happens once, whoever sees the same thing at the same time, is the
//! repository's compare-and-swap. A message is *owed* from the moment that its reason is stored, *claimed* by whoever sends it, and
//! *sent*: whoever dies in between leaves it to the next.

mod subject;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertKind, AlertState, Channel, Escalation, Severity};
use crate::identity::{DatabaseName, NameError};
use crate::policy::{AlertRule, Policy};

pub use subject::{IncidentSubject, Part};

/// After this time a claim counts for nothing: whoever made it has died. Longer than sending takes with all its retries.
const CLAIM: SignedDuration = SignedDuration::from_secs(120);

/// Parts that are told apart, at most: a rotation of a month, and both sites.
const MOST_PARTS: usize = 40;

/// What an incident is called: `backup-failed/clinic`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IncidentName {
    /// What is wrong.
    pub kind: AlertKind,
    /// With what.
    pub subject: IncidentSubject,
}

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// Seen, but not as often in a row as policy asks for.
    Watched,
    /// It is wrong, and nobody has taken it up.
    Open,
    /// It is wrong, and somebody is at it.
    Acknowledged,
    /// It is over.
    Resolved,
}

/// What somebody saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// What happened: one sentence.
    pub what: String,
    /// What to do: one sentence.
    pub hint: String,
    /// The database, where it is about one.
    pub database: Option<DatabaseName>,
    /// Which part of it is wrong, where not all of it was looked at: a site, a scope. Only a look at that part can clear it.
    pub part: Option<Part>,
    /// Facts by name.
    pub facts: Vec<(String, String)>,
}

/// What was looked at and is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cleared {
    /// All that the incident can be about.
    All,
    /// This part of it.
    Part(Part),
}

/// Somebody took it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// In their words.
    pub reason: String,
}

/// A message that must still leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// Which.
    pub state: AlertState,
    /// Not before: business-hours kinds wait for the hours.
    pub due: Timestamp,
    /// The run that is sending it, and until when nobody else does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// Who is sending a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The run.
    pub run_id: String,
    /// Until when.
    pub until: Timestamp,
}

/// `incidents/<kind>/<subject>.json`: the latest incident of this name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// What it is called.
    pub name: IncidentName,
    /// Where it stands.
    pub state: IncidentState,
    /// How much it matters.
    pub severity: Severity,
    /// When it was first seen.
    pub since: Timestamp,
    /// When it was last seen.
    pub seen_at: Timestamp,
    /// Times that it was seen in a row.
    pub sightings: u64,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// Who took it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    /// What happened, as last seen.
    pub what: String,
    /// What to do.
    pub hint: String,
    /// The database, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// The parts that were seen to be wrong, and not since to be right.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub parts: BTreeSet<Part>,
    /// Facts by name, as last seen.
    pub facts: Vec<(String, String)>,
    /// By which ways it is told.
    pub channels: Vec<Channel>,
    /// The message that must still leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<Owed>,
    /// Messages that have left.
    pub sent: u64,
    /// When the last one left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
}

impl IncidentName {
    /// An incident of `kind` about `subject`.
    pub fn new(kind: AlertKind, subject: impl Into<IncidentSubject>) -> Self {
        Self { kind, subject: subject.into() }
    }
}

impl fmt::Display for IncidentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.subject)
    }
}

impl FromStr for IncidentName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Word {
            what: "the name of an incident, such as `backup-failed/clinic`",
            text: text.to_owned(),
        };
        let (kind, subject) = text.split_once('/').ok_or_else(wrong)?;
        let kind: AlertKind = kind.parse().map_err(|_| wrong())?;
        let subject: IncidentSubject = subject.parse().map_err(|_| wrong())?;
        if kind.is_notice() { Err(wrong()) } else { Ok(Self::new(kind, subject)) }
    }
}

impl TryFrom<String> for IncidentName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<IncidentName> for String {
    fn from(name: IncidentName) -> Self {
        name.to_string()
    }
}

impl Incident {
    /// Whether it is over and nobody is telling so yet.
    fn owes_resolution(&self) -> bool {
        self.owed.as_ref().is_some_and(|owed| owed.state == AlertState::Resolved && owed.claim.is_none())
    }

    /// Whether something is wrong now.
    pub fn is_open(&self) -> bool {
        matches!(self.state, IncidentState::Open | IncidentState::Acknowledged)
    }

    /// The incident after it was seen: a new one when there was none or the last is over; else the same, quietly updated.
    pub fn seen(
        before: Option<&Self>,
        name: &IncidentName,
        sighting: Sighting,
        policy: &Policy,
        now: Timestamp,
    ) -> Self {
        let rule = policy.rule(name.kind);
        // What nobody has been told to be over goes on, for them.
        let before = before.filter(|incident| incident.state != IncidentState::Resolved || incident.owes_resolution());
        let sightings = before.map_or(0, |incident| incident.sightings).saturating_add(1);
        let was_open = before.filter(|incident| incident.state != IncidentState::Watched);
        let is_open = was_open.is_some() || sightings >= u64::from(rule.after);
        let Sighting { what, hint, database, part, facts } = sighting;
        // That it could not be looked at does not hide what was found before.
        let found = was_open.filter(|incident| part.is_none() && !incident.parts.is_empty());
        let (what, hint, facts) = match found {
            Some(Self { what, hint, facts, .. }) => (what.clone(), hint.clone(), facts.clone()),
            None => (what, hint, facts),
        };
        let mut parts = before.map(|incident| incident.parts.clone()).unwrap_or_default();
        parts.extend(part);
        if parts.len() > MOST_PARTS {
            // More than are told apart: then only a look at everything clears it.
            parts = [Part::Everything].into();
        }
        Self {
            name: name.clone(),
            state: match was_open {
                Some(incident) if incident.acknowledged.is_some() => IncidentState::Acknowledged,
                _ if is_open => IncidentState::Open,
                _ => IncidentState::Watched,
            },
            severity: rule.severity,
            since: before.map_or(now, |incident| incident.since),
            seen_at: now,
            sightings,
            resolved_at: None,
            acknowledged: before.and_then(|incident| incident.acknowledged.clone()),
            what,
            hint,
            database,
            parts,
            facts,
            owed: match was_open {
                Some(incident) => incident.owed.clone().filter(|owed| owed.state != AlertState::Resolved),
                None => is_open.then(|| Owed::new(AlertState::Opened, first_moment(&rule, policy, now))),
            },
            channels: rule.channels,
            sent: before.map_or(0, |incident| incident.sent),
            sent_at: before.and_then(|incident| incident.sent_at),
        }
    }

    /// The incident after something was seen to be right; `None` when there is nothing to change. It is over when no part is left that is
    /// wrong. What nobody was told of is not told when it is over either.
    pub fn cleared(&self, cleared: &Cleared, policy: &Policy, now: Timestamp) -> Option<Self> {
        if self.state == IncidentState::Resolved {
            return None;
        }
        let mut parts = self.parts.clone();
        match cleared {
            Cleared::All => parts.clear(),
            Cleared::Part(part) => drop(parts.remove(part)),
        }
        if !parts.is_empty() {
            return (parts != self.parts).then(|| Self { parts, ..self.clone() });
        }
        let was_told = self.sent > 0 || self.owed.as_ref().is_some_and(|owed| owed.claim.is_some());
        let due = first_moment(&policy.rule(self.name.kind), policy, now);
        Some(Self {
            state: IncidentState::Resolved,
            resolved_at: Some(now),
            parts,
            owed: (self.is_open() && was_told).then(|| Owed::new(AlertState::Resolved, due)),
            ..self.clone()
        })
    }

    /// The incident after somebody took it up; `None` when it is over, or not open yet. It is not told again.
    pub fn taken_up(&self, acknowledgement: Acknowledgement) -> Option<Self> {
        if !self.is_open() {
            return None;
        }
        let owed = self.owed.clone().filter(|owed| owed.state != AlertState::Reminder);
        let acknowledged = Some(acknowledgement);
        Some(Self { state: IncidentState::Acknowledged, acknowledged, owed, ..self.clone() })
    }

    /// The incident with a reminder owed, when one is due.
    pub fn reminded(&self, policy: &Policy, now: Timestamp) -> Option<Self> {
        let (IncidentState::Open, None, Some(sent_at)) = (self.state, &self.owed, self.sent_at) else { return None };
        let rule = policy.rule(self.name.kind);
        let pause = match rule.escalation {
            Escalation::Immediate => policy.alerts.repeat,
            Escalation::Daily | Escalation::BusinessHours => SignedDuration::from_hours(24),
        };
        let due = first_moment(&rule, policy, sent_at.checked_add(pause).unwrap_or(sent_at));
        (due <= now).then(|| Self { owed: Some(Owed::new(AlertState::Reminder, due)), ..self.clone() })
    }

    /// The incident with its owed message claimed by `run_id`, and the message; `None` when none is due, when it must wait for
    /// business hours, or when another run is at it.
    pub fn claimed(&self, policy: &Policy, run_id: &str, now: Timestamp) -> Option<(Self, Alert)> {
        let owed = self.owed.as_ref().filter(|owed| owed.due <= now)?;
        if first_moment(&policy.rule(self.name.kind), policy, now) > now {
            return None;
        }
        if owed.claim.as_ref().is_some_and(|claim| claim.until > now && claim.run_id != run_id) {
            return None;
        }
        let claim = Some(Claim { run_id: run_id.to_owned(), until: now.checked_add(CLAIM).unwrap_or(now) });
        let alert = self.alert(owed.state);
        Some((Self { owed: Some(Owed { claim, ..owed.clone() }), ..self.clone() }, alert))
    }

    /// The incident after the message of `state` has left; `None` when it is owed no longer.
    pub fn told(&self, state: AlertState, now: Timestamp) -> Option<Self> {
        self.owed.as_ref().filter(|owed| owed.state == state)?;
        Some(Self { owed: None, sent: self.sent.saturating_add(1), sent_at: Some(now), ..self.clone() })
    }

    fn alert(&self, state: AlertState) -> Alert {
        let resolved = self.resolved_at.filter(|_| state == AlertState::Resolved);
        let mut facts = self.facts.clone();
        facts.push(("seen".to_owned(), self.sightings.to_string()));
        facts.extend(resolved.map(|at| ("resolved_at".to_owned(), at.to_string())));
        Alert {
            kind: self.name.kind,
            severity: self.severity,
            state,
            channels: self.channels.clone(),
            database: self.database.clone(),
            incident: Some(self.name.clone()),
            since: self.since,
            what: self.what.clone(),
            hint: resolved.is_none().then(|| self.hint.clone()),
            facts,
        }
    }
}

impl Owed {
    fn new(state: AlertState, due: Timestamp) -> Self {
        Self { state, due, claim: None }
    }
}

/// The first moment at or after `at` at which a kind may be told.
fn first_moment(rule: &AlertRule, policy: &Policy, at: Timestamp) -> Timestamp {
    match rule.escalation {
        Escalation::Immediate | Escalation::Daily => at,
        Escalation::BusinessHours => policy.hours.next(at),
    }
}
