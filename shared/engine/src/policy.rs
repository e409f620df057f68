//! Policy: which one is in force, and that each change of it is on record.
//!
//! The users' document is the source; what was good of it last is kept in the repository. A document that is none takes nothing
//! down: the last good one stays in force, and somebody is told.

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

/// How long the last good policy is waited for. Every run asks, and the default will do.
const READ_WITHIN: Duration = Duration::from_secs(6);

/// Whoever wanted to put a change on record and has not done so after this time has died.
const RECORDING: SignedDuration = SignedDuration::from_secs(120);

/// Versions that wait to be put on record, at most: what a parameter keeps of its history.
const UNRECORDED_LIMIT: usize = 100;

/// `state/policy.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Kept {
    /// The last good document.
    document: Option<PolicyDocument>,
    /// The newest version that is on record or among the next.
    seen: Option<PolicyAge>,
    /// The SHA-256 of the last good one of these.
    good_sha256: Option<String>,
    /// What is not on record yet, the oldest first. Before the first backup there is no trail.
    unrecorded: VecDeque<LedgerAct>,
    /// Who is putting it there.
    claim: Option<Claim>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claim {
    run_id: String,
    at: Timestamp,
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Adopted {
    /// It is what was in force already.
    Unchanged,
    /// It is in force from now on.
    New,
    /// It is none; what was in force stays so.
    Refused(Vec<PolicyFault>),
}

/// The policy that is in force with `document` in its place. Absent, it cannot be had or has no place here: then the last good one
/// counts. Changes nothing.
pub async fn policy_in_force(sites: &Sites, document: Option<&PolicyDocument>) -> Policy {
    if let Some(Ok(policy)) = document.map(|document| Policy::from_toml(&document.text)) {
        return policy;
    }
    let reading = async { Ok(States::new(sites).read::<Kept>(POLICY).await?.value) };
    let kept = within(READ_WITHIN, Box::pin(reading)).await.unwrap_or_else(|error| {
        tracing::warn!(error = error.story(), "the last good policy cannot be read");
        None
    });
    let kept = kept.and_then(|kept| kept.document).and_then(|kept| Policy::from_toml(&kept.text).ok());
    tracing::info!(default = kept.is_none(), "the policy has no place here, or is none; the last good one is in force");
    kept.unwrap_or_default()
}

/// Takes the newest of the versions that are good into force, when it is newer than what is. Each version is on record once the history
/// can be had; and a refusal of the one in place is an incident, as is that it cannot be had (`Err`: why, and what to do). Idempotent,
/// whoever does it at the same time.
///
/// # Errors
/// What keeps the state from being read or written, or a change from being put on record: the next look tries again.
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
    let told = incidents::send(run, change.as_slice()).await;
    let incident = change.map(|change| change.to_string());
    let is_new = match versions {
        Ok(versions) => keep(run, versions, incident).await?,
        Err(_) => false,
    };
    put_on_record_what_is_not(run).await?;
    told.map(|()| match faults {
        Some(faults) => Adopted::Refused(faults),
        None if is_new => Adopted::New,
        None => Adopted::Unchanged,
    })
}

/// Keeps what is to be in force, and with it what must be put on record. Whether something else is in force than before.
async fn keep(run: &Run, versions: &PolicyVersions, incident: Option<String>) -> Result<bool, EngineError> {
    let PolicyVersions { in_place, history } = versions;
    let states = States::new(&run.ports.sites);
    let state = states.read::<Kept>(POLICY).await?;
    let before = state.value.clone().unwrap_or_default();
    let mut kept = before.clone();
    let unseen = history.iter().flatten().filter(|document| Some(document.age()) > before.seen);
    for document in unseen {
        let before_sha256 = kept.good_sha256.clone().unwrap_or_else(|| "none".to_owned());
        let mut facts = Facts::new().with(Fact::BeforeSha256, before_sha256);
        let is_good = Policy::from_toml(&document.text).is_ok();
        if is_good {
            kept.document = Some(document.clone());
            kept.good_sha256 = Some(sha256(document.text.as_bytes()).to_string());
        } else if document.version == in_place.version {
            facts = facts.with_some(Fact::Incident, incident.as_ref());
        }
        let outcome = if is_good { Outcome::Completed } else { Outcome::Failed };
        kept.unrecorded.push_back(act(run, document, outcome, facts));
        kept.seen = Some(document.age());
    }
    // Without the history it is in force, and goes on record when that can be had.
    let is_newer = kept.document.as_ref().is_none_or(|kept| kept.age() < in_place.age());
    if history.is_none() && is_newer && Policy::from_toml(&in_place.text).is_ok() {
        kept.document = Some(in_place.clone());
    }
    if (kept.seen, &kept.document) == (before.seen, &before.document) {
        return Ok(false);
    }
    while kept.unrecorded.len() > UNRECORDED_LIMIT {
        let forgotten = kept.unrecorded.pop_front().map(|act| act.subject);
        tracing::warn!(forgotten, "a change of the policy will not be on record: there was no trail for too long");
    }
    if !kept.unrecorded.is_empty() && !kept.claim.as_ref().is_some_and(Claim::lives) {
        kept.claim = Some(claim(run));
    }
    let text_of = |kept: &Kept| kept.document.as_ref().map(|document| document.text.clone());
    // Whoever was faster sees to the rest.
    Ok(states.replace(POLICY, state, &kept).await? && text_of(&kept) != text_of(&before))
}

/// One after another, each under this run's claim: of a run that dies, the next one repeats an entry at most.
async fn put_on_record_what_is_not(run: &Run) -> Result<(), EngineError> {
    let states = States::new(&run.ports.sites);
    let mut recorded = None;
    for _ in 0..=UNRECORDED_LIMIT {
        let state = states.read::<Kept>(POLICY).await?;
        let mut kept = state.value.clone().unwrap_or_default();
        let Some(act) = kept.unrecorded.front().cloned() else { return Ok(()) };
        match &kept.claim {
            Some(claim) if claim.run_id == run.id => {
                // When others have added to the queue meanwhile, it is still in front, and on record.
                if recorded.as_ref() != Some(&act) {
                    match run.record(act.clone()).await {
                        Ok(()) => recorded = Some(act),
                        // There is no trail yet: the first look after the first backup puts it there.
                        Err(EngineError::Vault(VaultError::NoRepository)) => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
                kept.unrecorded.pop_front();
            }
            Some(claim) if claim.lives() => return Ok(()),
            _ => {}
        }
        kept.claim = (!kept.unrecorded.is_empty()).then(|| claim(run));
        states.replace(POLICY, state, &kept).await?;
    }
    Ok(())
}

impl Claim {
    fn lives(&self) -> bool {
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
    let hint = "correct it, see `lifeboat policy check`, and push it again; until then the last good one is in force";
    let facts = vec![("version".to_owned(), document.version.to_string())];
    Sighting { what, hint: hint.to_owned(), database: None, part: None, facts }
}

/// In the name of whoever changed it: AWS says who that was.
fn act(run: &Run, document: &PolicyDocument, outcome: Outcome, facts: Facts) -> LedgerAct {
    // Neither the one nor the other is of whoever looks: they may look at what several people changed.
    let mandate = Mandate {
        actor: document.modified_by.clone().unwrap_or_else(|| "not known".to_owned()),
        reason: document.reason.clone().unwrap_or_else(|| "none was stated".to_owned()),
    };
    let own =
        Facts::new().with(Fact::Sha256, sha256(document.text.as_bytes())).with(Fact::ModifiedAt, document.modified_at);
    let subject = format!("policy version {}", document.version);
    LedgerAct { mandate, ..run.act_of(Act::Policy, subject, outcome, own.and(facts)) }
}
