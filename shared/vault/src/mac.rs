//! What vouches for ledger entries: a MAC under a key that never leaves its service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use futures_util::future::join_all;
use lifeboat_model::Site;
use lifeboat_seal::DataKeyError;

/// How long a key is waited for: its region may be away, and the other one's suffices.
const PATIENCE: Duration = Duration::from_secs(5);

/// Length of an HMAC-SHA-256.
const MAC_BYTES: usize = 32;

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
    /// Keys that did not answer in this run, and how: none is waited for twice.
    aside: Arc<Mutex<BTreeMap<Site, String>>>,
}

/// What the keys say of the MACs of one message.
#[derive(Debug, Default)]
pub(crate) struct Vouching {
    /// Keys whose MAC it is.
    pub(crate) vouches: BTreeSet<Site>,
    /// Keys whose MAC it should be and is not.
    pub(crate) denies: BTreeSet<Site>,
    /// Keys that have a MAC there and did not answer, and how.
    pub(crate) silent: BTreeMap<Site, String>,
}

impl MacKeys {
    /// The keys that are configured.
    pub fn new(keys: impl IntoIterator<Item = (Site, Arc<dyn MacKey>)>) -> Self {
        Self { keys: keys.into_iter().collect(), aside: Arc::default() }
    }

    /// The same keys for a run of its own.
    #[must_use]
    pub fn for_run(&self) -> Self {
        Self { aside: Arc::default(), ..self.clone() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn get(&self, site: Site) -> Option<&dyn MacKey> {
        self.keys.get(&site).map(Arc::as_ref)
    }

    /// The MAC of every key that answers.
    pub(crate) async fn macs(&self, message: &[u8]) -> BTreeMap<Site, Vec<u8>> {
        let made =
            self.keys.iter().map(async |(site, key)| Some((*site, self.ask(*site, key.mac(message)).await.ok()?)));
        join_all(made).await.into_iter().flatten().collect()
    }

    /// What the keys say of `macs`. Those of keys that are not configured count for nothing.
    pub(crate) async fn judge(&self, message: &[u8], macs: &BTreeMap<Site, Vec<u8>>) -> Vouching {
        let offered = self.keys.iter().filter_map(|(site, key)| Some((*site, key, macs.get(site)?)));
        let asked = offered.map(async |(site, key, mac)| {
            let is_mac = async {
                // KMS calls any other length a wrong question and not a wrong MAC.
                if mac.len() == MAC_BYTES { key.is_mac(message, mac).await } else { Ok(false) }
            };
            (site, self.ask(site, is_mac).await)
        });
        let mut vouching = Vouching::default();
        for (site, said) in join_all(asked).await {
            match said {
                Ok(true) => drop(vouching.vouches.insert(site)),
                Ok(false) => drop(vouching.denies.insert(site)),
                Err(trouble) => drop(vouching.silent.insert(site, trouble)),
            }
        }
        vouching
    }

    /// Asks a key, unless it is set aside; sets it aside when it does not answer.
    async fn ask<T>(&self, site: Site, question: impl Future<Output = Result<T, DataKeyError>>) -> Result<T, String> {
        if let Some(trouble) = self.aside().get(&site) {
            return Err(trouble.clone());
        }
        let trouble = match tokio::time::timeout(PATIENCE, question).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} s", PATIENCE.as_secs()),
        };
        tracing::warn!(%site, trouble, "a key that vouches for the ledger is set aside for this run");
        self.aside().insert(site, trouble.clone());
        Err(trouble)
    }

    fn aside(&self) -> MutexGuard<'_, BTreeMap<Site, String>> {
        // Each change under the lock is a single insertion: a panic elsewhere has not spoiled it.
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(began.elapsed(), PATIENCE);
        assert_eq!(keys.for_run().macs(b"entry").await.len(), 1);
        assert_eq!(began.elapsed(), 2 * PATIENCE);
    }
}
