//! Work under a lease, which only one run can hold.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{Lease, Response};
use lifeboat_vault::{HeldLease, Leases, Repository, VaultError};

use crate::error::EngineError;
use crate::run::Run;

/// A lease that is not renewed ends after this time. A killed run blocks the next one for as long.
const TIME_TO_LIVE: SignedDuration = SignedDuration::from_secs(60);

/// How often it is renewed: two renewals may fail before it ends.
const RENEW_EVERY: Duration = Duration::from_secs(20);

/// How often a waiting run asks for its turn. A small backup takes some seconds.
const ASK_EVERY: Duration = Duration::from_secs(3);

/// How long a run waits for its turn. A function is billed meanwhile, and needs the rest of its time for the work. An event asks again.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 60);

/// A lease that ends later than this was damaged, or written by a wrong clock: it is taken over, and must keep nobody out.
const LONGEST_BELIEVED: SignedDuration = SignedDuration::from_hours(1);

/// A lease that this run has. It is renewed while its work is done.
#[must_use = "a lease that is dropped keeps others out until it expires"]
pub(crate) struct RunLease {
    leases: Leases,
    held: HeldLease,
}

impl RunLease {
    /// Takes the lease `name`.
    ///
    /// # Errors
    /// [`VaultError::LeaseHeld`] says who holds the lease and until when.
    pub(crate) async fn take(run: &Run, repository: &Repository, name: &str) -> Result<Self, EngineError> {
        let leases = repository.leases()?;
        let held = leases.acquire(name, &run.id, TIME_TO_LIVE, Timestamp::now()).await?;
        Ok(Self { leases, held })
    }

    /// Takes one of the `turns` leases `<name>-<number>`, after waiting until one of them is free. Nothing is open meanwhile. A run whose time
    /// is limited waits for half of it at most, so that the other half is left for the work.
    ///
    /// # Errors
    /// [`EngineError::ServerBusy`].
    pub(crate) async fn take_turn(
        run: &Run,
        repository: &Repository,
        name: &str,
        turns: u32,
    ) -> Result<Self, EngineError> {
        let began = Instant::now();
        let patience = run.deadline.remaining().map_or(LONGEST_WAIT, |time| LONGEST_WAIT.min(time / 2));
        // The loop ends, because patience does.
        loop {
            let mut refused = None;
            for number in 1..=turns.max(1) {
                match Self::take(run, repository, &format!("{name}-{number}")).await {
                    Err(error) if error.is_lease_held() => {}
                    Err(error) if error.advice().response == Response::Retry => refused = Some(error),
                    taken => return taken,
                }
            }
            if began.elapsed() + ASK_EVERY > patience {
                let busy = EngineError::ServerBusy { turns, seconds: began.elapsed().as_secs() };
                return Err(refused.unwrap_or(busy));
            }
            if let Some(error) = refused {
                tracing::warn!(error = error.story(), "whether a turn is free is unknown; asking again");
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Does `work` while holding the lease, and gives it back. Work that loses its lease is cancelled at once.
    pub(crate) async fn hold<T>(self, work: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
        let Self { leases, mut held } = self;
        let done = tokio::select! {
            done = work => done,
            lost = keep(&leases, &mut held) => Err(lost),
        };
        // The lease is released after a failure too, so that the next run need not wait for its end.
        Self { leases, held }.give_back().await;
        done
    }

    /// Gives the lease back without any work.
    pub(crate) async fn give_back(self) {
        if let Err(error) = self.leases.release(self.held, Timestamp::now()).await {
            tracing::warn!(%error, "the lease could not be released; it expires by itself");
        }
    }
}

/// Fails when another run has the lease `name`. It takes nothing. A lease that cannot be read is left to the one who takes it.
///
/// # Errors
/// [`VaultError::LeaseHeld`].
pub(crate) async fn require_free(run: &Run, repository: &Repository, name: &str) -> Result<(), EngineError> {
    let now = Timestamp::now();
    let Ok(Some(lease)) = repository.leases()?.look(name).await else { return Ok(()) };
    let is_believed = lease.is_held(now) && lease.expires_at.duration_since(now) <= LONGEST_BELIEVED;
    if is_believed && lease.holder != run.id {
        let Lease { name, holder, expires_at, .. } = lease;
        return Err(VaultError::LeaseHeld { name, holder, expires_at }.into());
    }
    Ok(())
}

/// Renews the lease until renewing fails for good. While the lease lasts, a store that does not answer is asked again.
async fn keep(leases: &Leases, held: &mut HeldLease) -> EngineError {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        match leases.renew(held, TIME_TO_LIVE, Timestamp::now()).await {
            Ok(()) => {}
            Err(error) if error.advice().response == Response::Retry && held.lease().is_held(Timestamp::now()) => {
                tracing::warn!(%error, "the lease could not be renewed; trying again");
            }
            Err(error) => return error.into(),
        }
    }
}
