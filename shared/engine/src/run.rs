//! One run of a verb: who asked for it and why, its deadline, and its usage.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{
    Act, BackupId, DatabaseName, Fact, Facts, LedgerAct, Mandate, Meter, Outcome, Policy, Site, Usage,
};
use lifeboat_notify::SignalError;
use lifeboat_postgres::BackupLoad;
use lifeboat_vault::{Ledger, Repository, Sites};
use tokio::sync::OnceCell;

use crate::deadline::{Deadline, within};
use crate::error::EngineError;
use crate::ports::Ports;
use crate::progress::{Progress, Unwatched};

/// The time limit for writing a ledger entry, which takes a second or two. It is shorter than the claim on an alert that is sent afterwards.
const RECORD_WITHIN: Duration = Duration::from_secs(45);

/// Megabytes of a gigabyte of memory.
const MB_PER_GB: f64 = 1024.0;

/// Everything that belongs to one run of a verb, from its request to its entry in the ledger. A run that goes on in another invocation has
/// the same id.
pub struct Run {
    /// Everything outside the engine that the run uses.
    pub ports: Ports,
    /// Names the run in logs, leases and the ledger: Lambda's request id, or the CLI's own.
    pub id: String,
    /// The act that the ledger records; absent for a run that only reads.
    pub act: Option<Act>,
    /// Who asked, and why.
    pub mandate: Mandate,
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// When the platform ends the process.
    pub deadline: Deadline,
    /// When the run began.
    pub began: Instant,
    /// Receives the run's progress.
    pub progress: Arc<dyn Progress>,
    /// Whether the run fails when its result cannot be announced, so that the platform repeats it. A person at a terminal sees the result.
    pub must_notify: bool,
    tally: Tally,
    repository: OnceCell<Repository>,
}

impl Run {
    /// A run that begins now.
    pub fn begin(order: Order, ports: Ports, policy: Arc<Policy>) -> Self {
        let Order { id, act, mandate, deadline, tally } = order;
        Self {
            ports,
            id,
            act,
            mandate,
            policy,
            deadline,
            began: Instant::now(),
            progress: Unwatched::shared(),
            must_notify: true,
            tally,
            repository: OnceCell::new(),
        }
    }

    /// What backups may open on one server.
    pub(crate) fn load(&self) -> BackupLoad {
        BackupLoad { sessions: self.ports.sessions(), per_server: self.policy.per_server }
    }

    /// The repository on both sites, opened once per run.
    pub(crate) async fn repository(&self) -> Result<&Repository, EngineError> {
        let open = || async { Repository::open(self.ports.sites.clone(), Arc::clone(&self.ports.keys)).await };
        Ok(self.repository.get_or_try_init(open).await?)
    }

    /// The repository, once the run has opened it.
    pub(crate) fn opened_repository(&self) -> Option<&Repository> {
        self.repository.get()
    }

    /// The repository on both sites. When there is none, it is created, with the same document on both.
    pub(crate) async fn repository_or_new(&self, now: Timestamp) -> Result<&Repository, EngineError> {
        let open =
            || async { Repository::open_or_create(self.ports.sites.clone(), Arc::clone(&self.ports.keys), now).await };
        Ok(self.repository.get_or_try_init(open).await?)
    }

    /// The repository as it is now, for one verification. Two sites that contradict each other are no error, but a finding. It is opened anew
    /// for each database: a site that did not answer for the first may answer for the next.
    pub(crate) async fn repository_to_verify(&self) -> Result<Repository, EngineError> {
        let (sites, keys) = (self.ports.sites.clone(), Arc::clone(&self.ports.keys));
        let repository = Repository::open_to_verify(sites, keys).await?;
        let _ = self.repository.set(repository.clone());
        Ok(repository)
    }

    /// The repository on one site alone, as if the other one were lost.
    pub(crate) async fn repository_on(&self, site: Site) -> Result<Repository, EngineError> {
        let store = Some(Arc::clone(self.ports.sites.get(site)?.store()));
        let alone = match site {
            Site::Primary => Sites::new(store, None),
            Site::Offsite => Sites::new(None, store),
        };
        Ok(Repository::open(alone, Arc::clone(&self.ports.keys)).await?)
    }

    /// The audit trail. Its entries are kept as long as the policy requires.
    pub(crate) fn ledger(&self, repository: &Repository) -> Ledger {
        let days = i64::from(self.policy.retention.ledger_days);
        repository.ledger(&self.ports.macs).kept_for(SignedDuration::from_hours(24 * days))
    }

    /// An act of this run, in the name of its requester.
    pub(crate) fn act_of(&self, act: Act, subject: impl Into<String>, outcome: Outcome, facts: Facts) -> LedgerAct {
        let detail = facts.into_detail();
        LedgerAct { mandate: self.mandate.clone(), action: act, subject: subject.into(), outcome, detail }
    }

    /// Records an act in the ledger, with the run's id and its usage since the previous entry. It stops early enough to leave time for
    /// alerts. No other code appends to the ledger, and `tidy` holds that.
    ///
    /// # Errors
    /// Why the ledger cannot be written; [`EngineError::OutOfTime`].
    pub(crate) async fn record(&self, act: LedgerAct) -> Result<(), EngineError> {
        self.append(act, self.tally.take_all()).await
    }

    /// Begins a part of the run that has entries of its own. What the run has used until now is in the entry of its end.
    pub(crate) fn begin_part(&self) {
        self.tally.set_aside();
    }

    /// Records an act of such a part, with what was used since the previous entry or since the part began.
    ///
    /// # Errors
    /// As [`Run::record`].
    pub(crate) async fn record_part(&self, act: LedgerAct) -> Result<(), EngineError> {
        self.append(act, self.tally.take()).await
    }

    async fn append(&self, mut act: LedgerAct, usage: Usage) -> Result<(), EngineError> {
        act.detail.extend(usage.facts().with(Fact::RunId, &self.id).into_detail());
        let recording = async {
            let ledger = self.ledger(self.repository().await?);
            ledger.append(act, Timestamp::now()).await?;
            Ok(())
        };
        self.deadline.bound(Box::pin(within(RECORD_WITHIN, recording))).await
    }

    /// Decides whether an event or alert that could not be sent fails the run.
    ///
    /// # Errors
    /// [`EngineError::Unannounced`] when people must be notified.
    pub(crate) fn not_notified(&self, source: SignalError) -> Result<(), EngineError> {
        let error = EngineError::Unannounced(source);
        if self.must_notify {
            return Err(error);
        }
        tracing::warn!(
            error = error.story(),
            hint = error.hint(),
            "the event or alert could not be sent; the terminal shows the result"
        );
        Ok(())
    }
}

/// What a run begins with. Its usage counts from when this is made.
pub struct Order {
    id: String,
    act: Option<Act>,
    mandate: Mandate,
    deadline: Deadline,
    tally: Tally,
}

impl Order {
    /// The fields are those of [`Run`]. `meter` counts what the process asks of AWS; `memory_mb` is the function's memory, 0 where nobody
    /// is billed for it.
    pub fn new(
        id: String,
        act: Option<Act>,
        mandate: Mandate,
        deadline: Deadline,
        meter: &Meter,
        memory_mb: u32,
    ) -> Self {
        Self { id, act, mandate, deadline, tally: Tally::begin(meter, memory_mb) }
    }
}

/// What a run has asked of AWS: from one entry of the ledger to the next, so that nothing is counted twice.
struct Tally {
    meter: Meter,
    memory_mb: u32,
    counted: Mutex<Counted>,
}

struct Counted {
    /// The meter and the clock at the previous entry.
    since: (Usage, Instant),
    /// Usage before a part that has entries of its own.
    aside: Usage,
}

impl Tally {
    fn begin(meter: &Meter, memory_mb: u32) -> Self {
        let counted = Counted { since: (meter.requests(), Instant::now()), aside: Usage::default() };
        Self { meter: meter.clone(), memory_mb, counted: Mutex::new(counted) }
    }

    /// The usage since the previous call.
    fn take(&self) -> Usage {
        self.advance(&mut self.counted())
    }

    /// The same, and what was set aside.
    fn take_all(&self) -> Usage {
        let mut counted = self.counted();
        let usage = self.advance(&mut counted);
        usage + std::mem::take(&mut counted.aside)
    }

    fn set_aside(&self) {
        let mut counted = self.counted();
        let usage = self.advance(&mut counted);
        counted.aside += usage;
    }

    fn advance(&self, counted: &mut Counted) -> Usage {
        let (now, at) = (self.meter.requests(), Instant::now());
        let (before, began) = std::mem::replace(&mut counted.since, (now, at));
        Usage {
            writes: now.writes.saturating_sub(before.writes),
            reads: now.reads.saturating_sub(before.reads),
            key_requests: now.key_requests.saturating_sub(before.key_requests),
            gb_seconds: f64::from(self.memory_mb) / MB_PER_GB * at.duration_since(began).as_secs_f64(),
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest complete backup of a database on a site. One dated in the future counts as absent.
pub(crate) async fn newest_backup(
    repository: &Repository,
    database: &DatabaseName,
    site: Site,
) -> Result<Option<BackupId>, EngineError> {
    Ok(repository.newest_manifest(database, site, Timestamp::now()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_its_own_usage_and_the_end_of_the_run_has_the_rest() {
        let meter = Meter::default();
        let tally = Tally::begin(&meter, 1024);
        (0..7).for_each(|_| meter.count_write());
        tally.set_aside();
        meter.count_write();
        assert_eq!(tally.take().writes, 1, "the part");
        meter.count_read();
        let rest = tally.take_all();
        assert_eq!((rest.writes, rest.reads), (7, 1), "before and after the part");
        assert_eq!(tally.take_all().writes, 0, "nothing is counted twice");
    }
}
