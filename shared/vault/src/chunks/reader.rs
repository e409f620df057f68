//! Reading chunks back, from one site alone or from the first one that gives them.

use std::sync::Arc;

use async_trait::async_trait;
use lifeboat_model::{ChunkKey, EpochNumber, LONG_CHUNK_BYTES, Sha256, Site, StoredChunk};
use lifeboat_seal::SealError;

use crate::chunks::cpu::on_cpu;
use crate::chunks::message::{Binding, Keys, OpeningMessage, Purpose};
use crate::chunks::unpacker::{UnpackError, Unpacker};
use crate::error::VaultError;
use crate::layout::chunk_key;
use crate::repository::Repository;
use crate::repository::document::Place;
use crate::store::checksum::Sha256Sum;
use crate::store::port::{BodySink, ReadObject};
use crate::store::site_order::SiteOrder;
use crate::store::sites::SiteStore;

/// Longest plaintext of a chunk, in bytes. A chunk is closed at the first row boundary after 8 MiB, and PostgreSQL copies
/// no row longer than 1 GiB; a list that claims more is forged, and no buffer is made for it.
pub const CHUNK_LIMIT_BYTES: u64 = (1 << 30) + (64 << 20);

/// Opens chunks. What it returns is authenticated, complete and the content that the id names.
#[derive(Clone)]
pub struct Reader {
    repository: Repository,
    order: SiteOrder,
}

impl Repository {
    /// A reader that uses `site` and never the other one.
    ///
    /// # Errors
    /// [`VaultError::NoSite`].
    pub fn reader(&self, site: Site) -> Result<Reader, VaultError> {
        Ok(self.reader_of(&self.site_order(&[site])?))
    }

    /// A reader that takes each chunk from the first of these sites that gives it whole.
    pub fn reader_of(&self, order: &SiteOrder) -> Reader {
        Reader { order: order.clone(), repository: self.clone() }
    }
}

impl Reader {
    /// Reads a chunk's plaintext into `out`, which is emptied first and is empty again on failure.
    ///
    /// # Errors
    /// Those of the preferred site, when no site gives it:
    /// [`VaultError::WrongContent`] for other content than listed, or an object that is neither the listed one nor opens;
    /// [`VaultError::Open`] and
    /// [`VaultError::Foreign`] for a message that is damaged, forged or of another repository.
    pub async fn read(&self, chunk: &StoredChunk, out: &mut Vec<u8>) -> Result<(), VaultError> {
        let (stores, mut refused) = (self.order.stores(), Vec::new());
        for store in &stores {
            out.clear();
            match self.read_checked(store, chunk, out).await {
                Ok(()) => {
                    self.order.learn(store.site(), &refused);
                    return Ok(());
                }
                Err(error) => refused.push(error),
            }
        }
        out.clear();
        Err(self.order.failure(&stores, refused))
    }

    async fn read_checked(&self, store: &SiteStore, chunk: &StoredChunk, out: &mut Vec<u8>) -> Result<(), VaultError> {
        let key = chunk_key(chunk.epoch, &chunk.id);
        for length in [chunk.raw_bytes, chunk.stored_bytes] {
            if length > CHUNK_LIMIT_BYTES {
                return Err(VaultError::ChunkTooLong { raw_bytes: length, limit_bytes: CHUNK_LIMIT_BYTES });
            }
        }
        let secret = self.repository.chunk_key(chunk.epoch).await?;
        let limit_bytes = chunk.stored_bytes.max(longest_object(chunk.raw_bytes));
        let opener = ChunkOpener::new(self.repository.keys.clone(), &self.repository.id(), chunk.epoch)?;
        let read = opener.read(store, &key, limit_bytes, &secret, chunk, out).await?;
        match (read.sha256, read.content) {
            // Another object than listed is taken when it holds the content: the chunk was lost on every site and sealed
            // again, and its id, which is keyed, proves the plaintext.
            (sha256, Err(VaultError::Open { source, .. })) if sha256 != chunk.sha256 && source.is_bad_message() => {
                Err(wrong(Place { site: store.site(), key: &key }, "its sha-256 differs, and it does not open"))
            }
            (_, opened) => opened,
        }
    }
}

/// Longest object that holds `raw_bytes`: what zstd may add to incompressible bytes (1/256), what sealing adds to each
/// frame of 64 KiB (32 bytes), and a header.
fn longest_object(raw_bytes: u64) -> u64 {
    raw_bytes.saturating_add(raw_bytes / 64).saturating_add(64 * 1024)
}

/// From sealed objects of one epoch to their plaintext.
pub(crate) struct ChunkOpener {
    keys: Arc<Keys>,
    binding: Binding,
}

impl ChunkOpener {
    pub(crate) fn new(keys: Arc<Keys>, repository_id: &str, epoch: EpochNumber) -> Result<Self, VaultError> {
        Ok(Self { keys, binding: Binding::new(repository_id, epoch, Purpose::Chunk)? })
    }

    /// Reads the object `key`, which should hold `chunk`, and gives its plaintext to `out`: all of it, or nothing when `content`
    /// is an error.
    ///
    /// # Errors
    /// [`VaultError::Store`]; [`VaultError::Open`] for a failure of the key service, which comes before one of the store: a
    /// store may break off while the key service is waited for.
    pub(crate) async fn read(
        &self,
        store: &SiteStore,
        key: &str,
        limit_bytes: u64,
        secret: &ChunkKey,
        chunk: &StoredChunk,
        out: &mut Vec<u8>,
    ) -> Result<ReadChunk, VaultError> {
        let place = Place { site: store.site(), key };
        let mut opening = Opening { opener: self, place, chunk, sum: Sha256Sum::new(), steps: None, out };
        let read = store.read(key, limit_bytes, &mut opening).await;
        let (sha256, content) = opening.finish(secret);
        match (read, content) {
            (Ok(object), content) => Ok(ReadChunk { object, sha256, content }),
            (Err(_), Err(error)) if is_of_the_key_service(&error) => Err(error),
            (Err(error), _) => Err(error),
        }
    }
}

/// An object in a chunk's place, read to its end.
pub(crate) struct ReadChunk {
    pub(crate) object: ReadObject,
    /// The sum of its bytes.
    pub(crate) sha256: Sha256,
    /// Whether they are the chunk.
    pub(crate) content: Result<(), VaultError>,
}

/// A chunk that is opened and unpacked as it comes. Memory holds a piece, a frame and a window of its sealed and its compressed form.
struct Opening<'a> {
    opener: &'a ChunkOpener,
    place: Place<'a>,
    chunk: &'a StoredChunk,
    /// Sums the sealed form.
    sum: Sha256Sum,
    /// Absent before anything comes. An error stays: what comes after it is only summed.
    steps: Option<Result<Steps<'a>, VaultError>>,
    out: &'a mut Vec<u8>,
}

impl Opening<'_> {
    /// The SHA-256 of all that came, and whether it was the chunk. `out` is empty if it was not.
    fn finish(self, secret: &ChunkKey) -> (Sha256, Result<(), VaultError>) {
        let Self { place, chunk, sum, steps, out, .. } = self;
        let steps = steps.unwrap_or_else(|| Err(wrong(place, NOT_UNPACKED)));
        let finished = steps.and_then(|Steps { message, unpacker, .. }| {
            message.finish()?;
            unpacker.finish(out).map_err(not_unpacked(place))?;
            match on_cpu(|| secret.chunk_id(out)) {
                id if id == chunk.id => Ok(()),
                _ => Err(wrong(place, "its content does not have its id")),
            }
        });
        if finished.is_err() {
            out.clear();
        }
        (sum.finish(), finished)
    }
}

#[async_trait]
impl BodySink for Opening<'_> {
    fn begin(&mut self, _: u64) {
        self.out.clear();
        self.sum = Sha256Sum::new();
        // A refusal of the key service stays, although the store begins again.
        if !matches!(&self.steps, Some(Err(error)) if is_of_the_key_service(error)) {
            self.steps = Some(Steps::new(self.opener, self.place, self.chunk));
        }
    }

    async fn take(&mut self, piece: &[u8]) {
        self.sum.update(piece);
        if let Some(Ok(steps)) = &mut self.steps
            && let Err(error) = steps.take(self.place, piece, self.out).await
        {
            self.steps = Some(Err(error));
        }
    }
}

/// From the sealed form to the compressed one, and on to the plaintext.
struct Steps<'a> {
    message: OpeningMessage<'a>,
    /// What the last piece opened to.
    compressed: Vec<u8>,
    unpacker: Unpacker,
    /// Whether a piece may unpack to so much that it would hold up what else the thread drives. One of another chunk takes some
    /// milliseconds at most, and handing the thread over for each would cost more.
    is_long: bool,
}

impl<'a> Steps<'a> {
    fn new(opener: &'a ChunkOpener, place: Place<'a>, chunk: &StoredChunk) -> Result<Self, VaultError> {
        let raw_bytes = usize::try_from(chunk.raw_bytes).map_err(|_| wrong(place, "it is longer than memory"))?;
        let message = opener.binding.opening(&opener.keys, place.site, place.key);
        let unpacker = Unpacker::new(raw_bytes).map_err(not_unpacked(place))?;
        Ok(Self { message, compressed: Vec::new(), unpacker, is_long: raw_bytes > LONG_CHUNK_BYTES })
    }

    async fn take(&mut self, place: Place<'_>, piece: &[u8], out: &mut Vec<u8>) -> Result<(), VaultError> {
        let Self { message, compressed, unpacker, is_long } = self;
        compressed.clear();
        message.take(piece, compressed).await?;
        let mut unpack = || unpacker.unpack(compressed, out);
        let unpacked = if *is_long { on_cpu(unpack) } else { unpack() };
        unpacked.map_err(not_unpacked(place))
    }
}

const NOT_UNPACKED: &str = "it does not unpack to the listed length";

fn not_unpacked(place: Place<'_>) -> impl Fn(UnpackError) -> VaultError {
    move |error| match error {
        UnpackError::Wrong => wrong(place, NOT_UNPACKED),
        UnpackError::NoMemory => VaultError::NoMemory,
    }
}

fn wrong(place: Place<'_>, reason: &'static str) -> VaultError {
    VaultError::WrongContent { site: place.site, key: place.key.to_owned(), reason }
}

fn is_of_the_key_service(error: &VaultError) -> bool {
    matches!(error, VaultError::Open { source: SealError::DataKey(_), .. })
}
