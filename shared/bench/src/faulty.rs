//! A store that fails by script: the bench on which the laws are tried.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lifeboat_model::Sha256;
use tokio::sync::Semaphore;

use lifeboat_vault::{
    BodySink, Cause, CopySource, KeyPage, Measured, NewObject, ObjectHead, ObjectStore, Protection, PutCondition,
    ReadObject, StoreError, Summed, Version,
};

/// Requests that a script remembers: more than any test makes.
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

/// Where requests wait until the test lets them go on.
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

    /// Returns when one more request has come to the gate.
    pub async fn arrival(&self) {
        if let Ok(permit) = self.arrived.acquire().await {
            permit.forget();
        }
    }

    /// Lets everybody go on, now and later.
    pub fn open(&self) {
        self.open.close();
    }

    /// Comes to the gate, and waits until it is open.
    pub async fn wait(&self) {
        self.arrived.add_permits(1);
        // Ends by `close` alone: nobody ever adds a permit.
        let _ = self.open.acquire().await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// What goes wrong.
#[derive(Clone)]
pub enum Fault {
    /// The store says no, and nothing happens.
    Reject(Refusal),
    /// The request takes effect, and the answer is lost.
    FailAfterWrite,
    /// The write takes effect, its answer is lost, and it is made again under the same condition, as a client library does.
    RepeatedWrite,
    /// Another writer was faster: the condition of the write does not hold.
    LostRace,
    /// The request waits at the gate, before it takes effect; without end if nobody opens it.
    Hold(Gate),
    /// The request takes this much longer.
    Slow(Duration),
    /// What is read has one bit turned over; what is written arrives so.
    WrongBytes,
    /// What is read breaks off half-way, spoiled, and is read again within the same request, as it is.
    BrokenOff,
}

/// When something goes wrong: a chain of conditions, all of which must hold.
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

    /// Only keys that begin so.
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
    /// Nothing goes wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule. The first that fits decides.
    pub fn add(&self, rule: Rule) {
        self.lock().rules.push((rule, 0));
    }

    /// The process is killed at its `n`-th request from now, from 1: before or after that takes effect. From then on
    /// nothing that it asks for happens, and each call fails.
    pub fn die_at(&self, n: u64, moment: Moment) {
        let mut state = self.lock();
        state.death = Some((state.requests + n, moment));
    }

    /// Forgets all rules and deaths: the next process.
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

/// The treatment of the answer of a request that was let through.
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

/// Turns one bit over in the middle of what is read.
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
        // The bit is in one piece alone: what comes after it is as far away as can be.
        self.before = self.before.checked_sub(piece.len() as u64).unwrap_or(u64::MAX);
        self.sink.take(&piece).await;
    }
}

/// Passes on the first half of what is read, and a wrong byte at its end.
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
        self.inner.protection().await
    }

    fn copy_source(&self) -> Option<CopySource> {
        self.inner.copy_source()
    }

    fn describe(&self) -> String {
        format!("{}, by script", self.inner.describe())
    }
}
