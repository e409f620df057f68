//! Looking at stored objects without any secret, and putting a bad one right from the other site.
//!
//! What is healed is written over, so it needs more trust than what is looked at: nothing is put right from one site to
//! the other unless every site publishes the same key for the epoch whose signature vouches for it.

use std::fmt;

use lifeboat_model::{BackupId, DatabaseName, EpochNumber, Manifest, Sha256, Site, StoredChunk};

use crate::backups::of_backup;
use crate::checksum::sha256;
use crate::document::{Place, SignedManifest, decode_repository, legible_epochs};
use crate::error::VaultError;
use crate::heavy::on_cpu;
use crate::layout::{REPOSITORY_KEY, chunk_key, chunk_list_key, manifest_key};
use crate::published::Trust;
use crate::reader::CHUNK_LIMIT_BYTES;
use crate::repository::Repository;
use crate::sites::SiteStore;
use crate::store::{DOCUMENT_LIMIT_BYTES, Fetched, Measured, NewObject, PutCondition, Version};
use crate::store_error::StoreError;

/// Checksums that are remembered for one chunk: the first, and one more each time it was lost everywhere and sealed anew.
const SUMS_LIMIT: usize = 16;

/// An object that something lists, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    key: String,
    content: Content,
}

/// How a reader without secrets tells a sound object.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    /// A list that the epoch's signature vouches for gives its length and SHA-256. A chunk that was sealed again has
    /// several.
    Sums { epoch: EpochNumber, sums: Vec<Sum> },
    /// A manifest proves itself: [`SignedManifest`].
    Manifest { database: DatabaseName, backup_id: BackupId },
    /// So does the document at the root, against damage only.
    Repository,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sum {
    size_bytes: u64,
    sha256: Sha256,
}

/// What some bytes are, in the place of a listed object.
enum Judgement {
    Sound,
    /// Written by a newer version of this program: whether it is sound cannot be told here.
    Newer {
        found: u32,
        known: u32,
    },
    Unsound,
}

impl Listed {
    /// A chunk, as a chunk list has it. The list must come from a manifest of the chunk's epoch whose signature holds.
    pub fn chunk(chunk: &StoredChunk) -> Self {
        let sums = vec![Sum { size_bytes: chunk.stored_bytes, sha256: chunk.sha256 }];
        Self { key: chunk_key(chunk.epoch, &chunk.id), content: Content::Sums { epoch: chunk.epoch, sums } }
    }

    /// The same chunk, as another list has it: any of the listed objects is sound. Each was proved to hold the content when
    /// it was listed.
    #[must_use]
    pub fn or(mut self, chunk: &StoredChunk) -> Self {
        let sum = Sum { size_bytes: chunk.stored_bytes, sha256: chunk.sha256 };
        match &mut self.content {
            Content::Sums { epoch, sums }
                if self.key == chunk_key(*epoch, &chunk.id) && !sums.contains(&sum) && sums.len() < SUMS_LIMIT =>
            {
                sums.push(sum);
            }
            _ => {}
        }
        self
    }

    /// The parts of a backup's chunk list, as its manifest has them.
    pub fn chunk_list(manifest: &Manifest) -> impl Iterator<Item = Self> + '_ {
        manifest.chunk_list.parts.iter().enumerate().map(|(number, part)| Self {
            key: chunk_list_key(&manifest.database, &manifest.backup_id, number),
            content: Content::Sums {
                epoch: manifest.epoch,
                sums: vec![Sum { size_bytes: part.stored_bytes, sha256: part.sha256 }],
            },
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

    fn limit_bytes(&self) -> u64 {
        match &self.content {
            Content::Sums { sums, .. } => longest(sums),
            Content::Manifest { .. } | Content::Repository => DOCUMENT_LIMIT_BYTES,
        }
    }
}

fn longest(sums: &[Sum]) -> u64 {
    sums.iter().map(|sum| sum.size_bytes).max().unwrap_or_default()
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
        /// The SHA-256 that its bytes have; absent for a document that fails its own checksum or signature.
        actual: Option<Sha256>,
    },
    /// A newer version of this program wrote it: it is neither called sound nor ever replaced.
    Newer {
        /// The format it has.
        found: u32,
        /// The newest format known here.
        known: u32,
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
            Self::Checksum { actual: None } => f.write_str("it fails its own checksum or signature"),
            Self::Newer { found, known } => write!(f, "it has format {found}, the newest known here is {known}"),
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
            Content::Sums { sums, .. } => inspect_sums(store, &listed.key, sums).await,
            Content::Manifest { .. } | Content::Repository => self.inspect_document(store, listed).await?,
        })
    }

    /// Whether a site says that it has no object under the listed key.
    ///
    /// # Errors
    /// [`VaultError::NoSite`], [`VaultError::Store`].
    pub async fn is_absent(&self, site: Site, listed: &Listed) -> Result<bool, VaultError> {
        Ok(self.sites.get(site)?.head(&listed.key).await?.is_none())
    }

    /// Puts a missing or damaged object of `site` right from the other site, whose copy is proved sound first; then reads
    /// it back. Returns its length. The damaged bytes stay in the bucket as an older version.
    ///
    /// What is replaced is the very state that was read and judged here; an object that is sound by now is left alone.
    /// Idempotent.
    ///
    /// # Errors
    /// [`VaultError::NotHealed`] when the other site is not configured or has no sound copy, when the sites do not agree
    /// on the epoch's key, or for a document of a newer format; [`VaultError::Store`].
    pub async fn heal(&self, site: Site, listed: &Listed) -> Result<u64, VaultError> {
        let store = self.sites.get(site)?;
        let key = listed.key.as_str();
        let not_healed = |reason| VaultError::NotHealed { site, key: key.to_owned(), reason };
        let other = self.sites.get(site.other()).map_err(|_| not_healed("there is no other site"))?;
        let (condition, legible) = match self.unsound_state(store, listed).await? {
            Own::Sound { size_bytes } => return Ok(size_bytes),
            Own::Newer => return Err(not_healed("it is of a newer format than is known here")),
            Own::Missing => (PutCondition::CreateOnly, 0),
            Own::Unsound { version, legible_epochs } => (PutCondition::IfMatch(version), legible_epochs),
        };
        let Some(copy) = other.find(key, listed.limit_bytes()).await? else {
            return Err(not_healed("the other site does not have it"));
        };
        match self.judge(other.site(), listed, &copy.body).await? {
            Judgement::Sound => {}
            Judgement::Newer { .. } => return Err(not_healed("the other site's is of a newer format")),
            Judgement::Unsound => return Err(not_healed("the other site's copy is not sound either")),
        }
        self.may_heal(listed, other.site(), &copy, legible).map_err(not_healed)?;
        let Fetched { body, mark, .. } = copy;
        let size_bytes = body.len() as u64;
        let sha256 = on_cpu(|| sha256(&body));
        match store.store().put(key, NewObject { body, sha256, mark, keep_until: None }, condition).await {
            // Somebody else has changed it since: whether that healed it is seen by reading it.
            Ok(_) | Err(StoreError::AlreadyExists { .. } | StoreError::VersionChanged { .. }) => {}
            Err(source) => return Err(store.error(source)),
        }
        if listed.content == Content::Repository {
            self.reread_published().await;
        }
        match self.inspect(site, listed).await? {
            ObjectState::Sound { .. } => Ok(size_bytes),
            _ => Err(not_healed("it is damaged again after it was written")),
        }
    }

    /// What a site has of an object that is to be healed, and which state a write must name.
    async fn unsound_state(&self, store: &SiteStore, listed: &Listed) -> Result<Own, VaultError> {
        match store.store().get(&listed.key, listed.limit_bytes()).await {
            Ok(fetched) => Ok(match self.judge(store.site(), listed, &fetched.body).await? {
                Judgement::Sound => Own::Sound { size_bytes: fetched.body.len() as u64 },
                Judgement::Newer { .. } => Own::Newer,
                Judgement::Unsound => {
                    Own::Unsound { legible_epochs: legible_epochs_of(listed, &fetched), version: fetched.version }
                }
            }),
            Err(StoreError::NotFound { .. }) => Ok(Own::Missing),
            // Longer than anything that would be sound: its length, told together with its state, is the judgement.
            Err(StoreError::TooLarge { .. }) => match store.head(&listed.key).await? {
                Some(head) if head.size_bytes > listed.limit_bytes() => {
                    Ok(Own::Unsound { legible_epochs: 0, version: head.version })
                }
                Some(_) => Err(store.error(StoreError::VersionChanged { key: listed.key.clone() })),
                None => Ok(Own::Missing),
            },
            Err(source) => Err(store.error(source)),
        }
    }

    /// Whether the sites' word is enough to write over an object of one of them; else why not.
    fn may_heal(&self, listed: &Listed, from: Site, copy: &Fetched, legible: usize) -> Result<(), &'static str> {
        let epoch = match &listed.content {
            Content::Sums { epoch, .. } => *epoch,
            Content::Manifest { .. } => SignedManifest::decode(Place { site: from, key: &listed.key }, &copy.body)
                .map_err(|_| "the other site's copy is not sound either")?
                .claimed_epoch(),
            Content::Repository => {
                let ours = self.document();
                let theirs = decode_repository(Place { site: from, key: &listed.key }, &copy.body)
                    .map_err(|_| "the other site's copy is not sound either")?;
                return if theirs.repository_id != ours.repository_id {
                    Err("the other site's is of another repository")
                } else if theirs.epochs.len() < legible.max(ours.epochs.len()) {
                    Err("the other site's has fewer epochs")
                } else {
                    Ok(())
                };
            }
        };
        match self.trust(epoch) {
            Trust::Agreed(_) => Ok(()),
            Trust::Partial(_) => {
                Err("not every site's `repository.json` can be read, which must agree before anything is replaced")
            }
            Trust::Disputed | Trust::Unknown => Err("the sites' `repository.json` do not agree on its epoch"),
        }
    }

    async fn judge(&self, site: Site, listed: &Listed, bytes: &[u8]) -> Result<Judgement, VaultError> {
        let place = Place { site, key: &listed.key };
        let judged = match &listed.content {
            Content::Sums { sums, .. } => {
                let sum = Sum { size_bytes: bytes.len() as u64, sha256: on_cpu(|| sha256(bytes)) };
                return Ok(if sums.contains(&sum) { Judgement::Sound } else { Judgement::Unsound });
            }
            Content::Manifest { database, backup_id } => match SignedManifest::decode(place, bytes) {
                Err(error) => Err(error),
                Ok(signed) => match self.published_key(signed.claimed_epoch()).await {
                    Err(error) => Err(error),
                    Ok(public_key) => signed
                        .authenticate(place, &public_key)
                        .and_then(|manifest| of_backup(database, backup_id, place, manifest).map(drop)),
                },
            },
            Content::Repository => decode_repository(place, bytes).map(drop),
        };
        Ok(match judged {
            Ok(()) => Judgement::Sound,
            Err(VaultError::NewerFormat { found, known, .. }) => Judgement::Newer { found, known },
            Err(_) => Judgement::Unsound,
        })
    }

    async fn inspect_document(&self, store: &SiteStore, listed: &Listed) -> Result<ObjectState, VaultError> {
        Ok(match store.store().get(&listed.key, listed.limit_bytes()).await {
            Ok(fetched) => match self.judge(store.site(), listed, &fetched.body).await? {
                Judgement::Sound => ObjectState::Sound { size_bytes: fetched.body.len() as u64 },
                Judgement::Newer { found, known } => ObjectState::Newer { found, known },
                Judgement::Unsound => ObjectState::Checksum { actual: None },
            },
            Err(StoreError::NotFound { .. }) => ObjectState::Missing,
            Err(error) => ObjectState::Unreadable { error },
        })
    }
}

/// What a site has of an object that is to be healed.
enum Own {
    Sound { size_bytes: u64 },
    Newer,
    Missing,
    Unsound { version: Version, legible_epochs: usize },
}

fn legible_epochs_of(listed: &Listed, fetched: &Fetched) -> usize {
    if listed.content == Content::Repository { legible_epochs(&fetched.body) } else { 0 }
}

async fn inspect_sums(store: &SiteStore, key: &str, sums: &[Sum]) -> ObjectState {
    let expected_bytes = longest(sums);
    match store.measure(key, expected_bytes.min(CHUNK_LIMIT_BYTES)).await {
        Ok(measured) => {
            let Measured { size_bytes, sha256, .. } = measured;
            if sums.contains(&Sum { size_bytes, sha256 }) {
                ObjectState::Sound { size_bytes }
            } else if sums.iter().any(|sum| sum.size_bytes == size_bytes) {
                ObjectState::Checksum { actual: Some(sha256) }
            } else {
                ObjectState::Size { expected_bytes, actual_bytes: size_bytes }
            }
        }
        Err(StoreError::NotFound { .. }) => ObjectState::Missing,
        Err(StoreError::TooLarge { size_bytes, .. }) => ObjectState::Size { expected_bytes, actual_bytes: size_bytes },
        Err(error) => ObjectState::Unreadable { error },
    }
}
