//! The keys that vouch for ledger entries by a MAC. A key never leaves its service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use lifeboat_model::Site;
use lifeboat_seal::DataKeyError;

/// How long a key is waited for: its region may be away, and the other one's suffices.
const PATIENCE: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(5) };

/// Failures in a row after which a key is not asked again in a run: one that is throttled comes back, a region that is away does not.
const FAILURES_IN_A_ROW: u32 = 3;

/// Length of an HMAC-SHA-256.
const MAC_BYTES: usize = 32;

/// A key that makes MACs and checks them.
#[async_trait]
pub trait MacKey: Send + Sync {
    /// Its name in entries, which never changes: the ARN of a KMS key.
    fn id(&self) -> &str;

    /// The MAC of `message`, which has at most 4,096 bytes.
    async fn mac(&self, message: &[u8]) -> Result<Vec<u8>, DataKeyError>;

    /// Whether `mac` is the MAC of `message`.
    async fn is_mac(&self, message: &[u8], mac: &[u8]) -> Result<bool, DataKeyError>;
}

/// The MAC keys of the sites. With the one of a site alone, what that site's vouches for can be checked when the other region is
/// gone.
#[derive(Clone, Default)]
pub struct MacKeys {
    keys: BTreeMap<Site, Arc<dyn MacKey>>,
    /// Keys that did not answer in this run, and how.
    aside: Arc<Mutex<BTreeMap<Site, Trouble>>>,
}

/// Why a key did not answer, and how often in a row.
#[derive(Debug)]
struct Trouble {
    what: String,
    failures: u32,
}

impl Trouble {
    /// When it is not to be asked again in this run.
    fn for_good(&self) -> Option<String> {
        (self.failures >= FAILURES_IN_A_ROW).then(|| self.what.clone())
    }
}

/// The judgement of the keys on the MACs of one message.
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

    /// The same keys for another run: none is set aside.
    #[must_use]
    pub fn for_run(&self) -> Self {
        Self { aside: Arc::default(), ..self.clone() }
    }

    /// Whether no key is configured.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn get(&self, site: Site) -> Option<&dyn MacKey> {
        self.keys.get(&site).map(Arc::as_ref)
    }

    /// The MACs of all keys that answer, by the keys' ids. `message` gets the ids of these keys. Each MAC covers them, so that
    /// no MAC can be removed later. Empty when no key answers.
    pub(crate) async fn macs(&self, message: impl Fn(&BTreeSet<&str>) -> Vec<u8>) -> BTreeMap<String, Vec<u8>> {
        // Each round asks the keys that are left.
        let mut left = BTreeSet::new();
        for _ in 0..=self.keys.len() {
            let asked: Vec<(Site, &Arc<dyn MacKey>)> =
                self.keys.iter().map(|(site, key)| (*site, key)).filter(|(site, _)| !left.contains(site)).collect();
            let message = message(&asked.iter().map(|(_, key)| key.id()).collect());
            let made = asked.iter().map(async |(site, key)| {
                let mac = self.ask(*site, key.mac(&message)).await;
                (*site, mac.map(|mac| (key.id().to_owned(), mac)))
            });
            let (macs, silent): (Vec<_>, Vec<_>) = join_all(made).await.into_iter().partition(|(_, made)| made.is_ok());
            if silent.is_empty() {
                return macs.into_iter().filter_map(|(_, made)| made.ok()).collect();
            }
            left.extend(silent.into_iter().map(|(site, _)| site));
        }
        BTreeMap::new()
    }

    /// The judgement of the keys on `macs`, which are by the keys' ids. MACs of keys that are not configured do not count.
    pub(crate) async fn judge(&self, message: &[u8], macs: &BTreeMap<String, Vec<u8>>) -> Vouching {
        let offered = self.keys.iter().filter_map(|(site, key)| Some((*site, key, macs.get(key.id())?)));
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

    /// Why the keys that are set aside are.
    pub(crate) fn troubles(&self) -> String {
        if self.keys.is_empty() {
            return "no key is configured".to_owned();
        }
        let troubles: Vec<String> =
            self.aside().iter().map(|(site, trouble)| format!("{site}: {}", trouble.what)).collect();
        troubles.join("; ")
    }

    /// Asks a key, unless it is set aside; sets it aside when it fails several times in a row, or says no for good.
    async fn ask<T>(&self, site: Site, question: impl Future<Output = Result<T, DataKeyError>>) -> Result<T, String> {
        if let Some(trouble) = self.aside().get(&site).and_then(Trouble::for_good) {
            return Err(trouble);
        }
        let (trouble, is_final) = match tokio::time::timeout(PATIENCE, question).await {
            Ok(Ok(answer)) => {
                self.aside().remove(&site);
                return Ok(answer);
            }
            // About this question alone.
            Ok(Err(error @ DataKeyError::Rejected { .. })) => return Err(error.to_string()),
            Ok(Err(error)) => (error.to_string(), !error.is_retryable()),
            Err(_) => (format!("no answer in {} s", PATIENCE.as_secs()), false),
        };
        let mut aside = self.aside();
        let failures = aside.get(&site).map_or(0, |trouble| trouble.failures).saturating_add(1);
        let failures = if is_final { FAILURES_IN_A_ROW } else { failures };
        tracing::warn!(%site, trouble, failures, "a key that vouches for the ledger does not answer");
        aside.insert(site, Trouble { what: trouble.clone(), failures });
        Err(trouble)
    }

    fn aside(&self) -> MutexGuard<'_, BTreeMap<Site, Trouble>> {
        // Each change under the lock is a single insertion: a panic elsewhere has not spoiled it.
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use super::*;

    /// Never answers, and counts how often it is asked.
    #[derive(Default)]
    struct Silent {
        asked: AtomicU32,
    }

    #[async_trait]
    impl MacKey for Silent {
        fn id(&self) -> &str {
            "silent"
        }

        async fn mac(&self, _: &[u8]) -> Result<Vec<u8>, DataKeyError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            std::future::pending().await
        }

        async fn is_mac(&self, _: &[u8], _: &[u8]) -> Result<bool, DataKeyError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            std::future::pending().await
        }
    }

    /// Answers with the message itself.
    struct Echo;

    #[async_trait]
    impl MacKey for Echo {
        fn id(&self) -> &str {
            "near"
        }

        async fn mac(&self, message: &[u8]) -> Result<Vec<u8>, DataKeyError> {
            Ok(message.iter().copied().chain(std::iter::repeat(0)).take(MAC_BYTES).collect())
        }

        async fn is_mac(&self, message: &[u8], mac: &[u8]) -> Result<bool, DataKeyError> {
            Ok(self.mac(message).await? == mac)
        }
    }

    #[tokio::test]
    async fn a_region_that_is_away_is_waited_for_three_times_in_a_run_and_no_more() {
        let silent = Arc::new(Silent::default());
        let asked = || silent.asked.load(Ordering::Relaxed);
        let keys: [(Site, Arc<dyn MacKey>); 2] = [(Site::Primary, Arc::new(Echo)), (Site::Offsite, silent.clone())];
        let keys = MacKeys::new(keys);
        let began = Instant::now();
        for _ in 0..5 {
            // The MAC that counts is of a message that names the key that made it, and no other.
            let macs = keys.macs(|ids| format!("{ids:?}").into_bytes()).await;
            let vouching = keys.judge(br#"{"near"}"#, &macs).await;
            assert_eq!((macs.len(), vouching.vouches), (1, [Site::Primary].into()));
        }
        assert_eq!(asked(), 3);
        assert_eq!(keys.for_run().macs(|_| b"entry".to_vec()).await.len(), 1);
        assert_eq!(asked(), 4);
        assert!(began.elapsed() >= 4 * PATIENCE);
    }
}
