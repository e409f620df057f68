//! A cache of decrypted data keys, so that a run asks the key service once for many messages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::context::EncryptionContext;
use crate::data_key_error::DataKeyError;
use crate::data_keys::{DataKey, DataKeys, EncryptedDataKey, GeneratedDataKey};

/// The most data keys in the cache. Ninety days of hourly runs make 2,160, and a restore may read messages of all of them.
/// This takes a few megabytes.
pub const CACHED_DATA_KEYS_LIMIT: usize = 4096;

/// Caches the decrypted data keys of a [`DataKeys`].
///
/// A data key is found only by all its encrypted forms and the context together, so a message cannot use the key of
/// another. Readers that need the same key at the same time share one request. They share a failure too, which is then
/// forgotten. A full cache drops the key that was unused for longest. Keys live as long as this value. Make one for each
/// run, not one for the process, because a revoked key stays usable here.
///
/// [`DataKeys::generate`] is passed on and not cached.
pub struct CachedDataKeys<K> {
    inner: K,
    limit: usize,
    entries: Mutex<Entries>,
}

type Answer = Arc<OnceCell<Result<DataKey, DataKeyError>>>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    context: EncryptionContext,
    keys: Vec<EncryptedDataKey>,
}

#[derive(Default)]
struct Entries {
    by_question: HashMap<Question, Entry>,
    clock: u64,
}

struct Entry {
    answer: Answer,
    last_used: u64,
}

impl<K: DataKeys> CachedDataKeys<K> {
    pub fn new(inner: K) -> Self {
        Self::with_limit(inner, CACHED_DATA_KEYS_LIMIT)
    }

    /// A cache of at most `limit` data keys; 0 counts as 1.
    pub fn with_limit(inner: K, limit: usize) -> Self {
        Self { inner, limit: limit.max(1), entries: Mutex::default() }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // The map is consistent between any two statements, so a panic elsewhere cannot have corrupted it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn answer_for(&mut self, question: &Question, limit: usize) -> Answer {
        self.clock += 1;
        let now = self.clock;
        if let Some(entry) = self.by_question.get_mut(question) {
            entry.last_used = now;
            return Arc::clone(&entry.answer);
        }
        if self.by_question.len() >= limit {
            let oldest = self.by_question.iter().min_by_key(|(_, entry)| entry.last_used).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.by_question.remove(&key));
        }
        let answer = Answer::default();
        self.by_question.insert(question.clone(), Entry { answer: Arc::clone(&answer), last_used: now });
        answer
    }

    /// Forgets `answer`, unless another one has replaced it.
    fn forget(&mut self, question: &Question, answer: &Answer) {
        if self.by_question.get(question).is_some_and(|entry| Arc::ptr_eq(&entry.answer, answer)) {
            self.by_question.remove(question);
        }
    }
}

#[async_trait]
impl<K: DataKeys> DataKeys for CachedDataKeys<K> {
    async fn generate(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        self.inner.generate(context).await
    }

    async fn decrypt(&self, context: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        let question = Question { context: context.clone(), keys: keys.to_vec() };
        let answer = self.entries().answer_for(&question, self.limit);
        // If the asking reader is dropped before the answer, one of the waiting readers asks instead.
        let result = answer.get_or_init(|| self.inner.decrypt(context, keys)).await.clone();
        if result.is_err() {
            self.entries().forget(&question, &answer);
        }
        result
    }

    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        self.inner.entry_of_each(keys)
    }
}
