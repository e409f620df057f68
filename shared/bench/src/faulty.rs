//! A store that fails by script, for the tests of the vault's laws.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lifeboat_model::Sha256;
use tokio::sync::Semaphore;

use lifeboat_vault::{
    BodySink, Cause, CopySource, KeyPage, Measured, NewObject, ObjectHead, ObjectStore, Protection, PutCondition,
    ReadObject, StoreError, Summed, Version,
};

/// The most requests that a script remembers: more than any test makes.
const LOG_LIMIT: usize = 100_000;

/// The verbs of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Put,
    Get,
    Head,
    List,
    Measure,
    Copy,
}

/// Before or after a request took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
}

/// How a store refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Denied,
    NotFound,
    Unavailable,
    TimedOut,
}

impl Refusal {
    fn error(self, key: &str) -> StoreError {
        let key = key.to_owned();
        let source: Cause = "refused by the script".into();
        match self {
            Self::Denied => StoreError::Denied { key, source },
            Self::NotFound => StoreError::NotFound { key },
            Self::Unavailable => StoreError::Unavailable { key, retryable: true, source },
            Self::TimedOut => StoreError::TimedOut { key, after: Duration::from_secs(1) },
        }
    }
}

/// A gate where requests wait until the test lets them continue.
#[derive(Clone)]
pub struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { arrived: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }

    /// Returns when another request has reached the gate.
    pub async fn arrival(&self) {
        if let Ok(permit) = self.arrived.acquire().await {
            permit.forget();
        }
    }

    /// Opens the gate for all requests, now and later.
    pub fn open(&self) {
        self.open.close();
    }

    /// Reaches the gate and waits until it is open.
    pub async fn wait(&self) {
        self.arrived.add_permits(1);
        // Only `close` ends this wait: no code adds a permit.
        let _ = self.open.acquire().await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// A fault.
#[derive(Clone)]
pub enum Fault {
    /// The store refuses the request, and nothing changes.
    Reject(Refusal),
    /// The request takes effect, but the answer is lost.
    FailAfterWrite,
    /// The write takes effect, but its answer is lost. It is repeated under the same condition, as a client library does.
    RepeatedWrite,
    /// Another writer was faster: the condition of the write does not hold.
    LostRace,
    /// The request waits at the gate before it takes effect. It waits forever if the test never opens the gate.
    Hold(Gate),
    /// The request takes this much longer.
    Slow(Duration),
    /// One bit is flipped in the data that is read, or in the data that arrives at the store.
    WrongBytes,
    /// Reading stops half-way with a wrong byte. The same request then reads the intact object again.
    BrokenOff,
}

/// When a fault happens: a chain of conditions, all of which must hold.
#[derive(Clone)]
pub struct Rule {
    operation: Option<Operation>,
    prefix: String,
    first: u64,
    times: u64,
    fault: Fault,
}

impl Rule {
    /// Every request meets the fault.
    pub fn always(fault: Fault) -> Self {
        Self { operation: None, prefix: String::new(), first: 1, times: u64::MAX, fault }
    }

    /// Only this verb.
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Only keys with this prefix.
    pub fn under(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Only the `n`-th request, from 1, that fits the rest.
    pub fn only_nth(mut self, n: u64) -> Self {
        (self.first, self.times) = (n, 1);
        self
    }

    fn fits(&self, operation: Operation, key: &str) -> bool {
        self.operation.is_none_or(|wanted| wanted == operation) && key.starts_with(&self.prefix)
    }
}

/// The faults of all stores of one imagined process.
#[derive(Clone, Default)]
pub struct Script {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    rules: Vec<(Rule, u64)>,
    death: Option<(u64, Moment)>,
    dead: bool,
    requests: u64,
    log: Vec<(Operation, String)>,
}

enum Course {
    Go,
    Meet(Fault),
    DieBefore,
    DieAfter,
}

impl Script {
    /// A script without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule. The first rule that fits decides.
    pub fn add(&self, rule: Rule) {
        self.lock().rules.push((rule, 0));
    }

    /// Kills the process at its `n`-th request from now, counted from 1, before or after the request takes effect. From
    /// then on every request fails and changes nothing.
    pub fn die_at(&self, n: u64, moment: Moment) {
        let mut state = self.lock();
        state.death = Some((state.requests + n, moment));
    }

    /// Forgets all rules and kills, as for the next process.
    pub fn clear(&self) {
        *self.lock() = State::default();
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// Requests so far, by verb and key.
    pub fn log(&self) -> Vec<(Operation, String)> {
        self.lock().log.clone()
    }

    /// Whether the process was killed.
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    fn course(&self, operation: Operation, key: &str) -> Course {
        let mut state = self.lock();
        if state.dead {
            return Course::DieBefore;
        }
        state.requests += 1;
        if state.log.len() < LOG_LIMIT {
            state.log.push((operation, key.to_owned()));
        }
        match state.death {
            Some((n, moment)) if n <= state.requests => {
                state.dead = true;
                return if moment == Moment::Before { Course::DieBefore } else { Course::DieAfter };
            }
            _ => {}
        }
        for (rule, seen) in &mut state.rules {
            if rule.fits(operation, key) {
                *seen += 1;
                if *seen >= rule.first && *seen - rule.first < rule.times {
                    return Course::Meet(rule.fault.clone());
                }
            }
        }
        Course::Go
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store behind a [`Script`].
#[derive(Clone)]
pub struct FaultyStore<S> {
    inner: S,
    script: Script,
}

/// What happens to the answer of a request that was let through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Answer,
    Spoil,
    BreakOff,
    LoseAnswer,
    Repeat,
}

impl<S: ObjectStore> FaultyStore<S> {
    /// Puts `inner` behind `script`.
    pub fn new(inner: S, script: Script) -> Self {
        Self { inner, script }
    }

    async fn read_inner(
        &self,
        key: &str,
        limit_bytes: u64,
        sink: &mut dyn BodySink,
        after: After,
    ) -> Result<ReadObject, StoreError> {
        match after {
            After::Spoil => self.inner.read(key, limit_bytes, &mut Spoiler { sink, before: 0 }).await,
            After::BreakOff => {
                self.inner.read(key, limit_bytes, &mut FirstHalf { sink, left: 0 }).await?;
                self.inner.read(key, limit_bytes, sink).await
            }
            After::Answer | After::LoseAnswer | After::Repeat => self.inner.read(key, limit_bytes, sink).await,
        }
    }

    async fn before(&self, operation: Operation, key: &str) -> Result<After, StoreError> {
        match self.script.course(operation, key) {
            Course::Go => Ok(After::Answer),
            Course::DieBefore => Err(killed(key)),
            Course::DieAfter | Course::Meet(Fault::FailAfterWrite) => Ok(After::LoseAnswer),
            Course::Meet(Fault::Reject(refusal)) => Err(refusal.error(key)),
            Course::Meet(Fault::RepeatedWrite) => Ok(After::Repeat),
            Course::Meet(Fault::LostRace) => Err(StoreError::VersionChanged { key: key.to_owned() }),
            Course::Meet(Fault::WrongBytes) => Ok(After::Spoil),
            Course::Meet(Fault::BrokenOff) => Ok(After::BreakOff),
            Course::Meet(Fault::Slow(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(After::Answer)
            }
            Course::Meet(Fault::Hold(gate)) => {
                gate.wait().await;
                Ok(After::Answer)
            }
        }
    }
}

fn killed(key: &str) -> StoreError {
    StoreError::Unavailable { key: key.to_owned(), retryable: false, source: "killed by the script".into() }
}

fn lost<T>(after: After, key: &str, answer: Result<T, StoreError>) -> Result<T, StoreError> {
    match after {
        After::LoseAnswer => answer.and_then(|_| Err(Refusal::Unavailable.error(key))),
        After::Answer | After::Spoil | After::BreakOff | After::Repeat => answer,
    }
}

/// Flips one bit in the middle of the data that is read.
struct Spoiler<'a> {
    sink: &'a mut dyn BodySink,
    /// Bytes before the one with that bit.
    before: u64,
}

#[async_trait]
impl BodySink for Spoiler<'_> {
    fn begin(&mut self, size_bytes: u64) {
        self.before = size_bytes / 2;
        self.sink.begin(size_bytes);
    }

    async fn take(&mut self, piece: &[u8]) {
        let mut piece = piece.to_vec();
        if let Some(byte) = usize::try_from(self.before).ok().and_then(|place| piece.get_mut(place)) {
            *byte ^= 1;
        }
        // Only one piece has the bit. After it, the distance is the largest possible.
        self.before = self.before.checked_sub(piece.len() as u64).unwrap_or(u64::MAX);
        self.sink.take(&piece).await;
    }
}

/// Passes on the first half of the data, and then a wrong byte.
struct FirstHalf<'a> {
    sink: &'a mut dyn BodySink,
    left: u64,
}

#[async_trait]
impl BodySink for FirstHalf<'_> {
    fn begin(&mut self, size_bytes: u64) {
        self.left = size_bytes / 2;
        self.sink.begin(size_bytes);
    }

    async fn take(&mut self, piece: &[u8]) {
        if self.left == 0 {
            return;
        }
        let half = piece.get(..usize::try_from(self.left).unwrap_or(usize::MAX)).unwrap_or(piece);
        self.left -= half.len() as u64;
        self.sink.take(half).await;
        if self.left == 0 {
            self.sink.take(b"\0").await;
        }
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for FaultyStore<S> {
    async fn put(&self, key: &str, object: NewObject, condition: PutCondition) -> Result<Version, StoreError> {
        let after = self.before(Operation::Put, key).await?;
        if after == After::Spoil {
            // The store compares the bytes that arrived with the checksum of the request.
            return Err(StoreError::Corrupt { key: key.to_owned(), expected: object.sha256, actual: None });
        }
        if after == After::Repeat {
            self.inner.put(key, object.clone(), condition.clone()).await?;
        }
        lost(after, key, self.inner.put(key, object, condition).await)
    }

    async fn read(&self, key: &str, limit_bytes: u64, sink: &mut dyn BodySink) -> Result<ReadObject, StoreError> {
        let after = self.before(Operation::Get, key).await?;
        lost(after, key, self.read_inner(key, limit_bytes, sink, after).await)
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        let after = self.before(Operation::Head, key).await?;
        lost(after, key, self.inner.head(key).await)
    }

    async fn list(&self, prefix: &str, after_key: Option<&str>) -> Result<KeyPage, StoreError> {
        let after = self.before(Operation::List, prefix).await?;
        lost(after, prefix, self.inner.list(prefix, after_key).await)
    }

    async fn measure(&self, key: &str, limit_bytes: u64) -> Result<Measured, StoreError> {
        let after = self.before(Operation::Measure, key).await?;
        let mut sum = Summed::new();
        let read = self.read_inner(key, limit_bytes, &mut sum, after).await;
        lost(after, key, read.map(|read| sum.measured(read)))
    }

    async fn copy_from(
        &self,
        source: &dyn ObjectStore,
        key: &str,
        expected: &Sha256,
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        let after = self.before(Operation::Copy, key).await?;
        if after == After::Spoil {
            return Err(StoreError::Corrupt { key: key.to_owned(), expected: *expected, actual: None });
        }
        let answer = self.inner.copy_from(source, key, expected, size_bytes).await;
        lost(after, key, answer)
    }

    async fn protection(&self) -> Result<Protection, StoreError> {
        let after = self.before(Operation::Get, "?object-lock").await?;
        lost(after, "?object-lock", self.inner.protection().await)
    }

    fn copy_source(&self) -> Option<CopySource> {
        self.inner.copy_source()
    }

    fn describe(&self) -> String {
        format!("{}, by script", self.inner.describe())
    }
}
