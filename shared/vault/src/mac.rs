//! What vouches for ledger entries: a MAC under a key that never leaves its service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use lifeboat_model::Site;
use lifeboat_seal::DataKeyError;

/// How long an act waits for the MAC of the other site, whose region may be away. The chain goes on without it.
const OFFSITE_PATIENCE: Duration = Duration::from_secs(5);

/// A key that makes MACs and checks them.
#[async_trait]
pub trait MacKey: Send + Sync {
    /// The MAC of `message`, which has at most 4,096 bytes.
    async fn mac(&self, message: &[u8]) -> Result<Vec<u8>, DataKeyError>;

    /// Whether `mac` is the MAC of `message`.
    async fn is_mac(&self, message: &[u8], mac: &[u8]) -> Result<bool, DataKeyError>;
}

/// A key in memory: HMAC-SHA-256. For tests.
pub struct HmacKey(hmac::Key);

impl HmacKey {
    /// A key of these bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

#[async_trait]
impl MacKey for HmacKey {
    async fn mac(&self, message: &[u8]) -> Result<Vec<u8>, DataKeyError> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }

    async fn is_mac(&self, message: &[u8], mac: &[u8]) -> Result<bool, DataKeyError> {
        Ok(hmac::verify(&self.0, message, mac).is_ok())
    }
}

/// The MAC keys of the sites. With the one of a site alone, what that site's vouches for can be checked when the other region is
/// gone.
#[derive(Clone, Default)]
pub struct MacKeys {
    keys: BTreeMap<Site, Arc<dyn MacKey>>,
    /// Whether the off-site's did not answer in this run: it is not waited for twice.
    offsite_is_aside: Arc<AtomicBool>,
}

impl MacKeys {
    /// The keys that are configured.
    pub fn new(keys: impl IntoIterator<Item = (Site, Arc<dyn MacKey>)>) -> Self {
        Self { keys: keys.into_iter().collect(), offsite_is_aside: Arc::default() }
    }

    /// The same keys for a run of its own.
    #[must_use]
    pub fn for_run(&self) -> Self {
        Self { offsite_is_aside: Arc::default(), ..self.clone() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn get(&self, site: Site) -> Option<&dyn MacKey> {
        self.keys.get(&site).map(Arc::as_ref)
    }

    /// The MAC of every key that answers. One that does not is logged: an act without MACs on record is more than none, and
    /// whoever verifies the ledger is told.
    pub(crate) async fn macs(&self, message: &[u8]) -> BTreeMap<Site, Vec<u8>> {
        let (primary, offsite) = tokio::join!(self.primary_mac(message), self.offsite_mac(message));
        let macs = [(Site::Primary, primary), (Site::Offsite, offsite)];
        macs.into_iter().filter_map(|(site, mac)| Some((site, mac?))).collect()
    }

    async fn primary_mac(&self, message: &[u8]) -> Option<Vec<u8>> {
        let made = self.get(Site::Primary)?.mac(message).await;
        made.inspect_err(|error| tracing::error!(%error, "the primary's key does not vouch for a ledger entry")).ok()
    }

    async fn offsite_mac(&self, message: &[u8]) -> Option<Vec<u8>> {
        let key = self.get(Site::Offsite).filter(|_| !self.offsite_is_aside.load(Ordering::Relaxed))?;
        let trouble = match tokio::time::timeout(OFFSITE_PATIENCE, key.mac(message)).await {
            Ok(Ok(mac)) => return Some(mac),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} s", OFFSITE_PATIENCE.as_secs()),
        };
        tracing::warn!(trouble, "the off-site's key does not vouch for a ledger entry");
        self.offsite_is_aside.store(true, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    #[async_trait]
    impl MacKey for Silent {
        async fn mac(&self, _: &[u8]) -> Result<Vec<u8>, DataKeyError> {
            std::future::pending().await
        }

        async fn is_mac(&self, _: &[u8], _: &[u8]) -> Result<bool, DataKeyError> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn a_mac_is_that_of_rfc_4231_and_of_no_other_message() {
        let key = HmacKey::new(b"Jefe");
        let mac = key.mac(b"what do ya want for nothing?").await.unwrap();
        assert_eq!(hex::encode(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(key.is_mac(b"what do ya want for nothing?", &mac).await.unwrap());
        assert!(!key.is_mac(b"what do ya want for nothing!", &mac).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_region_that_is_away_is_waited_for_once() {
        let keys: [(Site, Arc<dyn MacKey>); 2] =
            [(Site::Primary, Arc::new(HmacKey::new(b"near"))), (Site::Offsite, Arc::new(Silent))];
        let keys = MacKeys::new(keys);
        let began = tokio::time::Instant::now();
        for _ in 0..3 {
            let macs = keys.macs(b"entry").await;
            assert_eq!(macs.keys().copied().collect::<Vec<_>>(), [Site::Primary]);
        }
        assert_eq!(began.elapsed(), OFFSITE_PATIENCE);
        assert_eq!(keys.for_run().macs(b"entry").await.len(), 1);
        assert_eq!(began.elapsed(), 2 * OFFSITE_PATIENCE);
    }
}
