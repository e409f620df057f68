//! Work under a lease, which only one run can hold.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::Response;
use lifeboat_vault::{HeldLease, Leases, Repository, VaultError};

use crate::error::EngineError;
use crate::run::Run;

/// A lease that is not renewed ends after this time. A killed run blocks the next one for as long.
const TIME_TO_LIVE: SignedDuration = SignedDuration::from_secs(60);

/// How often it is renewed: two renewals may fail before it ends.
const RENEW_EVERY: Duration = Duration::from_secs(20);

/// How often a waiting run asks for its turn. A small backup takes some seconds.
const ASK_EVERY: Duration = Duration::from_secs(3);

/// How long a run waits for its turn. A function is billed meanwhile, and an event can ask again for less.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);

/// Does `work` while holding the lease `name` for `holder`. Work that loses its lease is cancelled at once.
///
/// # Errors
/// [`VaultError::LeaseHeld`](lifeboat_vault::VaultError::LeaseHeld) says who holds the lease and until when. `work` has not begun then.
pub(crate) async fn under_lease<T>(
    repository: &Repository,
    name: &str,
    holder: &str,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let leases = repository.leases()?;
    let held = leases.acquire(name, holder, TIME_TO_LIVE, Timestamp::now()).await?;
    holding(&leases, held, work).await
}

/// Does `work` while holding one of the `turns` leases `<name>-<number>`, after waiting until one of them is free. Nothing is open meanwhile.
/// A run whose time is limited waits for half of it at most, so that the other half is left for the work.
///
/// # Errors
/// [`EngineError::ServerBusy`]; `work` has not begun then.
pub(crate) async fn in_turn<T>(
    run: &Run,
    repository: &Repository,
    name: &str,
    turns: u32,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let (leases, began) = (repository.leases()?, Instant::now());
    let patience = run.deadline.remaining().map_or(LONGEST_WAIT, |time| LONGEST_WAIT.min(time / 2));
    // The loop ends, because patience does.
    loop {
        for number in 1..=turns.max(1) {
            match leases.acquire(&format!("{name}-{number}"), &run.id, TIME_TO_LIVE, Timestamp::now()).await {
                Ok(held) => return holding(&leases, held, work).await,
                Err(VaultError::LeaseHeld { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if began.elapsed() + ASK_EVERY > patience {
            return Err(EngineError::ServerBusy { turns, seconds: began.elapsed().as_secs() });
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn holding<T>(
    leases: &Leases,
    mut held: HeldLease,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let done = tokio::select! {
        done = work => done,
        lost = keep(leases, &mut held) => Err(lost),
    };
    // The lease is released after a failure too, so that the next run need not wait for its end.
    if let Err(error) = leases.release(held, Timestamp::now()).await {
        tracing::warn!(%error, "the lease could not be released; it expires by itself");
    }
    done
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
