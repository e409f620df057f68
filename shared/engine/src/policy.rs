//! Policy: which one is in force, and that each change of it is announced and on record.
//!
//! The users' document is the source; its last valid version is kept in the repository. An invalid document takes nothing down: the last
//! valid version stays in force, and people are notified. A change is announced by the rules of the policy before it.

mod notice;

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{
    Act, AlertKind, Cleared, DamagedObjects, Fact, Facts, IncidentName, IncidentSubject, LedgerAct, Mandate, Outcome,
    Policy, PolicyAge, PolicyDocument, PolicyFault, PolicyVersions, Severity, Sighting, Wrong,
};
use lifeboat_vault::{Sites, States, VaultError, sha256};
use serde::{Deserialize, Serialize};

use crate::deadline::within;
use crate::error::EngineError;
use crate::incidents;
use crate::run::Run;

use notice::Notice;

/// The state's name.
const POLICY: &str = "policy";

/// Faults that an alert names; the others are counted.
const NAMED_FAULTS: usize = 3;

/// How long the last valid policy is waited for. Every run asks for it, and the default will do.
const READ_WITHIN: Duration = Duration::from_secs(6);

/// A run that claims to record or announce a change and has not done so after this time has died.
const CLAIM: SignedDuration = SignedDuration::from_secs(120);

/// Versions that wait to be put on record or announced, at most: as many as a parameter keeps.
const WAITING_LIMIT: usize = 100;

/// `state/policy.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    /// The last valid document.
    document: Option<PolicyDocument>,
    /// The newest version that is on record or among the next.
    seen: Option<PolicyAge>,
    /// The SHA-256 of the last valid one of these.
    good_sha256: Option<String>,
    /// Acts that are not on record yet, the oldest first. Before the first backup there is no ledger.
    unrecorded: VecDeque<LedgerAct>,
    /// The run that is recording them.
    claim: Option<Claim>,
    /// Changes that people are not notified of yet, the oldest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    unannounced: VecDeque<Notice>,
    /// The run that is announcing them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    announcing: Option<Claim>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Claim {
    run_id: String,
    at: Timestamp,
}

/// The result of adopting a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Adopted {
    /// It was in force already.
    Unchanged,
    /// It is in force from now on.
    New,
    /// It is invalid; the policy that was in force stays in force.
    Refused(Vec<PolicyFault>),
}

/// The policy that is in force when `document` is the users' document. When it is absent (unavailable, or not configured here) or invalid,
/// the last valid one counts. Changes nothing.
pub async fn policy_in_force(sites: &Sites, document: Option<&PolicyDocument>) -> Policy {
    if let Some(Ok(policy)) = document.map(|document| Policy::from_toml(&document.text)) {
        return policy;
    }
    let reading = async { Ok(States::new(sites).read::<Kept>(POLICY).await?.value) };
    let kept = within(READ_WITHIN, Box::pin(reading)).await.unwrap_or_else(|error| {
        tracing::warn!(error = error.story(), "the last valid policy cannot be read");
        None
    });
    let kept = kept.and_then(|kept| kept.document).and_then(|kept| Policy::from_kept(&kept.text).ok());
    tracing::info!(
        default = kept.is_none(),
        "the policy is not configured here, unavailable or invalid; the last valid one is in force"
    );
    kept.unwrap_or_default()
}

/// Puts the newest valid version in force, when it is newer than the one that is, and announces the difference. Each version goes on record
/// as soon as the history is available. An invalid current version is an incident, and so is an unavailable one (`Err`: why, and what to do). Idempotent, also when
/// several runs do it at the same time.
///
/// # Errors
/// What keeps the state from being read or written, or a change from being put on record: the next health check tries again.
/// [`EngineError::Unannounced`].
pub async fn adopt_policy(run: &Run, versions: Result<&PolicyVersions, &Wrong>) -> Result<Adopted, EngineError> {
    let name = IncidentName::new(AlertKind::PolicyRefused, IncidentSubject::Repository);
    let faults = versions.ok().and_then(|versions| Policy::from_toml(&versions.in_place.text).err());
    let wrong = match (versions, &faults) {
        (Err(wrong), _) => Some(wrong.clone().into()),
        (Ok(versions), Some(faults)) => Some(refusal(&versions.in_place, faults)),
        (Ok(_), None) => None,
    };
    let change = match &wrong {
        Some(sighting) => Some(incidents::report(run, &name, sighting).await),
        None => incidents::clear(run, &name, &Cleared::All).await,
    };
    let notified = incidents::send(run, change.as_slice()).await;
    let incident = change.map(|change| change.to_string());
    let is_new = match versions {
        Ok(versions) => keep(run, versions, incident.as_deref()).await?,
        Err(_) => false,
    };
    let announced = announce_waiting(run).await;
    let recorded = record_waiting(run).await;
    notified.and(announced).and(recorded).map(|()| match faults {
        Some(faults) => Adopted::Refused(faults),
        None if is_new => Adopted::New,
        None => Adopted::Unchanged,
    })
}

/// Keeps the document that is to be in force, and the acts that must go on record. Returns whether another document is in force than before.
async fn keep(run: &Run, versions: &PolicyVersions, incident: Option<&str>) -> Result<bool, EngineError> {
    let states = States::new(&run.ports.sites);
    let kept = |before: Option<&Kept>| before.cloned().unwrap_or_default().with(run, versions, incident);
    let Some(changed) = states.change(POLICY, kept).await? else { return Ok(false) };
    let text_of = |kept: &Kept| kept.document.as_ref().map(|document| document.text.clone());
    Ok(changed.before.as_ref().and_then(text_of) != text_of(&changed.after))
}

/// Puts the versions that wait on record, one after the other, each under this run's claim. After a run that died, the next one repeats
/// one entry at most.
async fn record_waiting(run: &Run) -> Result<(), EngineError> {
    let states = States::new(&run.ports.sites);
    let mut recorded: Option<LedgerAct> = None;
    for _ in 0..=WAITING_LIMIT {
        let changed = states.change(POLICY, |kept: Option<&Kept>| kept?.recorded(run, recorded.as_ref())).await?;
        // Nothing waits; or another run holds the claim.
        let Some(changed) = changed else { return Ok(()) };
        let Some(next) = changed.after.unrecorded.front().cloned() else { return Ok(()) };
        match run.record(next.clone()).await {
            Ok(()) => recorded = Some(next),
            // There is no ledger yet: the first look after the first backup records it.
            Err(EngineError::Vault(VaultError::NoRepository)) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends the notices that wait, one after the other, each under this run's claim. After a run that died, the next one repeats one notice at
/// most. A process that reaches nobody leaves them to the next health check.
async fn announce_waiting(run: &Run) -> Result<(), EngineError> {
    if !run.ports.outbox.reaches_people() {
        return Ok(());
    }
    let states = States::new(&run.ports.sites);
    let mut sent: Option<Notice> = None;
    for _ in 0..=WAITING_LIMIT {
        let now = Timestamp::now();
        let changed = states.change(POLICY, |kept: Option<&Kept>| kept?.announced(run, sent.as_ref(), now)).await?;
        let Some(changed) = changed else { return Ok(()) };
        let Some(next) = changed.after.unannounced.iter().find(|notice| notice.due <= now) else { return Ok(()) };
        if let Err(error) = run.ports.outbox.alert(&next.alert).await {
            return run.not_notified(error);
        }
        sent = Some(next.clone());
    }
    Ok(())
}

impl Kept {
    /// The state after these versions were seen; `None` when none of them is new.
    fn with(&self, run: &Run, versions: &PolicyVersions, incident: Option<&str>) -> Option<Self> {
        let PolicyVersions { in_place, history } = versions;
        let (mut kept, now) = (self.clone(), Timestamp::now());
        let unseen = history.iter().flatten().filter(|document| Some(document.age()) > self.seen);
        for document in unseen {
            let before_sha256 = kept.good_sha256.clone().unwrap_or_else(|| "none".to_owned());
            let mut facts = Facts::new().with(Fact::BeforeSha256, before_sha256);
            let is_good = Policy::from_toml(&document.text).is_ok();
            if is_good {
                kept.put_in_force(document, now);
                kept.good_sha256 = Some(sha256(document.text.as_bytes()).to_string());
            } else if document.version == in_place.version {
                facts = facts.with_some(Fact::Incident, incident);
            }
            let outcome = if is_good { Outcome::Completed } else { Outcome::Failed };
            kept.unrecorded.push_back(act(run, document, outcome, facts));
            kept.seen = Some(document.age());
        }
        // Without its history a valid document is in force, and goes on record when the history is available again.
        let is_newer = kept.document.as_ref().is_none_or(|kept| kept.age() < in_place.age());
        if history.is_none() && is_newer && Policy::from_toml(&in_place.text).is_ok() {
            kept.put_in_force(in_place, now);
        }
        if let (None, Some(first)) = (&self.document, &kept.document) {
            // Nobody knows what was in force before. The versions until now are no news, and the last one is.
            kept.unannounced = Notice::of_first(first, now).into_iter().collect();
        }
        if (kept.seen, &kept.document) == (self.seen, &self.document) {
            return None;
        }
        while kept.unrecorded.len() > WAITING_LIMIT {
            let forgotten = kept.unrecorded.pop_front().map(|act| act.subject);
            tracing::warn!(forgotten, "a change of the policy will not be on record: there was no ledger for too long");
        }
        if !kept.unrecorded.is_empty() && !kept.claim.as_ref().is_some_and(Claim::is_alive) {
            kept.claim = Some(claim(run));
        }
        Some(kept)
    }

    /// Puts a valid version in force that is newer than the one that is. The change is to be announced.
    fn put_in_force(&mut self, document: &PolicyDocument, now: Timestamp) {
        if self.document.as_ref().is_some_and(|kept| kept.age() > document.age()) {
            return;
        }
        let before = self.document.replace(document.clone());
        self.unannounced.extend(before.and_then(|before| Notice::of(&before, document, now)));
        while self.unannounced.len() > WAITING_LIMIT {
            // Nobody hides a change that weakens behind many others.
            let place = self.unannounced.iter().position(|notice| notice.alert.severity == Severity::Info);
            let forgotten = self.unannounced.remove(place.unwrap_or_default()).map(|notice| notice.alert.what);
            tracing::error!(
                forgotten,
                "a change of the policy will not be announced: nobody could be notified for too long"
            );
        }
    }

    /// The state without the act that this run has recorded, and with this run's claim on the next one. `None` when there is nothing to
    /// record, or when another run is recording.
    fn recorded(&self, run: &Run, recorded: Option<&LedgerAct>) -> Option<Self> {
        let (unrecorded, claim) = advanced(run, &self.unrecorded, self.claim.as_ref(), recorded)?;
        Some(Self { unrecorded, claim, ..self.clone() })
    }

    /// The same for the notice that this run has sent. `None` also when no notice is due.
    fn announced(&self, run: &Run, sent: Option<&Notice>, now: Timestamp) -> Option<Self> {
        if sent.is_none() && self.unannounced.iter().all(|notice| notice.due > now) {
            return None;
        }
        let (unannounced, announcing) = advanced(run, &self.unannounced, self.announcing.as_ref(), sent)?;
        Some(Self { unannounced, announcing, ..self.clone() })
    }
}

/// The queue without what this run has done of it, and with this run's claim on the next. `None` when nothing waits, or when another run
/// holds the claim.
fn advanced<T: Clone + PartialEq>(
    run: &Run,
    waiting: &VecDeque<T>,
    claimed: Option<&Claim>,
    done: Option<&T>,
) -> Option<(VecDeque<T>, Option<Claim>)> {
    let is_ours = claimed.is_some_and(|claim| claim.run_id == run.id);
    if waiting.is_empty() || (!is_ours && claimed.is_some_and(Claim::is_alive)) {
        return None;
    }
    let mut waiting = waiting.clone();
    // Other runs may have added to the queue meanwhile; this is the oldest one like it.
    if let Some(place) = waiting.iter().position(|one| is_ours && Some(one) == done) {
        waiting.remove(place);
    }
    let claim = (!waiting.is_empty()).then(|| claim(run));
    Some((waiting, claim))
}

impl Claim {
    fn is_alive(&self) -> bool {
        Timestamp::now().duration_since(self.at) < CLAIM
    }
}

fn claim(run: &Run) -> Claim {
    Claim { run_id: run.id.clone(), at: Timestamp::now() }
}

fn refusal(document: &PolicyDocument, faults: &[PolicyFault]) -> Sighting {
    let named: Vec<String> = faults.iter().take(NAMED_FAULTS).map(ToString::to_string).collect();
    let more = faults.len().saturating_sub(NAMED_FAULTS);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let what = format!("version {} of the policy is refused: {}{more}", document.version, named.join("; "));
    let hint = "correct it, see `lifeboat policy check`, and push it again; until then the last valid one is in force";
    let facts = vec![("version".to_owned(), document.version.to_string())];
    Sighting { what, hint: hint.to_owned(), database: None, part: None, objects: DamagedObjects::default(), facts }
}

/// In the name of the person who changed it, as far as AWS knows.
fn act(run: &Run, document: &PolicyDocument, outcome: Outcome, facts: Facts) -> LedgerAct {
    // Not the mandate of this run, which may look at the changes of several people.
    let mandate = Mandate {
        actor: document.modified_by.clone().unwrap_or_else(|| "not known".to_owned()),
        reason: document.reason.clone().unwrap_or_else(|| "none was stated".to_owned()),
    };
    let own =
        Facts::new().with(Fact::Sha256, sha256(document.text.as_bytes())).with(Fact::ModifiedAt, document.modified_at);
    let subject = format!("policy version {}", document.version);
    LedgerAct { mandate, ..run.act_of(Act::Policy, subject, outcome, own.and(facts)) }
}
