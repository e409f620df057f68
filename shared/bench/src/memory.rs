//! A store in memory: the reference for other stores, and the store of most tests.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use lifeboat_model::Sha256;

use lifeboat_vault::{
    BodySink, DefaultLock, KeyPage, NewObject, ObjectHead, ObjectStore, PAGE_KEYS, Protection, PutCondition,
    ReadObject, StoreError, Version, sha256,
};

/// The sizes of the first piece that a reader gets and of the next ones. A network delivers no body in one piece, and cuts it anywhere.
const FIRST_PIECE_BYTES: usize = 61;
const PIECE_BYTES: usize = 4093;

/// Objects in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    writes: u64,
    /// Absent: that of a bucket of the templates.
    protection: Option<Protection>,
}

#[derive(Clone)]
struct Object {
    body: Bytes,
    sha256: Sha256,
    mark: Option<String>,
    version: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how the store says that it protects its objects. It does not protect any.
    pub fn protect(&self, protection: Protection) {
        self.lock().protection = Some(protection);
    }

    /// The keys that begin with `prefix`, in order.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.lock().objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// The current bytes of an object.
    pub fn bytes(&self, key: &str) -> Option<Bytes> {
        self.lock().objects.get(key).map(|object| object.body.clone())
    }

    /// Damages an object as a disk would: flips one bit of the byte at `offset`, and keeps the checksum that the store computed
    /// on arrival. Returns whether this byte exists.
    pub fn flip_bit(&self, key: &str, offset: usize, bit: u32) -> bool {
        self.damage(key, |body| body.get_mut(offset).map(|byte| *byte ^= 1 << (bit % 8)).is_some())
    }

    /// Damages an object by cutting off its end. Returns whether there was anything to cut.
    pub fn truncate(&self, key: &str, len: usize) -> bool {
        self.damage(key, |body| {
            let longer = body.len() > len;
            body.truncate(len);
            longer
        })
    }

    /// Replaces an object with other bytes, as somebody with write permission could. The checksum is that of the new bytes,
    /// and the mark stays.
    pub fn replace(&self, key: &str, body: impl Into<Bytes>) {
        let body = body.into();
        let mut state = self.lock();
        state.writes += 1;
        let version = state.writes;
        let mark = state.objects.get(key).and_then(|object| object.mark.clone());
        let object = Object { sha256: sha256(&body), body, mark, version };
        state.objects.insert(key.to_owned(), object);
    }

    /// Deletes an object. Returns whether it existed.
    pub fn remove(&self, key: &str) -> bool {
        self.lock().objects.remove(key).is_some()
    }

    fn damage(&self, key: &str, change: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let mut state = self.lock();
        let Some(object) = state.objects.get_mut(key) else { return false };
        let mut body = object.body.to_vec();
        let changed = change(&mut body);
        object.body = body.into();
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic in the middle of a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, key: &str) -> Option<Object> {
        self.lock().objects.get(key).cloned()
    }
}

fn version(number: u64) -> Version {
    Version::new(format!("v{number}"))
}

#[async_trait]
impl ObjectStore for MemoryStore {
    async fn put(&self, key: &str, object: NewObject, condition: PutCondition) -> Result<Version, StoreError> {
        let actual = sha256(&object.body);
        if actual != object.sha256 {
            return Err(StoreError::Corrupt { key: key.to_owned(), expected: object.sha256, actual: Some(actual) });
        }
        let mut state = self.lock();
        match (condition, state.objects.get(key)) {
            (PutCondition::CreateOnly, None) => {}
            (PutCondition::CreateOnly, Some(found)) if found.sha256 == actual && found.mark == object.mark => {
                return Ok(version(found.version));
            }
            (PutCondition::CreateOnly, Some(_)) => return Err(StoreError::AlreadyExists { key: key.to_owned() }),
            (PutCondition::IfMatch(expected), Some(found)) if version(found.version) == expected => {}
            (PutCondition::IfMatch(_), Some(_)) => return Err(StoreError::VersionChanged { key: key.to_owned() }),
            (PutCondition::IfMatch(_), None) => return Err(StoreError::NotFound { key: key.to_owned() }),
        }
        state.writes += 1;
        let number = state.writes;
        let NewObject { body, sha256, mark, .. } = object;
        state.objects.insert(key.to_owned(), Object { body, sha256, mark, version: number });
        Ok(version(number))
    }

    async fn read(&self, key: &str, limit_bytes: u64, sink: &mut dyn BodySink) -> Result<ReadObject, StoreError> {
        let object = self.object(key).ok_or_else(|| StoreError::NotFound { key: key.to_owned() })?;
        let size_bytes = object.body.len() as u64;
        if size_bytes > limit_bytes {
            return Err(StoreError::TooLarge { key: key.to_owned(), size_bytes, limit_bytes });
        }
        sink.begin(size_bytes);
        let (first, rest) = object.body.split_at(FIRST_PIECE_BYTES.min(object.body.len()));
        for piece in [first].into_iter().chain(rest.chunks(PIECE_BYTES)) {
            sink.take(piece).await;
        }
        Ok(ReadObject { size_bytes, mark: object.mark, version: version(object.version) })
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        Ok(self.object(key).map(|object| ObjectHead {
            size_bytes: object.body.len() as u64,
            sha256: Some(object.sha256),
            mark: object.mark,
            version: version(object.version),
        }))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<KeyPage, StoreError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let state = self.lock();
        let mut found = state
            .objects
            .range::<str, _>((start, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix));
        let keys: Vec<String> = found.by_ref().take(PAGE_KEYS).cloned().collect();
        let more = found.next().is_some();
        Ok(KeyPage { keys, more })
    }

    async fn protection(&self) -> Result<Protection, StoreError> {
        let as_deployed = || {
            let lock = DefaultLock { mode: "GOVERNANCE".to_owned(), days: 120 };
            Protection { versioned: true, lock: Some(lock) }
        };
        Ok(self.lock().protection.clone().unwrap_or_else(as_deployed))
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
