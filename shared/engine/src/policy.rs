//! Policy: which one is in force, and that each change of it is on record.
//!
//! The users' document is the source; its last valid version is kept in the repository. An invalid document takes nothing down: the last
//! valid version stays in force, and people are notified.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{
    Act, AlertKind, Cleared, Fact, Facts, IncidentName, IncidentSubject, LedgerAct, Mandate, Outcome, Policy,
    PolicyAge, PolicyDocument, PolicyFault, PolicyVersions, Sighting, Wrong,
};
use lifeboat_vault::{Sites, States, VaultError, sha256};
use serde::{Deserialize, Serialize};

use crate::deadline::within;
use crate::error::EngineError;
use crate::incidents;
use crate::run::Run;

/// The state's name.
const POLICY: &str = "policy";

/// Faults that an alert names; the others are counted.
const NAMED_FAULTS: usize = 3;

/// How long the last valid policy is waited for. Every run asks for it, and the default will do.
const READ_WITHIN: Duration = Duration::from_secs(6);

/// A run that claims to record a change and has not done so after this time has died.
const RECORDING: SignedDuration = SignedDuration::from_secs(120);

/// Versions that wait to be put on record, at most: as many as a parameter keeps.
const UNRECORDED_LIMIT: usize = 100;

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
    let kept = kept.and_then(|kept| kept.document).and_then(|kept| Policy::from_toml(&kept.text).ok());
    tracing::info!(
        default = kept.is_none(),
        "the policy is not configured here, unavailable or invalid; the last valid one is in force"
    );
    kept.unwrap_or_default()
}

/// Puts the newest valid version in force, when it is newer than the one that is. Each version goes on record as soon as the history is
/// available. An invalid current version is an incident, and so is an unavailable one (`Err`: why, and what to do). Idempotent, also when
/// several runs do it at the same time.
///
/// # Errors
/// What keeps the state from being read or written, or a change from being put on record: the next health check tries again.
/// [`EngineError::Unannounced`].
pub async fn adopt_policy(run: &Run, versions: Result<&PolicyVersions, &Wrong>) -> Result<Adopted, EngineError> {
    let name = IncidentName::new(AlertKind::PolicyRefused, IncidentSubject::Repository);
    let faults = versions.ok().and_then(|versions| Policy::from_toml(&versions.in_place.text).err());
    let wrong = match (versions, &faults) {
        (Err(Wrong { what, hint }), _) => {
            let (what, hint) = (what.clone(), hint.clone());
            Some(Sighting { what, hint, database: None, part: None, facts: Vec::new() })
        }
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
    record_waiting(run).await?;
    notified.map(|()| match faults {
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
    for _ in 0..=UNRECORDED_LIMIT {
        let changed = states.change(POLICY, |kept: Option<&Kept>| kept?.advanced(run, recorded.as_ref())).await?;
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

impl Kept {
    /// The state after these versions were seen; `None` when none of them is new.
    fn with(&self, run: &Run, versions: &PolicyVersions, incident: Option<&str>) -> Option<Self> {
        let PolicyVersions { in_place, history } = versions;
        let mut kept = self.clone();
        let unseen = history.iter().flatten().filter(|document| Some(document.age()) > self.seen);
        for document in unseen {
            let before_sha256 = kept.good_sha256.clone().unwrap_or_else(|| "none".to_owned());
            let mut facts = Facts::new().with(Fact::BeforeSha256, before_sha256);
            let is_good = Policy::from_toml(&document.text).is_ok();
            if is_good {
                kept.document = Some(document.clone());
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
            kept.document = Some(in_place.clone());
        }
        if (kept.seen, &kept.document) == (self.seen, &self.document) {
            return None;
        }
        while kept.unrecorded.len() > UNRECORDED_LIMIT {
            let forgotten = kept.unrecorded.pop_front().map(|act| act.subject);
            tracing::warn!(forgotten, "a change of the policy will not be on record: there was no ledger for too long");
        }
        if !kept.unrecorded.is_empty() && !kept.claim.as_ref().is_some_and(Claim::is_alive) {
            kept.claim = Some(claim(run));
        }
        Some(kept)
    }

    /// The state without the act that this run has recorded, and with this run's claim on the next one. `None` when there is nothing to
    /// record, or when another run is recording.
    fn advanced(&self, run: &Run, recorded: Option<&LedgerAct>) -> Option<Self> {
        let is_ours = self.claim.as_ref().is_some_and(|claim| claim.run_id == run.id);
        if self.unrecorded.is_empty() || (!is_ours && self.claim.as_ref().is_some_and(Claim::is_alive)) {
            return None;
        }
        let mut next = self.clone();
        // Other runs may have added to the queue meanwhile: what is recorded is still in front.
        if is_ours && recorded.is_some() && next.unrecorded.front() == recorded {
            next.unrecorded.pop_front();
        }
        next.claim = (!next.unrecorded.is_empty()).then(|| claim(run));
        Some(next)
    }
}

impl Claim {
    fn is_alive(&self) -> bool {
        Timestamp::now().duration_since(self.at) < RECORDING
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
    Sighting { what, hint: hint.to_owned(), database: None, part: None, facts }
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
