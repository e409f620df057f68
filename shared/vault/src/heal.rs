//! Looking at stored objects without any key, and putting a bad one right from the other site.

use std::fmt;

use lifeboat_model::{BackupId, ChunkId, DatabaseName, EpochNumber, Manifest, Sha256, Site, StoredChunk};

use crate::checksum::sha256;
use crate::document::{Place, SealedManifest, decode_repository};
use crate::error::VaultError;
use crate::heavy::on_cpu;
use crate::layout::{REPOSITORY_KEY, chunk_key, chunk_list_key, epoch_prefix, manifest_key};
use crate::reader::CHUNK_LIMIT_BYTES;
use crate::repository::Repository;
use crate::sites::SiteStore;
use crate::store::{DOCUMENT_LIMIT_BYTES, Fetched, NewObject, PutCondition};
use crate::store_error::StoreError;

/// An object that something lists, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    key: String,
    content: Content,
}

/// How a reader without keys tells a sound object.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    /// A list gives its length and SHA-256.
    Sum { size_bytes: u64, sha256: Sha256 },
    /// A manifest proves itself: [`SealedManifest`].
    Manifest { database: DatabaseName, backup_id: BackupId },
    /// So does the document at the root.
    Repository,
}

impl Listed {
    /// A chunk, as a chunk list has it.
    pub fn chunk(chunk: &StoredChunk) -> Self {
        let content = Content::Sum { size_bytes: chunk.stored_bytes, sha256: chunk.sha256 };
        Self { key: chunk_key(chunk.epoch, &chunk.id), content }
    }

    /// The parts of a backup's chunk list, as its manifest has them.
    pub fn chunk_list(manifest: &Manifest) -> impl Iterator<Item = Self> + '_ {
        manifest.chunk_list.parts.iter().enumerate().map(|(number, part)| Self {
            key: chunk_list_key(&manifest.database, &manifest.backup_id, number),
            content: Content::Sum { size_bytes: part.stored_bytes, sha256: part.sha256 },
        })
    }

    /// A backup's manifest.
    pub fn manifest(database: &DatabaseName, backup_id: &BackupId) -> Self {
        let content = Content::Manifest { database: database.clone(), backup_id: backup_id.clone() };
        Self { key: manifest_key(database, backup_id), content }
    }

    /// `repository.json`.
    pub fn repository() -> Self {
        Self { key: REPOSITORY_KEY.to_owned(), content: Content::Repository }
    }

    /// Its key in the bucket.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether `fetched` is the object, whole and undamaged.
    fn is_sound(&self, site: Site, bytes: &[u8]) -> bool {
        let place = Place { site, key: &self.key };
        match &self.content {
            Content::Sum { size_bytes, sha256: listed } => {
                bytes.len() as u64 == *size_bytes && on_cpu(|| sha256(bytes)) == *listed
            }
            Content::Manifest { database, backup_id } => SealedManifest::decode(place, bytes).is_ok_and(|sealed| {
                let claimed = sealed.claimed();
                claimed.database == *database && claimed.backup_id == *backup_id
            }),
            Content::Repository => decode_repository(place, bytes).is_ok(),
        }
    }

    fn limit_bytes(&self) -> u64 {
        match &self.content {
            Content::Sum { size_bytes, .. } => *size_bytes,
            Content::Manifest { .. } | Content::Repository => DOCUMENT_LIMIT_BYTES,
        }
    }
}

/// What an object on one site turned out to be.
#[derive(Debug)]
pub enum ObjectState {
    /// Read to its end; it is what is listed.
    Sound {
        /// Its length.
        size_bytes: u64,
    },
    /// It is not there.
    Missing,
    /// Its length is another than listed.
    Size {
        /// The length listed.
        expected_bytes: u64,
        /// The length it has, as far as it was read.
        actual_bytes: u64,
    },
    /// Its bytes are others than listed.
    Checksum {
        /// The SHA-256 that its bytes have; absent for a document that failed its own checksum.
        actual: Option<Sha256>,
    },
    /// The store did not give it.
    Unreadable {
        /// What the store answered.
        error: StoreError,
    },
}

impl ObjectState {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        matches!(self, Self::Sound { .. })
    }
}

impl fmt::Display for ObjectState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sound { size_bytes } => write!(f, "sound, {size_bytes} bytes"),
            Self::Missing => f.write_str("it is not there"),
            Self::Size { expected_bytes, actual_bytes } => {
                write!(f, "{expected_bytes} bytes are listed, {actual_bytes} are there")
            }
            Self::Checksum { actual: Some(actual) } => write!(f, "its bytes are others than listed: sha-256 {actual}"),
            Self::Checksum { actual: None } => f.write_str("it fails its own checksum"),
            Self::Unreadable { error } => write!(f, "{error}"),
        }
    }
}

impl Repository {
    /// Reads an object to its end, in bounded memory, and says what it is. Needs no key and no right to decrypt.
    ///
    /// What is wrong with the object is the answer and not an error.
    ///
    /// # Errors
    /// [`VaultError::NoSite`].
    pub async fn inspect(&self, site: Site, listed: &Listed) -> Result<ObjectState, VaultError> {
        let store = self.sites.get(site)?;
        Ok(match &listed.content {
            Content::Sum { size_bytes, sha256 } => inspect_sum(store, &listed.key, *size_bytes, sha256).await,
            Content::Manifest { .. } | Content::Repository => inspect_document(store, listed).await,
        })
    }

    /// Puts a missing or damaged object of `site` right from the other site, whose copy is proved sound first; then reads
    /// it back. Returns its length. The damaged bytes stay in the bucket as an older version.
    ///
    /// Idempotent; an object that is sound by now is left alone.
    ///
    /// # Errors
    /// [`VaultError::NotHealed`] when the other site is not configured or has no sound copy; [`VaultError::Store`].
    pub async fn heal(&self, site: Site, listed: &Listed) -> Result<u64, VaultError> {
        let store = self.sites.get(site)?;
        let key = listed.key.as_str();
        let not_healed = |reason| VaultError::NotHealed { site, key: key.to_owned(), reason };
        let other = self.sites.get(site.other()).map_err(|_| not_healed("there is no other site"))?;
        let Some(copy) = other.find(key, listed.limit_bytes()).await? else {
            return Err(not_healed("the other site does not have it"));
        };
        if !listed.is_sound(other.site(), &copy.body) {
            return Err(not_healed("the other site's copy is not sound either"));
        }
        let Fetched { body, mark, .. } = copy;
        let size_bytes = body.len() as u64;
        // A `HEAD` rather than a read: a damaged object may be longer than anything we would read.
        let condition = match store.head(key).await? {
            Some(head) => PutCondition::IfMatch(head.version),
            None => PutCondition::CreateOnly,
        };
        let sha256 = on_cpu(|| sha256(&body));
        match store.store().put(key, NewObject { body, sha256, mark }, condition).await {
            // Somebody else has changed it since: whether that healed it is seen by reading it.
            Ok(_) | Err(StoreError::AlreadyExists { .. } | StoreError::VersionChanged { .. }) => {}
            Err(source) => return Err(store.error(source)),
        }
        match self.inspect(site, listed).await? {
            ObjectState::Sound { .. } => Ok(size_bytes),
            _ => Err(not_healed("it is damaged again after it was written")),
        }
    }

    /// One page of the ids of the chunks that a site has of an epoch, ascending, after the chunk `after`; and whether more
    /// follow. For finding what no manifest lists. Keys that are no chunk's are passed over.
    ///
    /// # Errors
    /// [`VaultError::NoSite`], [`VaultError::Store`].
    pub async fn stored_chunks(
        &self,
        site: Site,
        epoch: EpochNumber,
        after: Option<&ChunkId>,
    ) -> Result<StoredChunks, VaultError> {
        let after = after.map(|id| chunk_key(epoch, id));
        let page = self.sites.get(site)?.list(&epoch_prefix(epoch), after.as_deref()).await?;
        let id = |key: &String| key.rsplit('/').next().and_then(|name| name.parse::<ChunkId>().ok());
        let ids: Vec<ChunkId> = page.keys.iter().filter_map(id).collect();
        Ok(StoredChunks { more: page.more && !ids.is_empty(), ids })
    }
}

/// A page of [`Repository::stored_chunks`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredChunks {
    /// Ascending, at most [`PAGE_KEYS`](crate::PAGE_KEYS).
    pub ids: Vec<ChunkId>,
    /// Whether more follow after the last.
    pub more: bool,
}

async fn inspect_sum(store: &SiteStore, key: &str, expected_bytes: u64, listed: &Sha256) -> ObjectState {
    match store.measure(key, expected_bytes.min(CHUNK_LIMIT_BYTES)).await {
        Ok(measured) if measured.size_bytes != expected_bytes => {
            ObjectState::Size { expected_bytes, actual_bytes: measured.size_bytes }
        }
        Ok(measured) if measured.sha256 != *listed => ObjectState::Checksum { actual: Some(measured.sha256) },
        Ok(measured) => ObjectState::Sound { size_bytes: measured.size_bytes },
        Err(StoreError::NotFound { .. }) => ObjectState::Missing,
        Err(StoreError::TooLarge { size_bytes, .. }) => ObjectState::Size { expected_bytes, actual_bytes: size_bytes },
        Err(error) => ObjectState::Unreadable { error },
    }
}

async fn inspect_document(store: &SiteStore, listed: &Listed) -> ObjectState {
    match store.store().get(&listed.key, listed.limit_bytes()).await {
        Ok(fetched) if listed.is_sound(store.site(), &fetched.body) => {
            ObjectState::Sound { size_bytes: fetched.body.len() as u64 }
        }
        Ok(_) => ObjectState::Checksum { actual: None },
        Err(StoreError::NotFound { .. }) => ObjectState::Missing,
        Err(error) => ObjectState::Unreadable { error },
    }
}
