//! Doing something as the only one.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::Response;
use lifeboat_vault::{HeldLease, Leases, Repository};

use crate::error::EngineError;

/// A lease that is not renewed ends after this time: so long does a killed run keep the next one out.
const TIME_TO_LIVE: SignedDuration = SignedDuration::from_secs(60);

/// How often it is renewed: two renewals may fail before it ends.
const RENEW_EVERY: Duration = Duration::from_secs(20);

/// Does `work` while holding the lease `name` for `holder`. Work that loses its lease is dropped where it stands.
///
/// # Errors
/// [`VaultError::LeaseHeld`](lifeboat_vault::VaultError::LeaseHeld) says by whom and until when; then `work` has not begun.
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
    // Also when the work has failed: the next run need not wait until the lease ends by itself.
    if let Err(error) = leases.release(held, Timestamp::now()).await {
        tracing::warn!(%error, "the lease could not be given back; it ends by itself");
    }
    done
}

/// Renews the lease until that fails for good; a store that does not answer is asked again while the lease lasts.
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
