//! Storing chunks: known ones are reused, new ones compressed, sealed and sent to both sites.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{ChunkEntry, ChunkId, ChunkKey, EpochNumber, Manifest, Origin, Sha256, Site, StoredChunk};
use lifeboat_seal::{SealError, Sealer};

use crate::chunks::chunk_mark::ChunkMarks;
use crate::chunks::cpu::on_cpu;
use crate::chunks::message::{Binding, Purpose};
use crate::chunks::reader::{CHUNK_LIMIT_BYTES, ChunkOpener, ReadChunk};
use crate::chunks::scratch::Scratch;
use crate::chunks::suspects::Suspects;
use crate::error::VaultError;
use crate::layout::{REPOSITORY_KEY, chunk_key, manifest_key};
use crate::repository::Repository;
use crate::repository::epochs::EPOCH_AGE;
use crate::repository::signature::public_key;
use crate::store::checksum::sha256;
use crate::store::error::StoreError;
use crate::store::port::{Fetched, LockPeriod, NewObject, ObjectHead, PutCondition, ReadObject, Version};
use crate::store::sites::{Mirrored, SiteStore, Sites};

/// Chunks that a writer remembers. About 120 bytes each, so 60 MB; with slices of 2 MiB they stand for a terabyte. Chunks
/// beyond it are reused as well, for a `HEAD` each.
pub const KNOWN_CHUNKS_LIMIT: usize = 500_000;

/// Attempts to store a chunk that another run is storing at the same moment.
const STORE_ATTEMPTS: u32 = 4;

/// Limits of a writer.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions {
    /// Age at which an epoch ends and a new one begins.
    pub epoch_age: SignedDuration,
    /// Chunks to remember, at most.
    pub known_chunks: usize,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { epoch_age: EPOCH_AGE, known_chunks: KNOWN_CHUNKS_LIMIT }
    }
}

/// Stores the chunks of one run: one epoch, one chunk key, one data key. Sessions share it and store at the same time.
pub struct Writer {
    sites: Sites,
    epoch: EpochNumber,
    chunk_key: ChunkKey,
    marks: ChunkMarks,
    sealer: Sealer,
    opener: ChunkOpener,
    known: Mutex<HashMap<ChunkId, KnownChunk>>,
    known_limit: usize,
    suspects: OnceLock<Suspects>,
    repository: Repository,
}

#[derive(Debug, Clone, Copy)]
struct KnownChunk {
    stored_bytes: u64,
    sha256: Sha256,
    /// Whether nothing is left to do for it: every site that the run works with is known to have it.
    done: bool,
    /// The origin of its next use: `Listed` when an earlier backup has it, `Found` when only this run has.
    origin: Origin,
}

/// What is under a chunk's key on one site.
enum Found {
    Nothing,
    /// An object that is proved to hold the content.
    Sound(SoundObject),
    /// Something else: damaged, or put there by somebody without the chunk key.
    Unsound(Version),
}

#[derive(Clone)]
struct SoundObject {
    stored_bytes: u64,
    sha256: Sha256,
    version: Version,
}

impl Repository {
    /// Prepares a run that writes: a current epoch, its chunk key, and one data key for all messages of the run.
    ///
    /// # Errors
    /// [`VaultError::NoSite`] without a primary site; whatever the key service or the stores answer.
    pub async fn begin_writing(&self, now: Timestamp) -> Result<Writer, VaultError> {
        self.begin_writing_with(now, WriteOptions::default()).await
    }

    /// As [`Repository::begin_writing`], with other limits.
    ///
    /// # Errors
    /// The same.
    pub async fn begin_writing_with(&self, now: Timestamp, options: WriteOptions) -> Result<Writer, VaultError> {
        let epoch = self.current_epoch(now, options.epoch_age).await?;
        let chunk_key = self.chunk_key(epoch).await?;
        // No verification could prove a backup whose key `repository.json` does not publish.
        if self.published_key(epoch).await? != public_key(&chunk_key)? {
            let reason = "the public key of an epoch is not that of its chunk key";
            return Err(VaultError::Damaged { site: Site::Primary, key: REPOSITORY_KEY.to_owned(), reason });
        }
        let sealer = Binding::new(&self.id(), epoch, Purpose::Chunk)?.sealer(&self.keys).await?;
        Ok(Writer {
            sites: self.sites.clone(),
            epoch,
            marks: ChunkMarks::new(&chunk_key),
            opener: ChunkOpener::new(self.keys.clone(), &self.id(), epoch)?,
            chunk_key,
            sealer,
            known: Mutex::default(),
            known_limit: options.known_chunks,
            suspects: OnceLock::new(),
            repository: self.clone(),
        })
    }
}

impl Writer {
    /// The epoch that is written to.
    pub fn epoch(&self) -> EpochNumber {
        self.epoch
    }

    /// Its chunk key: for row digests and the manifest's signature.
    pub fn chunk_key(&self) -> &ChunkKey {
        &self.chunk_key
    }

    /// Says which chunks may be bad on every site: they are opened before they are reused. To be called before anything is
    /// remembered or stored; a second call has no effect.
    pub fn suspect(&self, suspects: Suspects) {
        let _ = self.suspects.set(suspects);
    }

    fn is_suspect(&self, id: &ChunkId) -> bool {
        self.suspects.get().is_some_and(|suspects| suspects.contains(id))
    }

    /// Remembers a chunk of an earlier complete backup, so that it is reused without a request. Returns whether it is
    /// remembered: not when it is of another epoch, a suspect, or the limit is reached.
    ///
    /// The entry must come from an authenticated list; `on_all_sites` says whether every configured site is known to have
    /// the chunk.
    pub fn remember(&self, entry: &ChunkEntry, on_all_sites: bool) -> bool {
        entry.chunk.as_ref().is_some_and(|chunk| !self.is_suspect(&chunk.id) && self.keep_listed(chunk, on_all_sites))
    }

    fn keep_listed(&self, chunk: &StoredChunk, on_all_sites: bool) -> bool {
        let StoredChunk { stored_bytes, sha256, .. } = *chunk;
        let known = KnownChunk { stored_bytes, sha256, done: on_all_sites, origin: Origin::Listed };
        chunk.epoch == self.epoch && self.keep(chunk.id, known)
    }

    /// Remembers the chunks of a complete backup, from the primary site. Returns how many.
    ///
    /// A backup of another epoch has nothing to reuse. A suspect is remembered only if this backup itself opened it or
    /// stored it again. `manifest` must be an authenticated one.
    ///
    /// # Errors
    /// As [`ChunkEntries::next`](crate::ChunkEntries::next).
    pub async fn remember_backup(&self, manifest: &Manifest) -> Result<usize, VaultError> {
        if manifest.epoch != self.epoch {
            return Ok(0);
        }
        let key = manifest_key(&manifest.database, &manifest.backup_id);
        // The manifest reaches the other site after all its chunks did.
        let on_all_sites = match self.sites.offsite() {
            Some(offsite) => self.sites.or_aside(offsite.head(&key).await)?.is_none_or(|head| head.is_some()),
            None => true,
        };
        let mut remembered = 0;
        let mut entries = self.repository.chunk_entries(manifest, Site::Primary)?;
        while let Some(entry) = entries.next().await? {
            let is_open = |id| self.suspects.get().is_some_and(|all| all.is_open_since(id, manifest.started_at));
            let chunk = entry.chunk.as_ref().filter(|chunk| !is_open(&chunk.id));
            remembered += usize::from(chunk.is_some_and(|chunk| self.keep_listed(chunk, on_all_sites)));
            if self.known().len() >= self.known_limit {
                break;
            }
        }
        Ok(remembered)
    }

    /// Stores `plaintext` on every site and says where it is. When it returns, the chunk is durable on all of them, or on
    /// the primary alone once the off-site is set aside ([`Sites::aside`]).
    ///
    /// Idempotent, and safe to call from many sessions at once, also with the same content. On a failure, what the primary
    /// has stays and is reused by the next try.
    ///
    /// # Errors
    /// [`VaultError::Store`] names the site that failed; [`VaultError::ChunkTooLong`].
    pub async fn store(&self, plaintext: &[u8], scratch: &mut Scratch) -> Result<StoredChunk, VaultError> {
        let raw_bytes = plaintext.len() as u64;
        if raw_bytes > CHUNK_LIMIT_BYTES {
            return Err(VaultError::ChunkTooLong { raw_bytes, limit_bytes: CHUNK_LIMIT_BYTES });
        }
        let id = on_cpu(|| self.chunk_key.chunk_id(plaintext));
        let mut chunk = StoredChunk {
            id,
            epoch: self.epoch,
            raw_bytes,
            stored_bytes: 0,
            sha256: Sha256([0; 32]),
            origin: Origin::Found,
        };
        let known = self.known().get(&id).copied();
        if let Some(known) = known {
            chunk.origin = known.origin;
        }
        if let Some(KnownChunk { stored_bytes, sha256, done: true, .. }) = known {
            return Ok(StoredChunk { stored_bytes, sha256, ..chunk });
        }
        let object = self.on_primary(&mut chunk, plaintext, scratch).await?;
        let on_both = self.on_other_site(&chunk, object.clone()).await;
        let object = self.sites.or_aside(on_both)?.unwrap_or(object);
        (chunk.stored_bytes, chunk.sha256) = (object.stored_bytes, object.sha256);
        let origin = if chunk.origin == Origin::Listed { Origin::Listed } else { Origin::Found };
        let StoredChunk { stored_bytes, sha256, .. } = chunk;
        self.keep(id, KnownChunk { stored_bytes, sha256, done: true, origin });
        Ok(chunk)
    }

    /// Sees to a sound object on the primary: the one that is there, or a new one. Sets `chunk.origin`.
    async fn on_primary(
        &self,
        chunk: &mut StoredChunk,
        plaintext: &[u8],
        scratch: &mut Scratch,
    ) -> Result<SoundObject, VaultError> {
        let primary = self.sites.primary()?;
        let key = chunk_key(self.epoch, &chunk.id);
        for _ in 0..STORE_ATTEMPTS {
            let condition = match self.find(primary, &key, chunk).await? {
                Found::Sound(object) => return Ok(object),
                Found::Nothing => PutCondition::CreateOnly,
                Found::Unsound(version) => match self.sites.or_aside(self.sound_copy(chunk, &key).await)?.flatten() {
                    Some(copy) => return self.replace(primary, &key, copy, version).await,
                    None => PutCondition::IfMatch(version),
                },
            };
            let (body, sha256) = on_cpu(|| {
                let body = scratch.pack(&self.sealer, plaintext)?;
                let sha256 = sha256(&body);
                Ok::<_, VaultError>((body, sha256))
            })?;
            let stored_bytes = body.len() as u64;
            let mark = Some(self.marks.mark(&chunk.id, stored_bytes, &sha256));
            let object = NewObject { body: body.clone(), sha256, mark, period: LockPeriod::default() };
            let put = primary.store().put(&key, object, condition).await;
            scratch.reclaim(body);
            match put {
                Ok(version) => {
                    chunk.origin = Origin::Stored;
                    return Ok(SoundObject { stored_bytes, sha256, version });
                }
                // Another session or run was faster with the same content: look at what it stored.
                Err(error) if error.is_lost_race() => {}
                Err(source) => return Err(primary.error(source)),
            }
        }
        Err(VaultError::Contended { key, attempts: STORE_ATTEMPTS })
    }

    /// Sees to the same object on the other site. Returns the object that both sites have in the end.
    async fn on_other_site(&self, chunk: &StoredChunk, object: SoundObject) -> Result<SoundObject, VaultError> {
        let Some(offsite) = self.sites.offsite() else { return Ok(object) };
        let key = chunk_key(self.epoch, &chunk.id);
        if self.is_suspect(&chunk.id) {
            // The checksum of a suspect is from the day it arrived. Only its bytes show damage.
            match self.find(offsite, &key, chunk).await? {
                Found::Sound(theirs) if theirs.sha256 == object.sha256 => return Ok(object),
                Found::Unsound(version) => return self.replace_by_ours(offsite, &key, object, version).await,
                Found::Sound(_) | Found::Nothing => {}
            }
        }
        let same = |head: &ObjectHead| head.sha256 == Some(object.sha256) && head.size_bytes == object.stored_bytes;
        if chunk.is_reused() && offsite.head(&key).await?.is_some_and(|head| same(&head)) {
            return Ok(object);
        }
        match self.sites.mirror(&key, &object.sha256, object.stored_bytes).await? {
            Mirrored::Same => Ok(object),
            // The primary had lost its object (or is a new bucket) and the other site kept one, sealed in another run.
            // Older lists name that one by its checksum, so it is the one to keep.
            Mirrored::Differs(_) => match self.find(offsite, &key, chunk).await? {
                Found::Sound(_) => {
                    let copy = self.sound_copy(chunk, &key).await?.ok_or_else(|| VaultError::NotHealed {
                        site: Site::Primary,
                        key: key.clone(),
                        reason: "the other site's copy changed while it was read",
                    })?;
                    self.replace(self.sites.primary()?, &key, copy, object.version).await
                }
                Found::Unsound(version) => self.replace_by_ours(offsite, &key, object, version).await,
                Found::Nothing => Err(VaultError::Contended { key, attempts: 1 }),
            },
        }
    }

    async fn replace_by_ours(
        &self,
        offsite: &SiteStore,
        key: &str,
        object: SoundObject,
        version: Version,
    ) -> Result<SoundObject, VaultError> {
        let ours = self.sites.primary()?.get(key, object.stored_bytes).await?;
        self.replace(offsite, key, ours, version).await?;
        Ok(object)
    }

    /// What is under `key` on a site. Costs a `HEAD`; an object without a valid mark, or a suspect, is read and opened. A role that may
    /// not open it compares the bytes with the mark.
    async fn find(&self, store: &SiteStore, key: &str, chunk: &StoredChunk) -> Result<Found, VaultError> {
        let Some(head) = store.head(key).await? else { return Ok(Found::Nothing) };
        if let Some(sha256) = self.marks.proved(&chunk.id, &head)
            && !self.is_suspect(&chunk.id)
        {
            return Ok(Found::Sound(SoundObject { stored_bytes: head.size_bytes, sha256, version: head.version }));
        }
        if head.size_bytes > CHUNK_LIMIT_BYTES {
            return Ok(Found::Unsound(head.version));
        }
        let mut plaintext = Vec::new();
        let ReadChunk { object, sha256, content } =
            self.opener.read(store, key, head.size_bytes, &self.chunk_key, chunk, &mut plaintext).await?;
        let ReadObject { size_bytes: stored_bytes, mark, version } = object;
        let sound = SoundObject { stored_bytes, sha256, version: version.clone() };
        match content {
            Ok(()) => Ok(Found::Sound(sound)),
            Err(VaultError::WrongContent { .. } | VaultError::Foreign { .. }) => Ok(Found::Unsound(version)),
            Err(VaultError::Open { source, .. }) if source.is_bad_message() => Ok(Found::Unsound(version)),
            // A role may seal chunks and not open them. The mark proves the bytes that were just read: stored again, they would have
            // another sum than older lists name.
            Err(VaultError::Open { source: SealError::DataKey(error), .. }) if error.is_denied() => {
                let (sha256, size_bytes) = (Some(sha256), stored_bytes);
                let read = ObjectHead { size_bytes, sha256, mark, version: version.clone() };
                let proved = self.marks.proved(&chunk.id, &read);
                Ok(proved.map_or(Found::Unsound(version), |_| Found::Sound(sound)))
            }
            Err(error) => Err(error),
        }
    }

    /// The other site's object, read and compared with the checksum that is proved for it.
    async fn sound_copy(&self, chunk: &StoredChunk, key: &str) -> Result<Option<Fetched>, VaultError> {
        let Some(offsite) = self.sites.offsite() else { return Ok(None) };
        let Found::Sound(object) = self.find(offsite, key, chunk).await? else { return Ok(None) };
        let fetched = offsite.get(key, object.stored_bytes).await?;
        Ok((on_cpu(|| sha256(&fetched.body)) == object.sha256).then_some(fetched))
    }

    /// Puts `copy` where an object in state `version` is.
    async fn replace(
        &self,
        store: &SiteStore,
        key: &str,
        copy: Fetched,
        version: Version,
    ) -> Result<SoundObject, VaultError> {
        let Fetched { body, mark, .. } = copy;
        let (stored_bytes, sha256) = (body.len() as u64, on_cpu(|| sha256(&body)));
        let object = NewObject { body, sha256, mark, period: LockPeriod::default() };
        let version = match store.store().put(key, object, PutCondition::IfMatch(version)).await {
            Ok(version) => version,
            // Another session may have done the very same, or an answer was lost and the write repeated.
            Err(refused @ StoreError::VersionChanged { .. }) => match store.head(key).await? {
                Some(head) if head.sha256 == Some(sha256) => head.version,
                _ => return Err(store.error(refused)),
            },
            Err(source) => return Err(store.error(source)),
        };
        Ok(SoundObject { stored_bytes, sha256, version })
    }

    /// Whether this run has seen to it that every site has the chunk.
    pub fn is_done(&self, id: &ChunkId) -> bool {
        self.known().get(id).is_some_and(|known| known.done)
    }

    fn keep(&self, id: ChunkId, known: KnownChunk) -> bool {
        let mut index = self.known();
        if index.len() >= self.known_limit && !index.contains_key(&id) {
            return false;
        }
        index.insert(id, known);
        true
    }

    fn known(&self) -> MutexGuard<'_, HashMap<ChunkId, KnownChunk>> {
        // Each change under the lock is a single insertion: a panic elsewhere has not spoiled it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
