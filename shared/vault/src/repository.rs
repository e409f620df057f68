//! A repository on its sites: opened, made, and kept the same on both.

mod copies;
pub(crate) mod document;
pub(crate) mod epoch_keys;
pub(crate) mod epochs;
pub(crate) mod healing;
pub(crate) mod inspection;
pub(crate) mod listed;
pub(crate) mod published_keys;
pub(crate) mod randomness;
pub(crate) mod signature;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use lifeboat_model::{ChunkKey, Epoch, EpochNumber, Manifest, PublicKey, RepositoryDocument, Site};
use lifeboat_seal::{CachedDataKeys, DataKeys};

use crate::chunks::message::{Binding, Keys, Purpose};
use crate::error::VaultError;
use crate::layout::REPOSITORY_KEY;
use crate::repository::copies::{agreed, converge, create, read_each};
use crate::repository::published_keys::{PublishedKeys, Trust};
use crate::store::sites::Sites;

/// Everything that Lifeboat keeps, on one or two sites.
///
/// Cheap to clone; clones share the data keys they have asked for. Make one for a run, so that a key which is withdrawn
/// does not stay usable for longer.
#[derive(Clone)]
pub struct Repository {
    pub(crate) sites: Sites,
    pub(crate) keys: Arc<Keys>,
    known: Arc<Mutex<Known>>,
}

struct Known {
    document: RepositoryDocument,
    published: PublishedKeys,
    chunk_keys: BTreeMap<EpochNumber, ChunkKey>,
    previous_epoch: Option<EpochNumber>,
}

impl Repository {
    /// Opens a repository for reading or writing. Writes nothing.
    ///
    /// One readable site is enough; when both are, the document with more epochs counts.
    ///
    /// # Errors
    /// [`VaultError::NoRepository`] when no site has one, [`VaultError::TwoRepositories`], [`VaultError::NewerFormat`];
    /// what the sites answered, when none could be read.
    pub async fn open(sites: Sites, keys: Arc<dyn DataKeys>) -> Result<Self, VaultError> {
        let copies = read_each(&sites).await;
        let published = copies.published();
        let document = copies.newest()?.ok_or(VaultError::NoRepository)?;
        Ok(Self::new(sites, Arc::new(CachedDataKeys::new(keys)), document, published))
    }

    /// As [`Repository::open`], but two sites whose documents contradict each other are no error: a verification says so
    /// and trusts nothing of the epochs in dispute ([`Repository::disputed_epochs`]). Beginning to write is still refused.
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub async fn open_to_verify(sites: Sites, keys: Arc<dyn DataKeys>) -> Result<Self, VaultError> {
        let copies = read_each(&sites).await;
        let published = copies.published();
        let document = copies.longest()?.ok_or(VaultError::NoRepository)?;
        Ok(Self::new(sites, Arc::new(CachedDataKeys::new(keys)), document, published))
    }

    /// Opens a repository, or makes it on its first day, and sees to it that both sites hold the same document.
    ///
    /// Idempotent: two creators at once end with one repository. A new primary bucket joins the repository of an old off-site.
    ///
    /// An off-site that does not serve is set aside ([`Sites::aside`]). But with an empty primary it must be readable: it may hold a
    /// repository, and there must not be a second one.
    ///
    /// # Errors
    /// As [`Repository::open`]; and the primary must be readable and writable.
    pub async fn open_or_create(sites: Sites, keys: Arc<dyn DataKeys>, now: Timestamp) -> Result<Self, VaultError> {
        let keys = Arc::new(CachedDataKeys::new(keys));
        let mut found = converge(&sites).await?;
        if found.is_none() {
            create(&sites, &keys, now).await?;
            found = converge(&sites).await?;
        }
        let document = found.ok_or(VaultError::NoRepository)?.document;
        let published = agreed(&sites, &document);
        Ok(Self::new(sites, keys, document, published))
    }

    fn new(sites: Sites, keys: Arc<Keys>, document: RepositoryDocument, published: PublishedKeys) -> Self {
        let known = Known { document, published, chunk_keys: BTreeMap::new(), previous_epoch: None };
        Self { sites, keys, known: Arc::new(Mutex::new(known)) }
    }

    /// The random id that every message of this repository is bound to.
    pub fn id(&self) -> String {
        self.known().document.repository_id.clone()
    }

    /// The sites it was opened with.
    pub fn sites(&self) -> &Sites {
        &self.sites
    }

    /// The document as it was last read.
    pub fn document(&self) -> RepositoryDocument {
        self.known().document.clone()
    }

    /// The epoch of the manifest that [`Repository::previous_manifest`] last gave; `None` before that.
    pub fn previous_epoch(&self) -> Option<EpochNumber> {
        self.known().previous_epoch
    }

    pub(crate) fn note_previous(&self, manifest: &Manifest) {
        self.known().previous_epoch = Some(manifest.epoch);
    }

    /// The chunk key of an epoch: opened once, then kept.
    ///
    /// # Errors
    /// [`VaultError::UnknownEpoch`]; what the key service answers when it does not open the sealed key.
    pub async fn chunk_key(&self, epoch: EpochNumber) -> Result<ChunkKey, VaultError> {
        if let Some(key) = self.known().chunk_keys.get(&epoch) {
            return Ok(key.clone());
        }
        let mut found = self.document().epoch(epoch).cloned();
        if found.is_none() {
            // Another run may have begun the epoch since this repository was opened.
            let copies = read_each(&self.sites).await;
            let published = copies.published();
            let fresh = copies.newest()?.ok_or(VaultError::NoRepository)?;
            found = fresh.epoch(epoch).cloned();
            let mut known = self.known();
            (known.document, known.published) = (fresh, published);
        }
        let sealed = found.ok_or(VaultError::UnknownEpoch { epoch })?;
        let key = self.open_chunk_key(&sealed).await?;
        self.known().chunk_keys.insert(epoch, key.clone());
        Ok(key)
    }

    /// Epochs in which the sites' `repository.json` differ, as last read.
    pub fn disputed_epochs(&self) -> Vec<EpochNumber> {
        self.known().published.disputed()
    }

    /// How far the sites vouch for an epoch, as last read.
    pub(crate) fn trust(&self, epoch: EpochNumber) -> Trust {
        self.known().published.trust(epoch)
    }

    /// The key that the sites publish for an epoch.
    pub(crate) async fn published_key(&self, epoch: EpochNumber) -> Result<PublicKey, VaultError> {
        if self.trust(epoch) == Trust::Unknown {
            // Another run may have begun the epoch since this repository was opened.
            self.reread_published().await;
        }
        self.known().published.key(epoch)
    }

    /// Reads again what the sites publish.
    pub(crate) async fn reread_published(&self) {
        let published = read_each(&self.sites).await.published();
        self.known().published = published;
    }

    fn same_repository(&self, fresh: &RepositoryDocument) -> Result<(), VaultError> {
        let ours = self.id();
        if ours == fresh.repository_id {
            return Ok(());
        }
        Err(VaultError::TwoRepositories { primary: fresh.repository_id.clone(), offsite: ours })
    }

    async fn open_chunk_key(&self, epoch: &Epoch) -> Result<ChunkKey, VaultError> {
        let site = self.sites.names().first().copied().unwrap_or(Site::Primary);
        let damaged = |reason| VaultError::Damaged { site, key: REPOSITORY_KEY.to_owned(), reason };
        let message =
            BASE64.decode(&epoch.chunk_key).map_err(|_| damaged("the chunk key of an epoch is not base64"))?;
        let binding = Binding::new(&self.id(), epoch.number, Purpose::ChunkKey)?;
        let secret = binding.open(&self.keys, site, REPOSITORY_KEY, &message).await?;
        let secret =
            secret.as_slice().try_into().map_err(|_| damaged("a chunk key has another length than 32 bytes"))?;
        Ok(ChunkKey::new(secret))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change under the lock is a single assignment or insertion: a panic elsewhere has not spoiled it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
