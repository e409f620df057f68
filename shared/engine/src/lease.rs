//! Work under a lease, which only one run can hold.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::Response;
use lifeboat_vault::{HeldLease, Leases, Repository};

use crate::error::EngineError;

/// A lease that is not renewed ends after this time. A killed run blocks the next one for as long.
const TIME_TO_LIVE: SignedDuration = SignedDuration::from_secs(60);

/// How often it is renewed: two renewals may fail before it ends.
const RENEW_EVERY: Duration = Duration::from_secs(20);

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
    let mut held = leases.acquire(name, holder, TIME_TO_LIVE, Timestamp::now()).await?;
    let done = tokio::select! {
        done = work => done,
        lost = keep(&leases, &mut held) => Err(lost),
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
