//! How often a key service is asked, and for whom an answer counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use lifeboat_seal::{
    CachedDataKeys, DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey,
    RawAesDataKeys, RawAesKey, Sealer, open,
};
use tokio::sync::Semaphore;

/// A key service that counts, can be made to fail, and answers only as often as the gate lets it.
struct Service {
    inner: RawAesDataKeys,
    asked: AtomicUsize,
    away: AtomicBool,
    gate: Semaphore,
}

impl Service {
    fn open() -> Arc<Self> {
        let service = Self::gated();
        service.gate.add_permits(1_000_000);
        service
    }

    fn gated() -> Arc<Self> {
        let inner = RawAesDataKeys::new(vec![RawAesKey::new("lifeboat", "primary", &[1; 32]).unwrap()]).unwrap();
        Arc::new(Self { inner, asked: AtomicUsize::new(0), away: AtomicBool::new(false), gate: Semaphore::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl DataKeys for Service {
    async fn generate(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        self.inner.generate(context).await
    }

    async fn decrypt(&self, context: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        if self.away.load(Ordering::SeqCst) {
            let source = Arc::new(std::io::Error::other("timed out"));
            return Err(DataKeyError::Unavailable { key: "primary".into(), source });
        }
        self.inner.decrypt(context, keys).await
    }

    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        self.inner.entry_of_each(keys)
    }
}

fn context() -> EncryptionContext {
    EncryptionContext::from_pairs([("repository", "clinic")]).unwrap()
}

#[tokio::test]
async fn a_hundred_messages_of_one_run_ask_the_service_once() {
    let service = Service::open();
    let sealer = Sealer::new(service.generate(&context()).await.unwrap(), &context()).unwrap();
    let cached = CachedDataKeys::new(Arc::clone(&service));
    for i in 0..100u8 {
        let (mut message, mut opened) = (Vec::new(), Vec::new());
        sealer.seal(&[i], &mut message).unwrap();
        open(&message, &cached, &mut opened).await.unwrap();
        assert_eq!(opened, [i]);
    }
    assert_eq!(service.asked(), 1);
}

#[tokio::test]
async fn readers_at_the_same_time_ask_once_and_share_the_answer() {
    let service = Service::gated();
    let keys = service.generate(&context()).await.unwrap().encrypted;
    let cached = Arc::new(CachedDataKeys::new(Arc::clone(&service)));
    let readers = spawn_readers(&cached, &keys, 50).await;
    service.gate.add_permits(1);
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    assert_eq!(service.asked(), 1);
}

#[tokio::test]
async fn a_failure_is_shared_by_those_who_waited_and_then_forgotten() {
    let service = Service::gated();
    let keys = service.generate(&context()).await.unwrap().encrypted;
    let cached = Arc::new(CachedDataKeys::new(Arc::clone(&service)));
    service.away.store(true, Ordering::SeqCst);
    let readers = spawn_readers(&cached, &keys, 20).await;
    service.gate.add_permits(1);
    for reader in readers {
        assert!(reader.await.unwrap().unwrap_err().is_retryable());
    }
    assert_eq!(service.asked(), 1);

    service.away.store(false, Ordering::SeqCst);
    service.gate.add_permits(1);
    cached.decrypt(&context(), &keys).await.unwrap();
    assert_eq!(service.asked(), 2);
}

#[tokio::test]
async fn when_the_reader_that_asks_goes_away_another_asks_in_its_place() {
    let service = Service::gated();
    let keys = service.generate(&context()).await.unwrap().encrypted;
    let cached = Arc::new(CachedDataKeys::new(Arc::clone(&service)));
    let mut readers = spawn_readers(&cached, &keys, 2).await;
    let first = readers.remove(0);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    service.gate.add_permits(1);
    readers.remove(0).await.unwrap().unwrap();
    assert_eq!(service.asked(), 2);
}

#[tokio::test]
async fn an_answer_counts_only_for_the_same_entries_in_the_same_context() {
    let service = Service::open();
    let keys = service.generate(&context()).await.unwrap().encrypted;
    let cached = CachedDataKeys::new(Arc::clone(&service));
    cached.decrypt(&context(), &keys).await.unwrap();
    let mut altered = keys.clone();
    altered[0].ciphertext[0] ^= 1;
    assert!(cached.decrypt(&context(), &altered).await.is_err());
    assert!(cached.decrypt(&EncryptionContext::new(), &keys).await.is_err());
    assert_eq!(service.asked(), 3);
}

#[tokio::test]
async fn a_full_cache_forgets_the_key_unused_for_longest() {
    let service = Service::open();
    let cached = CachedDataKeys::with_limit(Arc::clone(&service), 2);
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(service.generate(&context()).await.unwrap().encrypted);
    }
    for (run, asked) in [(0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (1, 4), (0, 4), (2, 5)] {
        cached.decrypt(&context(), &runs[run]).await.unwrap();
        assert_eq!(service.asked(), asked, "run {run}");
    }
}

type Reader = tokio::task::JoinHandle<Result<DataKey, DataKeyError>>;

/// Readers of the same key that have all come as far as they can.
async fn spawn_readers(
    cached: &Arc<CachedDataKeys<Arc<Service>>>,
    keys: &[EncryptedDataKey],
    count: usize,
) -> Vec<Reader> {
    let spawn = |_| {
        let (cached, keys) = (Arc::clone(cached), keys.to_vec());
        tokio::spawn(async move { cached.decrypt(&context(), &keys).await })
    };
    let readers = (0..count).map(spawn).collect();
    // On one thread, each of them runs once up to where it waits.
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
    readers
}
