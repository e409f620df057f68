//! An incident: a problem that is reported once, repeated until somebody acknowledges it, and reported once when it is resolved.
//!
//! The transitions here are pure. The repository's compare-and-swap makes each happen once, also when several runs see the same
//! problem. A message is *owed* when its reason is stored, *claimed* by the run that sends it, and then *sent*. If that run dies,
//! the next one sends it.

mod accepted;
mod acknowledgement;
mod cleared;
mod name;
mod subject;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertState, Channel, Escalation, Severity};
use crate::identity::{CLOCK_TOLERANCE, DatabaseName};
use crate::policy::Policy;

use accepted::Problem;

pub use accepted::{Accepted, DamagedObjects, ObjectRefusal};
pub use acknowledgement::Acknowledgement;
pub use cleared::Cleared;
pub use name::IncidentName;
pub use subject::{IncidentSubject, Part};

/// A claim expires after this time: its run has died. It is longer than sending takes with all its retries.
const CLAIM: SignedDuration = SignedDuration::from_secs(120);

/// Largest number of distinct parts: a rotation of a month, and both sites.
const MOST_PARTS: usize = 40;

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// Seen, but not yet as often in a row as policy requires.
    Watched,
    /// Nobody has acknowledged it.
    Open,
    /// Somebody has acknowledged it.
    Acknowledged,
    /// The problem is gone.
    Resolved,
}

/// One observation of a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The problem: one sentence.
    pub what: String,
    /// A hint for a person: one sentence.
    pub hint: String,
    /// The database, where it is about one.
    pub database: Option<DatabaseName>,
    /// The part that is wrong, if not everything was checked: a site, a scope. Only a check of that part can clear it.
    pub part: Option<Part>,
    /// The damaged objects, where there are any: all, or `more` is set.
    pub objects: DamagedObjects,
    /// Facts by name.
    pub facts: Vec<(String, String)>,
}

/// A message that must still be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// The kind of message.
    pub state: AlertState,
    /// The earliest time to send it: business-hours kinds wait for the hours.
    pub due: Timestamp,
    /// The run that is sending it, and until when no other run may.
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
    /// Its name.
    pub name: IncidentName,
    /// Where it stands.
    pub state: IncidentState,
    /// How much it matters.
    pub severity: Severity,
    /// When it was first seen.
    pub since: Timestamp,
    /// When it was last opened: first, or again after it was acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Timestamp>,
    /// When it was last seen.
    pub seen_at: Timestamp,
    /// How many times in a row it was seen.
    pub sightings: u64,
    /// When it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// Who acknowledged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    /// What a person has accepted of the problem. What goes beyond it opens the incident again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
    /// The problem, as last seen.
    pub what: String,
    /// A hint for a person.
    pub hint: String,
    /// The database, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// The parts that are still wrong.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub parts: BTreeSet<Part>,
    /// The damaged objects that were seen since it was opened, without those of parts that are in order again.
    #[serde(default, skip_serializing_if = "DamagedObjects::is_empty")]
    pub objects: DamagedObjects,
    /// The part in which each of them was last seen. A check of that part clears it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub found_in: BTreeMap<String, Part>,
    /// Facts by name, as last seen.
    pub facts: Vec<(String, String)>,
    /// The channels of its messages.
    pub channels: Vec<Channel>,
    /// The message that must still be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<Owed>,
    /// The number of messages sent.
    pub sent: u64,
    /// When the last one was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
}

impl Incident {
    /// Whether its resolution is owed, and no run has claimed it.
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
        // An incident whose resolution was never reported goes on.
        let before = before.filter(|incident| incident.state != IncidentState::Resolved || incident.owes_resolution());
        let before = before.map(|incident| incident.less(&incident.mended_by(&sighting)));
        let before = before.as_ref();
        let sightings = before.map_or(0, |incident| incident.sightings).saturating_add(1);
        let was_open = before.filter(|incident| incident.state != IncidentState::Watched);
        let is_open = was_open.is_some() || sightings >= u64::from(rule.after);
        let reopened = was_open.is_some_and(|incident| incident.is_exceeded_by(&sighting, policy, now));
        let acknowledged = before.filter(|_| !reopened).and_then(|incident| incident.acknowledged.clone());
        let unanswered = was_open.filter(|_| !reopened && acknowledged.is_none());
        let settled = unanswered.and_then(|incident| incident.settled_by(&sighting));
        let (acknowledged, accepted) = match settled {
            Some((acknowledgement, accepted)) => (Some(acknowledgement), Some(accepted)),
            None => (acknowledged, before.and_then(|incident| incident.accepted.clone())),
        };
        let Sighting { what, hint, database, part, objects, facts } = sighting;
        // A failed check does not hide earlier findings, unless it is the news.
        let found = was_open.filter(|incident| !reopened && part.is_none() && !incident.parts.is_empty());
        let (what, hint, facts) = match found {
            Some(Self { what, hint, facts, .. }) => (what.clone(), hint.clone(), facts.clone()),
            None => (what, hint, facts),
        };
        let mut parts = before.map(|incident| incident.parts.clone()).unwrap_or_default();
        let mut found_in = before.map(|incident| incident.found_in.clone()).unwrap_or_default();
        found_in.extend(part.iter().flat_map(|part| objects.named.iter().map(|name| (name.clone(), part.clone()))));
        parts.extend(part);
        let objects = before.map(|incident| incident.objects.clone()).unwrap_or_default().and(&objects);
        found_in.retain(|name, _| objects.named.contains(name));
        if parts.len() > MOST_PARTS || parts.contains(&Part::Everything) {
            // With too many parts to keep, only a check of everything clears it.
            parts = [Part::Everything].into();
        }
        let is_acknowledged = acknowledged.is_some();
        Self {
            name: name.clone(),
            state: match was_open {
                Some(_) if is_acknowledged => IncidentState::Acknowledged,
                _ if is_open => IncidentState::Open,
                _ => IncidentState::Watched,
            },
            severity: rule.severity,
            since: before.map_or(now, |incident| incident.since),
            opened_at: match was_open.filter(|_| !reopened) {
                Some(incident) => incident.opened_at,
                None => is_open.then_some(now),
            },
            seen_at: now,
            sightings,
            resolved_at: None,
            acknowledged,
            // What was accepted once is accepted again when the incident as it is now is acknowledged.
            accepted,
            what,
            hint,
            database,
            parts,
            objects,
            found_in,
            facts,
            owed: match was_open.filter(|_| !reopened) {
                Some(incident) => incident.owed.clone().filter(|owed| owed.is_still_due(is_acknowledged)),
                None => is_open.then(|| Owed::new(AlertState::Opened, policy.first_moment(name.kind, now))),
            },
            channels: rule.channels,
            sent: before.map_or(0, |incident| incident.sent),
            sent_at: before.and_then(|incident| incident.sent_at),
        }
    }

    /// The incident after a check found something in order; `None` when nothing changes. It is resolved when no part is wrong. A
    /// resolution is reported only if the problem was.
    pub fn cleared(&self, cleared: &Cleared, policy: &Policy, now: Timestamp) -> Option<Self> {
        if self.state == IncidentState::Resolved {
            return None;
        }
        let (sound, wrong): (Vec<&Part>, Vec<&Part>) = self.parts.iter().partition(|part| cleared.has(part));
        if !wrong.is_empty() && !cleared.has_all_since(self.seen_at) {
            let less = || sound.iter().fold(self.clone(), |less, part| less.without(part));
            return (!sound.is_empty()).then(less);
        }
        let was_told = self.sent > 0 || self.owed.as_ref().is_some_and(|owed| owed.claim.is_some());
        let due = policy.first_moment(self.name.kind, now);
        Some(Self {
            state: IncidentState::Resolved,
            resolved_at: Some(now),
            parts: BTreeSet::new(),
            owed: (self.is_open() && was_told).then(|| Owed::new(AlertState::Resolved, due)),
            ..self.clone()
        })
    }

    /// The incident without this part, and without the objects that were last seen in it. When they are damaged again, that is news.
    fn without(&self, part: &Part) -> Self {
        let is_gone = |name: &&String| self.found_in.get(*name) == Some(part);
        let mut left = self.less(&self.objects.named.iter().filter(is_gone).cloned().collect());
        left.parts.remove(part);
        left.accepted.iter_mut().for_each(|accepted| accepted.parts.retain(|known| known != part));
        left
    }

    /// The objects that are in order again: those that were last seen where `sighting` looked, and that it does not name among all.
    fn mended_by(&self, Sighting { part, objects, .. }: &Sighting) -> BTreeSet<String> {
        if !objects.are_all_named() || objects.has_unread {
            return BTreeSet::new();
        }
        let was_there = |name: &&String| self.found_in.get(*name) == part.as_ref();
        self.objects.named.iter().filter(was_there).filter(|name| !objects.named.contains(*name)).cloned().collect()
    }

    /// What a person accepted by name, when that is all that is left of an open incident: what else was damaged is in order again.
    fn settled_by(&self, Sighting { objects, hint, .. }: &Sighting) -> Option<(Acknowledgement, Accepted)> {
        let accepted = self.accepted.as_ref()?;
        let is_all = accepted.names_all(objects) && accepted.names_all(&self.objects) && !objects.has_unread;
        let by_name = accepted.by_name.clone().filter(|_| is_all && !accepted.lacks_a_cause_of(hint))?;
        Some((by_name, accepted.clone().with_causes(hint)))
    }

    /// The incident without these objects.
    fn less(&self, gone: &BTreeSet<String>) -> Self {
        let mut left = self.clone();
        left.objects.named.retain(|name| !gone.contains(name));
        left.found_in.retain(|name, _| !gone.contains(name));
        left.accepted.iter_mut().for_each(|accepted| accepted.known.retain(|name| !gone.contains(name)));
        left
    }

    /// The incident after it was acknowledged; `None` when it is not open. Its reminders stop.
    pub fn acknowledged_by(&self, acknowledgement: Acknowledgement) -> Option<Self> {
        if !self.is_open() {
            return None;
        }
        let owed = self.owed.clone().filter(|owed| owed.state != AlertState::Reminder);
        let (acknowledged, accepted) = (Some(acknowledgement), Some(self.accepted_now()));
        Some(Self { state: IncidentState::Acknowledged, acknowledged, accepted, owed, ..self.clone() })
    }

    /// The incident after these objects of it were accepted by name; `None` when it is not open. It is acknowledged when no other object is
    /// damaged. An acknowledgement of the whole that it already has goes on.
    ///
    /// # Errors
    /// The first name that is no object of the incident, or that cannot be kept.
    pub fn accepted_by(
        &self,
        acknowledgement: Acknowledgement,
        objects: &[String],
    ) -> Result<Option<Self>, (String, ObjectRefusal)> {
        if !self.is_open() {
            return Ok(None);
        }
        let before = match (&self.acknowledged, &self.accepted) {
            (Some(_), _) => self.accepted_until_now(),
            (None, Some(accepted)) => accepted.names_only(),
            (None, None) => Accepted::default(),
        };
        let mut accepted = before.with_names(objects, &self.objects)?;
        accepted.by_name = Some(acknowledgement.clone());
        let mut acknowledged = self.acknowledged.clone();
        if acknowledged.is_none() && accepted.names_all(&self.objects) {
            (acknowledged, accepted) = (Some(acknowledgement), accepted.with_causes(&self.hint));
        }
        let state = if acknowledged.is_some() { IncidentState::Acknowledged } else { IncidentState::Open };
        let owed = self.owed.clone().filter(|owed| acknowledged.is_none() || owed.state != AlertState::Reminder);
        Ok(Some(Self { state, acknowledged, accepted: Some(accepted), owed, ..self.clone() }))
    }

    /// Whether an acknowledged incident is worse than what was acknowledged, or was acknowledged too long ago.
    fn is_exceeded_by(&self, sighting: &Sighting, policy: &Policy, now: Timestamp) -> bool {
        if self.acknowledged.is_none() {
            return false;
        }
        let accepted = self.accepted_until_now();
        let Sighting { part, objects, facts, hint, .. } = sighting;
        // What was accepted by name stays accepted.
        if accepted.names_all(objects) {
            return accepted.lacks_a_cause_of(hint);
        }
        let problem = Problem { parts: part.iter().collect(), objects, facts, hint };
        self.is_expired(policy, now) || accepted.is_exceeded_by(&problem)
    }

    /// Whether it was acknowledged longer ago than policy allows.
    fn is_expired(&self, policy: &Policy, now: Timestamp) -> bool {
        // One that is dated in the future would never end.
        let is_over = |at: Timestamp| at > now + CLOCK_TOLERANCE || now.duration_since(at) > policy.alerts.acknowledged;
        self.acknowledged.as_ref().is_some_and(|taken| is_over(taken.at))
    }

    /// What was accepted, and the problem as it is now.
    fn accepted_now(&self) -> Accepted {
        let Self { parts, objects, facts, hint, .. } = self;
        let problem = Problem { parts: parts.iter().collect(), objects, facts, hint };
        self.accepted.clone().unwrap_or_default().with(&problem)
    }

    /// What was accepted. Where an earlier version kept nothing, it is the problem as it was last seen.
    fn accepted_until_now(&self) -> Accepted {
        self.accepted.clone().unwrap_or_else(|| self.accepted_now())
    }

    /// The incident open again, when its acknowledgement has expired. What was accepted by name has no end.
    pub fn expired(&self, policy: &Policy, now: Timestamp) -> Option<Self> {
        let is_over = self.state == IncidentState::Acknowledged && self.is_expired(policy, now);
        if !is_over || self.accepted_until_now().names_all(&self.objects) {
            return None;
        }
        let owed = Some(Owed::new(AlertState::Opened, policy.first_moment(self.name.kind, now)));
        let accepted = Some(self.accepted_until_now());
        let opened_at = Some(now);
        Some(Self { state: IncidentState::Open, opened_at, acknowledged: None, accepted, owed, ..self.clone() })
    }

    /// The incident with a reminder owed, when one is due.
    pub fn reminded(&self, policy: &Policy, now: Timestamp) -> Option<Self> {
        let (IncidentState::Open, None, Some(sent_at)) = (self.state, &self.owed, self.sent_at) else { return None };
        let rule = policy.rule(self.name.kind);
        let pause = match rule.escalation {
            Escalation::Immediate => policy.alerts.repeat,
            Escalation::Daily | Escalation::BusinessHours => SignedDuration::from_hours(24),
        };
        let due = policy.first_moment(self.name.kind, sent_at.checked_add(pause).unwrap_or(sent_at));
        (due <= now).then(|| Self { owed: Some(Owed::new(AlertState::Reminder, due)), ..self.clone() })
    }

    /// The incident with its owed message claimed by `run_id`, and the message; `None` when none is due, when it must wait for
    /// business hours, or when another run has claimed it.
    pub fn claimed(&self, policy: &Policy, run_id: &str, now: Timestamp) -> Option<(Self, Alert)> {
        let owed = self.owed.as_ref().filter(|owed| owed.due <= now)?;
        if policy.first_moment(self.name.kind, now) > now {
            return None;
        }
        if owed.claim.as_ref().is_some_and(|claim| claim.until > now && claim.run_id != run_id) {
            return None;
        }
        let claim = Some(Claim { run_id: run_id.to_owned(), until: now.checked_add(CLAIM).unwrap_or(now) });
        let alert = self.alert(owed.state);
        Some((Self { owed: Some(Owed { claim, ..owed.clone() }), ..self.clone() }, alert))
    }

    /// The incident after the message of `state` was sent; `None` when that message is not owed.
    pub fn delivered(&self, state: AlertState, now: Timestamp) -> Option<Self> {
        self.owed.as_ref().filter(|owed| owed.state == state)?;
        Some(Self { owed: None, sent: self.sent.saturating_add(1), sent_at: Some(now), ..self.clone() })
    }

    fn alert(&self, state: AlertState) -> Alert {
        let resolved = self.resolved_at.filter(|_| state == AlertState::Resolved);
        let mut facts = self.facts.clone();
        facts.push(("seen".to_owned(), self.sightings.to_string()));
        facts.extend(resolved.map(|at| ("resolved_at".to_owned(), at.to_string())));
        if self.accepted.is_some() && self.acknowledged.is_none() && resolved.is_none() {
            let why = match self.accepted.as_ref().is_some_and(|accepted| !accepted.objects.is_empty()) {
                true => "some objects were accepted by name, and there is more",
                false => "it was acknowledged, and is worse now or was acknowledged too long ago",
            };
            facts.push(("reopened".to_owned(), why.to_owned()));
        }
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

    /// Whether it is still to be sent after the problem was seen again: it is not over, and nobody is reminded of what was acknowledged.
    fn is_still_due(&self, is_acknowledged: bool) -> bool {
        match self.state {
            AlertState::Resolved => false,
            AlertState::Reminder => !is_acknowledged,
            _ => true,
        }
    }
}
