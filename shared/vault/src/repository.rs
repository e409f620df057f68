//! A repository on its sites: opened, made, and kept the same on both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{ChunkKey, Epoch, EpochNumber, PublicKey, REPOSITORY_FORMAT, RepositoryDocument, Site};
use lifeboat_seal::{CachedDataKeys, DataKeys};

use crate::document::{Place, decode_repository, encode_repository};
use crate::error::VaultError;
use crate::layout::REPOSITORY_KEY;
use crate::message::{Binding, Keys, Purpose};
use crate::published::{PublishedKeys, Trust};
use crate::signature::public_key;
use crate::sites::{SiteStore, Sites};
use crate::store::{DOCUMENT_LIMIT_BYTES, NewObject, PutCondition, Version};
use crate::store_error::StoreError;

/// How long an epoch is written to. Longer saves storage, shorter bounds what one bad chunk can touch and lets old data
/// be erased sooner.
pub const EPOCH_AGE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Times that a change of `repository.json` is tried when others change it too. It changes once in an epoch.
const CHANGE_ATTEMPTS: u32 = 8;

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
}

/// A document as one site has it.
struct Copy {
    document: RepositoryDocument,
    version: Version,
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
    /// Idempotent; two creators at once end with one repository. A new primary bucket beside an old off-site copy
    /// becomes part of the old repository.
    ///
    /// An off-site that does not serve is set aside ([`Sites::aside`]); but with nothing on the primary it must be readable,
    /// so that no second repository comes to be beside the one it may hold.
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
        let known = Known { document, published, chunk_keys: BTreeMap::new() };
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

    /// The chunk key of an epoch: opened once, then kept.
    ///
    /// # Errors
    /// [`VaultError::UnknownEpoch`]; whatever keeps the sealed key from being opened.
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

    /// Epochs that one site's `repository.json` has otherwise than the other's, as last read.
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

    /// The epoch to write to; begins a new one when the last is older than `max_age`.
    pub(crate) async fn current_epoch(
        &self,
        now: Timestamp,
        max_age: SignedDuration,
    ) -> Result<EpochNumber, VaultError> {
        let primary = self.sites.primary()?;
        for _ in 0..CHANGE_ATTEMPTS {
            let Copy { mut document, version } = converge(&self.sites).await?.ok_or(VaultError::NoRepository)?;
            self.same_repository(&document)?;
            // No epoch is begun that one site alone would know: the last one is written to for a little longer.
            let is_alone = self.sites.aside().is_some();
            let last = document.epochs.last().filter(|_| is_alone);
            if let Some(epoch) = document.current_epoch(now, max_age).or(last) {
                let number = epoch.number;
                let published = agreed(&self.sites, &document);
                let mut known = self.known();
                (known.document, known.published) = (document, published);
                return Ok(number);
            }
            let next = document.epochs.last().map_or(1, |epoch| epoch.number.0.saturating_add(1));
            let epoch = new_epoch(&self.keys, &document.repository_id, EpochNumber(next), now).await?;
            document.epochs.push(epoch);
            let object = NewObject::new(encode_repository(REPOSITORY_KEY, &document)?);
            match primary.store().put(REPOSITORY_KEY, object, PutCondition::IfMatch(version)).await {
                // Read again: an answer that was lost and repeated looks like somebody else's change.
                Ok(_) | Err(StoreError::VersionChanged { .. }) => {}
                Err(source) => return Err(primary.error(source)),
            }
        }
        Err(VaultError::Contended { key: REPOSITORY_KEY.to_owned(), attempts: CHANGE_ATTEMPTS })
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

async fn read(store: &SiteStore) -> Result<Option<Copy>, VaultError> {
    let Some(fetched) = store.find(REPOSITORY_KEY, DOCUMENT_LIMIT_BYTES).await? else { return Ok(None) };
    let document = decode_repository(Place { site: store.site(), key: REPOSITORY_KEY }, &fetched.body)?;
    Ok(Some(Copy { document, version: fetched.version }))
}

/// `repository.json` as each site answered, primary first.
struct Copies {
    read: Vec<Result<Option<RepositoryDocument>, VaultError>>,
    aside: Option<Site>,
}

async fn read_each(sites: &Sites) -> Copies {
    let mut read = Vec::new();
    for store in sites.iter() {
        read.push(self::read(store).await.map(|copy| copy.map(|copy| copy.document)));
    }
    Copies { read, aside: sites.aside().map(|_| Site::Offsite) }
}

/// What the sites publish after all that serve were given the same document.
fn agreed(sites: &Sites, document: &RepositoryDocument) -> PublishedKeys {
    let aside = sites.aside().map(|_| None);
    PublishedKeys::new(sites.iter().map(|_| Some(document)).chain(aside))
}

impl Copies {
    fn published(&self) -> PublishedKeys {
        let read = self.read.iter().map(|copy| copy.as_ref().ok().and_then(Option::as_ref));
        PublishedKeys::new(read.chain(self.aside.map(|_| None)))
    }

    /// The newest document that any site could give; the first error when none could and not all are empty.
    fn newest(self) -> Result<Option<RepositoryDocument>, VaultError> {
        self.pick(newer)
    }

    /// The same, when it may contradict the other site's.
    fn longest(self) -> Result<Option<RepositoryDocument>, VaultError> {
        self.pick(longer)
    }

    fn pick(
        self,
        choose: fn(Option<RepositoryDocument>, RepositoryDocument) -> Result<RepositoryDocument, VaultError>,
    ) -> Result<Option<RepositoryDocument>, VaultError> {
        let mut picked: Option<RepositoryDocument> = None;
        let mut failure = None;
        for copy in self.read {
            match copy {
                Ok(None) => {}
                Ok(Some(document)) => picked = Some(choose(picked, document)?),
                // Two formats at once: reading on with the older one would hide what the newer one says.
                Err(error @ VaultError::NewerFormat { .. }) => return Err(error),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match (picked, failure) {
            (None, Some(error)) => Err(error),
            (picked, _) => Ok(picked),
        }
    }
}

/// The one of two documents that has more epochs. The other must be its beginning: an epoch that one site alone knows is
/// the only way to everything stored in it.
fn newer(primary: Option<RepositoryDocument>, offsite: RepositoryDocument) -> Result<RepositoryDocument, VaultError> {
    let contradicts = |primary: &RepositoryDocument| {
        primary.repository_id == offsite.repository_id
            && primary.epochs.iter().zip(&offsite.epochs).any(|(ours, theirs)| ours != theirs)
    };
    if primary.as_ref().is_some_and(contradicts) {
        let reason = "its epochs are not those of the primary";
        return Err(VaultError::Damaged { site: Site::Offsite, key: REPOSITORY_KEY.to_owned(), reason });
    }
    longer(primary, offsite)
}

/// The one of two documents of the same repository that has more epochs.
fn longer(primary: Option<RepositoryDocument>, offsite: RepositoryDocument) -> Result<RepositoryDocument, VaultError> {
    let Some(primary) = primary else { return Ok(offsite) };
    if primary.repository_id != offsite.repository_id {
        return Err(VaultError::TwoRepositories { primary: primary.repository_id, offsite: offsite.repository_id });
    }
    Ok(if primary.epochs.len() >= offsite.epochs.len() { primary } else { offsite })
}

/// Makes the document on the primary, unless another creator was faster.
async fn create(sites: &Sites, keys: &Keys, now: Timestamp) -> Result<(), VaultError> {
    let repository_id = hex::encode(random::<16>()?);
    let first = new_epoch(keys, &repository_id, EpochNumber(1), now).await?;
    let document =
        RepositoryDocument { format: REPOSITORY_FORMAT, repository_id, created_at: now, epochs: vec![first] };
    bring_up_to_date(sites.primary()?, None, &document).await.map(drop)
}

/// Gives each site the newest document that any has; `None` when there is none. Returns the primary's copy.
async fn converge(sites: &Sites) -> Result<Option<Copy>, VaultError> {
    let primary = sites.primary()?;
    for _ in 0..CHANGE_ATTEMPTS {
        let on_primary = read(primary).await?;
        let on_offsite = match (&on_primary, sites.offsite()) {
            (Some(_), Some(offsite)) => sites.or_aside(read(offsite).await)?.flatten(),
            (Some(_), None) => None,
            // It may hold the repository that the primary has lost: also when it is set aside, it must be asked.
            (None, _) => match sites.get(Site::Offsite) {
                Ok(offsite) => read(offsite).await?,
                Err(_) => None,
            },
        };
        let document = match (&on_primary, &on_offsite) {
            (None, None) => return Ok(None),
            (Some(copy), None) | (None, Some(copy)) => copy.document.clone(),
            (Some(ours), Some(theirs)) => newer(Some(ours.document.clone()), theirs.document.clone())?,
        };
        let Some(version) = bring_up_to_date(primary, on_primary, &document).await? else { continue };
        let mirrored = match sites.offsite() {
            Some(offsite) => {
                let done = bring_up_to_date(offsite, on_offsite, &document).await;
                sites.or_aside(done)?.is_none_or(|version| version.is_some())
            }
            None => true,
        };
        if mirrored {
            return Ok(Some(Copy { document, version }));
        }
    }
    Err(VaultError::Contended { key: REPOSITORY_KEY.to_owned(), attempts: CHANGE_ATTEMPTS })
}

/// Replaces what a site was seen to have by `document`; `None` when somebody else was faster.
async fn bring_up_to_date(
    store: &SiteStore,
    seen: Option<Copy>,
    document: &RepositoryDocument,
) -> Result<Option<Version>, VaultError> {
    let condition = match seen {
        Some(copy) if copy.document == *document => return Ok(Some(copy.version)),
        Some(copy) => PutCondition::IfMatch(copy.version),
        None => PutCondition::CreateOnly,
    };
    let object = NewObject::new(encode_repository(REPOSITORY_KEY, document)?);
    match store.store().put(REPOSITORY_KEY, object, condition).await {
        Ok(version) => Ok(Some(version)),
        Err(StoreError::AlreadyExists { .. } | StoreError::VersionChanged { .. }) => Ok(None),
        Err(source) => Err(store.error(source)),
    }
}

/// An epoch with a fresh chunk key, sealed under the keys of all sites.
async fn new_epoch(keys: &Keys, repository_id: &str, number: EpochNumber, now: Timestamp) -> Result<Epoch, VaultError> {
    let secret = random::<32>()?;
    let sealer = Binding::new(repository_id, number, Purpose::ChunkKey)?.sealer(keys).await?;
    let mut message = Vec::new();
    sealer.seal(&secret, &mut message).map_err(|source| VaultError::Seal { source })?;
    let public_key = public_key(&ChunkKey::new(secret))?;
    Ok(Epoch { number, created_at: now, chunk_key: BASE64.encode(message), public_key })
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| VaultError::Randomness)?;
    Ok(bytes)
}
