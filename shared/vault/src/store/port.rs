//! The port to one bucket: few verbs, each conditional, none that destroys.

use std::fmt;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use lifeboat_model::Sha256;

use crate::store::checksum::{Sha256Sum, sha256};
use crate::store::error::StoreError;

/// Keys in one page of a listing: what S3 gives at most.
pub const PAGE_KEYS: usize = 1000;

/// Length limit of small documents (repository, manifest, lease, ledger entry), in bytes. A manifest of 100,000 relations
/// takes about 50 MB; a reader must hold it whole.
pub const DOCUMENT_LIMIT_BYTES: u64 = 128 * 1024 * 1024;

/// Which state of an object a reader saw: an opaque text (S3's ETag) that a conditional write names again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// Wraps what the store calls the object's state.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As the store calls it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The condition of a write. There is no unconditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutCondition {
    /// No object has the key.
    CreateOnly,
    /// The object is still in this state.
    IfMatch(Version),
}

/// An object to be written.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// Its bytes.
    pub body: Bytes,
    /// Their SHA-256; the store checks it on arrival and keeps it.
    pub sha256: Sha256,
    /// A short ASCII text kept with the bytes: the writer's statement on what they are.
    pub mark: Option<String>,
    /// For how long nobody can delete this version.
    pub period: LockPeriod,
}

/// For how long nobody can delete a version of an object. A bucket that locks nothing locks none of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LockPeriod {
    /// For as long as the bucket keeps what is written to it.
    #[default]
    Bucket,
    /// Until this time, and for as long as the bucket says when that is longer.
    AtLeast(Timestamp),
    /// For a day: the document is replaced often, and its old versions prove nothing.
    Day,
}

impl NewObject {
    /// An object without a mark, kept for as long as the bucket says. Hashes the bytes.
    pub fn new(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let sha256 = sha256(&body);
        Self { body, sha256, mark: None, period: LockPeriod::default() }
    }
}

/// What a store knows of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its length.
    pub size_bytes: u64,
    /// Its SHA-256 as the store computed it when the bytes arrived; absent when somebody wrote it without one.
    pub sha256: Option<Sha256>,
    /// The text kept with the bytes.
    pub mark: Option<String>,
    /// Its state.
    pub version: Version,
}

/// Takes the bytes of an object while it is read. A store first calls `begin`, then `take` until the body ends.
#[async_trait]
pub trait BodySink: Send {
    /// The first of `size_bytes` bytes is next (0 if the store does not know the length). Comes again when a
    /// read broke off and is repeated: what was taken until then counts for nothing.
    fn begin(&mut self, size_bytes: u64);

    /// The next bytes, as they came: nothing is checked yet.
    async fn take(&mut self, piece: &[u8]);
}

/// What a store says of an object whose bytes a [`BodySink`] took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadObject {
    /// Bytes read.
    pub size_bytes: u64,
    /// The text kept with the bytes.
    pub mark: Option<String>,
    /// Its state.
    pub version: Version,
}

/// An object that was read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes, as they came: nothing is checked yet.
    pub body: Bytes,
    /// The text kept with the bytes.
    pub mark: Option<String>,
    /// Its state.
    pub version: Version,
}

/// What the bytes of an object are, read in full but not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Bytes read.
    pub size_bytes: u64,
    /// Their SHA-256, computed here and not taken from the store's word.
    pub sha256: Sha256,
    /// The object's state.
    pub version: Version,
}

/// One page of keys in ascending order of their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// At most [`PAGE_KEYS`].
    pub keys: Vec<String>,
    /// Whether keys follow; the next page begins after the last of these.
    pub more: bool,
}

/// How a bucket protects stored bytes from an overwrite or a deletion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protection {
    /// Whether an overwritten or deleted object stays as an older version.
    pub versioned: bool,
    /// For how long new versions cannot be deleted; absent when they can.
    pub lock: Option<DefaultLock>,
}

/// The default retention of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultLock {
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub mode: String,
    /// Days since a version was written.
    pub days: u64,
}

impl fmt::Display for DefaultLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {} days", self.mode, self.days)
    }
}

/// Where a store's objects are, for a store of the same kind that can copy them without their passing through here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// The S3 bucket.
    pub bucket: String,
}

/// One bucket on one site.
///
/// Every write is create-only or a compare-and-swap, and nothing can be deleted: the bucket's lifecycle expires old versions.
/// Every call has a time limit. Implementations pass the suite of rules in `lifeboat-bench`.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Writes an object and returns its new state. When it returns, the object is durable.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] and [`StoreError::VersionChanged`] when the condition does not hold. A create-only
    /// write of the very bytes and mark that are there already succeeds: an answer may have been lost and the write
    /// repeated. A compare-and-swap in that case answers `VersionChanged`, and the caller looks again.
    /// [`StoreError::Corrupt`] when the bytes that arrived are not those of `sha256`.
    async fn put(&self, key: &str, object: NewObject, condition: PutCondition) -> Result<Version, StoreError>;

    /// Reads an object to its end, unless it is longer than `limit_bytes`, and gives its bytes to `sink` as they come. What a
    /// sink took counts only when this succeeds. The time limit does not count what the sink takes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::TooLarge`].
    async fn read(&self, key: &str, limit_bytes: u64, sink: &mut dyn BodySink) -> Result<ReadObject, StoreError>;

    /// What the store knows of an object; `None` when there is none.
    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError>;

    /// The first [`PAGE_KEYS`] keys that begin with `prefix` and are greater than `after`.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<KeyPage, StoreError>;

    /// Reads an object whole.
    ///
    /// # Errors
    /// As [`ObjectStore::read`].
    async fn get(&self, key: &str, limit_bytes: u64) -> Result<Fetched, StoreError> {
        let mut body = Whole::default();
        let ReadObject { mark, version, .. } = self.read(key, limit_bytes, &mut body).await?;
        Ok(Fetched { body: body.0.freeze(), mark, version })
    }

    /// Reads an object to its end in bounded memory and tells its length and SHA-256.
    ///
    /// # Errors
    /// As [`ObjectStore::read`].
    async fn measure(&self, key: &str, limit_bytes: u64) -> Result<Measured, StoreError> {
        let mut sum = Summed::new();
        let read = self.read(key, limit_bytes, &mut sum).await?;
        Ok(sum.measured(read))
    }

    /// Copies an object of the same key from another store, create-only, with its mark.
    ///
    /// Between two S3 buckets the bytes go from one to the other and the receiver computes their SHA-256.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what arrived (or what the source gave) is not `expected`: nothing may be built on it.
    /// [`StoreError::AlreadyExists`] when another object has the key, also one of the same bytes.
    async fn copy_from(
        &self,
        source: &dyn ObjectStore,
        key: &str,
        expected: &Sha256,
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        copy_through(self, source, key, expected, size_bytes).await
    }

    /// How the bucket keeps what is written to it.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for a caller who may write and read and not ask this.
    async fn protection(&self) -> Result<Protection, StoreError>;

    /// Set when another store of the same kind can copy from this one by itself.
    fn copy_source(&self) -> Option<CopySource> {
        None
    }

    /// The store in a few words for messages: `s3://bucket (eu-central-1)`.
    fn describe(&self) -> String;
}

/// Keeps every byte.
#[derive(Default)]
struct Whole(BytesMut);

#[async_trait]
impl BodySink for Whole {
    fn begin(&mut self, size_bytes: u64) {
        self.0.clear();
        self.0.reserve(usize::try_from(size_bytes).unwrap_or_default());
    }

    async fn take(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }
}

/// A sink that hashes every byte and keeps none.
pub struct Summed(Sha256Sum);

impl Default for Summed {
    fn default() -> Self {
        Self::new()
    }
}

impl Summed {
    /// Without a byte yet.
    pub fn new() -> Self {
        Self(Sha256Sum::new())
    }

    /// What was read.
    pub fn measured(self, read: ReadObject) -> Measured {
        Measured { size_bytes: read.size_bytes, sha256: self.0.finish(), version: read.version }
    }
}

#[async_trait]
impl BodySink for Summed {
    fn begin(&mut self, _: u64) {
        self.0 = Sha256Sum::new();
    }

    async fn take(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }
}

/// A copy that passes through this process: read, compare, write create-only.
///
/// # Errors
/// As [`ObjectStore::copy_from`].
pub async fn copy_through<S: ObjectStore + ?Sized>(
    target: &S,
    source: &dyn ObjectStore,
    key: &str,
    expected: &Sha256,
    size_bytes: u64,
) -> Result<(), StoreError> {
    let fetched = source.get(key, size_bytes).await?;
    let actual = sha256(&fetched.body);
    if actual != *expected {
        return Err(StoreError::Corrupt { key: key.to_owned(), expected: *expected, actual: Some(actual) });
    }
    let object = NewObject { body: fetched.body, sha256: actual, mark: fetched.mark, period: LockPeriod::default() };
    target.put(key, object, PutCondition::CreateOnly).await.map(drop)
}
