//! Asking the key service once for the many messages of one run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::context::EncryptionContext;
use crate::data_key_error::DataKeyError;
use crate::data_keys::{DataKey, DataKeys, EncryptedDataKey, GeneratedDataKey};

/// Most data keys remembered at once: an hourly run for ninety days makes 2,160, and a restore may read messages of all
/// of them. A few megabytes.
pub const CACHED_DATA_KEYS_LIMIT: usize = 4096;

/// Remembers decrypted data keys in front of a [`DataKeys`].
///
/// A data key is found again only by all its encrypted forms and the context together, so a message cannot borrow the
/// key of another. Readers that want the same key at the same time ask once and share the answer; a failure is shared by
/// those who waited for it and then forgotten. When full, the key unused for longest goes. Keys live as long as this
/// value: make one for a run, not one for a process, since a key withdrawn meanwhile stays usable here.
///
/// [`DataKeys::generate`] is passed on and not remembered.
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

    /// A cache of at most `limit` data keys; 0 is taken as 1.
    pub fn with_limit(inner: K, limit: usize) -> Self {
        Self { inner, limit: limit.max(1), entries: Mutex::default() }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // The map is whole between any two statements, so a panic elsewhere has not spoiled it.
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

    /// Forgets `answer`, but not one that has taken its place.
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
        // If the reader that asks is dropped half-way, one of those waiting asks in its place.
        let result = answer.get_or_init(|| self.inner.decrypt(context, keys)).await.clone();
        if result.is_err() {
            self.entries().forget(&question, &answer);
        }
        result
    }
}
