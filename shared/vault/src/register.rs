//! Registers: one small document each, changed by compare-and-swap.
//!
//! A writer reads the document with its version, decides, and writes under the condition that the version is still the same. A writer that
//! was too late pauses and decides again. So no change is lost, and none is based on an old document.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use lifeboat_model::Site;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::VaultError;
use crate::layout::is_plain_key;
use crate::repository::document::{Place, encode};
use crate::store::contention::{ATTEMPTS, Race};
use crate::store::error::StoreError;
use crate::store::port::{Fetched, LockPeriod, NewObject, PutCondition, Version};
use crate::store::sites::{SiteStore, Sites};

/// The newest format of a register's document that this version knows. A document of the first format need not say so.
const REGISTER_FORMAT: u32 = 1;

/// How long a site is waited for when another one can answer as well.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// A small document under one key.
///
/// Two writers that write the same bytes at the same time count as one. A document in which each change must count therefore names its
/// writer: a holder, a run id.
///
/// A document that cannot be read counts as missing, and the next change replaces it, unless the register is [`Register::kept_unreadable`].
/// One of a newer format is an error for every reader and writer: a newer version still needs what it says. [`Register::of_any_format`] is
/// the exception.
pub struct Register<T> {
    sites: Sites,
    key: String,
    placement: Placement<T>,
    limit_bytes: u64,
    keeps_unreadable: bool,
    newest_format: u32,
}

/// Where a register keeps its document.
enum Placement<T> {
    /// On the primary alone.
    Primary,
    /// On the first site that is configured.
    FirstSite,
    /// On every site that answers. The primary decides while it answers, and the off-site when it does not.
    EverySite {
        /// Grows with each change: of two copies, the higher one counts.
        revision: fn(&T) -> u64,
    },
}

impl<T> Clone for Placement<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Primary => Self::Primary,
            Self::FirstSite => Self::FirstSite,
            Self::EverySite { revision } => Self::EverySite { revision: *revision },
        }
    }
}

impl<T> Clone for Register<T> {
    fn clone(&self) -> Self {
        let (sites, key, placement) = (self.sites.clone(), self.key.clone(), self.placement.clone());
        Self { sites, key, placement, ..*self }
    }
}

/// What a register holds, as it was read.
#[derive(Debug)]
pub struct Reading<T> {
    /// The document; absent when it is missing or cannot be read.
    pub document: Option<T>,
    /// Why the object under the key cannot be read as the document.
    pub fault: Option<VaultError>,
    pub(crate) version: Option<Version>,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed<T> {
    /// The document before it.
    pub before: Option<T>,
    /// The document since.
    pub after: T,
    pub(crate) version: Version,
}

/// What one site has, and what a write there must name.
struct StoredCopy<'a, T> {
    store: &'a SiteStore,
    version: Option<Version>,
    body: Bytes,
    document: Option<T>,
    fault: Option<VaultError>,
}

impl<T> StoredCopy<'_, T> {
    fn condition(&self) -> PutCondition {
        self.version.clone().map_or(PutCondition::CreateOnly, PutCondition::IfMatch)
    }
}

fn fault_of<T>(copies: &mut [StoredCopy<'_, T>]) -> Option<VaultError> {
    copies.iter_mut().find_map(|copy| copy.fault.take())
}

/// A write that may have succeeded although its answer said otherwise.
struct Attempt<T> {
    before: Option<T>,
    after: T,
    object: NewObject,
}

impl<T: Serialize + DeserializeOwned> Register<T> {
    /// A document of at most `limit_bytes` on the primary alone.
    ///
    /// # Errors
    /// [`VaultError::BadKey`].
    pub fn on_primary(sites: &Sites, key: String, limit_bytes: u64) -> Result<Self, VaultError> {
        Self::new(sites, key, Placement::Primary, limit_bytes)
    }

    /// A document of at most `limit_bytes` on the first site that is configured.
    ///
    /// # Errors
    /// [`VaultError::BadKey`].
    pub fn on_first_site(sites: &Sites, key: String, limit_bytes: u64) -> Result<Self, VaultError> {
        Self::new(sites, key, Placement::FirstSite, limit_bytes)
    }

    /// A document of at most `limit_bytes` on every site that answers. `revision` grows with each change. A site that does not answer in
    /// time is not asked again in this run.
    ///
    /// # Errors
    /// [`VaultError::BadKey`].
    pub fn on_every_site(
        sites: &Sites,
        key: String,
        limit_bytes: u64,
        revision: fn(&T) -> u64,
    ) -> Result<Self, VaultError> {
        Self::new(sites, key, Placement::EverySite { revision }, limit_bytes)
    }

    fn new(sites: &Sites, key: String, placement: Placement<T>, limit_bytes: u64) -> Result<Self, VaultError> {
        if !is_plain_key(&key) {
            return Err(VaultError::BadKey { key, purpose: "a register" });
        }
        let (sites, newest_format) = (sites.clone(), REGISTER_FORMAT);
        Ok(Self { sites, key, placement, limit_bytes, keeps_unreadable: false, newest_format })
    }

    /// The same register, whose document keeps in every format the fields that this version knows.
    pub(crate) fn of_any_format(self) -> Self {
        Self { newest_format: u32::MAX, ..self }
    }

    /// The same register, whose change is refused while no site has a copy that can be read and one has a copy that cannot.
    pub(crate) fn kept_unreadable(self) -> Self {
        Self { keeps_unreadable: true, ..self }
    }

    /// What is stored now.
    ///
    /// # Errors
    /// [`VaultError::Store`]; [`VaultError::NoSite`].
    pub async fn read(&self) -> Result<Reading<T>, VaultError> {
        let mut copies = self.copies().await?;
        // Where no copy can be read, one of them may still say why.
        let fault = if self.newest(&copies).is_none() { fault_of(&mut copies) } else { None };
        let newest = self.newest(&copies).unwrap_or_default();
        let copy = copies.swap_remove(newest);
        Ok(Reading { document: copy.document, fault: fault.or(copy.fault), version: copy.version })
    }

    /// Replaces the document by the one that `decide` makes of it. `None` when `decide` makes none. `decide` is asked again when another
    /// writer was faster.
    ///
    /// An error does not say that nothing was written: the answer may have been lost.
    ///
    /// # Errors
    /// What `decide` answers; [`VaultError::Contended`] after many lost races; [`VaultError::Store`]; [`VaultError::NoSite`];
    /// [`VaultError::Unreadable`] for a register that is kept then.
    pub async fn change<E: From<VaultError>>(
        &self,
        mut decide: impl FnMut(Option<&T>) -> Result<Option<T>, E>,
    ) -> Result<Option<Changed<T>>, E> {
        let mut lost: Option<Attempt<T>> = None;
        let mut race = Race::begin();
        for _ in 0..ATTEMPTS {
            let mut copies = self.copies().await?;
            let newest = self.newest(&copies);
            // The race may have been lost against oneself: the answer to a write was lost, and the write was repeated.
            let body = newest.and_then(|newest| copies.get(newest)).map(|copy| &copy.body);
            if let Some(ours) = lost.take_if(|ours| Some(&ours.object.body) == body) {
                let version = newest.and_then(|newest| copies.get(newest)?.version.clone());
                self.spread(&copies, &ours.object).await;
                return Ok(version.map(|version| Changed { before: ours.before, after: ours.after, version }));
            }
            let before = newest.and_then(|newest| copies.get_mut(newest)?.document.take());
            if let (true, None, Some(fault)) = (self.keeps_unreadable, &before, fault_of(&mut copies)) {
                return Err(fault.unreadable(&self.key).into());
            }
            let Some(after) = decide(before.as_ref())? else { return Ok(None) };
            let object = self.object(&after)?;
            let Some((home, others)) = copies.split_first() else { return Err(self.silent().into()) };
            match self.put(home.store, object.clone(), home.condition()).await {
                Ok(Some(version)) => {
                    self.spread(others, &object).await;
                    return Ok(Some(Changed { before, after, version }));
                }
                Ok(None) => {
                    lost = Some(Attempt { before, after, object });
                    race.lost().await;
                }
                // Whether it was written is not known. The other site decides for the rest of this run.
                Err(source) if self.is_on_every_site() && source.is_outage() => {
                    tracing::warn!(key = self.key, site = %home.store.site(), error = %source, "a site does not store a document");
                    self.sites.silence(home.store.site());
                }
                Err(source) => return Err(home.store.error(source).into()),
            }
        }
        Err(VaultError::Contended { key: self.key.clone(), attempts: ATTEMPTS }.into())
    }

    /// Replaces what was read by `document`, once. `None` when another writer was faster.
    ///
    /// # Errors
    /// [`VaultError::Store`]; [`VaultError::NoSite`].
    pub(crate) async fn replace(&self, seen: Option<Version>, document: &T) -> Result<Option<Version>, VaultError> {
        let object = self.object(document)?;
        let condition = seen.map_or(PutCondition::CreateOnly, PutCondition::IfMatch);
        let stores = self.stores()?;
        let home = stores.first().ok_or_else(|| self.silent())?;
        self.put(home, object, condition).await.map_err(|source| home.error(source))
    }

    /// As [`Register::replace`]; a write of our own whose answer was lost counts as made.
    pub(crate) async fn replace_ours(&self, seen: Version, document: &T) -> Result<Option<Version>, VaultError> {
        if let Some(version) = self.replace(Some(seen), document).await? {
            return Ok(Some(version));
        }
        let ours = encode(&self.key, document)?;
        let copies = self.copies().await?;
        Ok(copies.into_iter().find(|copy| copy.body == ours).and_then(|copy| copy.version))
    }

    fn object(&self, document: &T) -> Result<NewObject, VaultError> {
        Ok(NewObject { period: LockPeriod::Day, ..NewObject::new(encode(&self.key, document)?) })
    }

    /// Brings a document to the sites that do not have it. What does not get there is mended by the next change.
    async fn spread(&self, copies: &[StoredCopy<'_, T>], object: &NewObject) {
        for copy in copies.iter().filter(|copy| copy.body != object.body) {
            let site = copy.store.site();
            match self.put(copy.store, object.clone(), copy.condition()).await {
                Ok(Some(_)) => {}
                Ok(None) => tracing::warn!(key = self.key, %site, "another writer changed the copy on the other site"),
                Err(error) => {
                    tracing::warn!(key = self.key, %site, %error, "a document did not reach the other site");
                    if error.is_outage() {
                        self.sites.silence(site);
                    }
                }
            }
        }
    }

    /// What the sites have, the one that decides first. All are asked at the same time: one that hangs must not keep the others from
    /// answering. There is at least one.
    async fn copies(&self) -> Result<Vec<StoredCopy<'_, T>>, VaultError> {
        let asked = self.stores()?.into_iter().map(|store| async move { (store, self.copy(store).await) });
        let (mut copies, mut failure) = (Vec::new(), None);
        for (store, answer) in join_all(asked).await {
            match answer {
                Ok(copy) => copies.push(copy),
                Err(error) if self.is_on_every_site() && error.is_outage() => {
                    tracing::warn!(key = self.key, site = %store.site(), %error, "a site does not give a document");
                    self.sites.silence(store.site());
                    failure = failure.or(Some(store.error(error)));
                }
                Err(error) => return Err(store.error(error)),
            }
        }
        if copies.is_empty() {
            return Err(failure.unwrap_or_else(|| self.silent()));
        }
        let is_newer =
            |copy: &mut StoredCopy<'_, T>| copy.fault.take_if(|fault| matches!(fault, VaultError::NewerFormat { .. }));
        copies.iter_mut().find_map(is_newer).map_or(Ok(copies), Err)
    }

    async fn copy<'a>(&self, store: &'a SiteStore) -> Result<StoredCopy<'a, T>, StoreError> {
        match self.in_time(store.store().get(&self.key, self.limit_bytes)).await {
            Err(StoreError::NotFound { .. }) => {
                Ok(StoredCopy { store, version: None, body: Bytes::new(), document: None, fault: None })
            }
            Ok(Fetched { body, version, .. }) => {
                let place = Place { site: store.site(), key: &self.key };
                let read = place.not_newer(&body, self.newest_format).and_then(|()| place.parse(&body));
                let (document, fault) = match read {
                    Ok(document) => (Some(document), None),
                    Err(fault) => {
                        tracing::warn!(key = self.key, site = %store.site(), error = %fault, "a document cannot be read");
                        (None, Some(fault))
                    }
                };
                Ok(StoredCopy { store, version: Some(version), body, document, fault })
            }
            Err(error @ (StoreError::TooLarge { .. } | StoreError::Corrupt { .. })) => {
                tracing::error!(key = self.key, site = %store.site(), %error, "a document cannot be read");
                let head = self.in_time(store.store().head(&self.key)).await?;
                let (version, fault) = (head.map(|head| head.version), Some(store.error(error)));
                Ok(StoredCopy { store, version, body: Bytes::new(), document: None, fault })
            }
            Err(error) => Err(error),
        }
    }

    /// The place of the copy that counts.
    fn newest(&self, copies: &[StoredCopy<'_, T>]) -> Option<usize> {
        let revision_of = |document: &T| match self.placement {
            Placement::EverySite { revision } => revision(document),
            Placement::Primary | Placement::FirstSite => 0,
        };
        let documents = copies.iter().enumerate().filter_map(|(place, copy)| Some((place, copy.document.as_ref()?)));
        documents.max_by_key(|(_, document)| revision_of(document)).map(|(place, _)| place)
    }

    /// `None` when another writer was faster.
    async fn put(
        &self,
        store: &SiteStore,
        object: NewObject,
        condition: PutCondition,
    ) -> Result<Option<Version>, StoreError> {
        match self.in_time(store.store().put(&self.key, object, condition)).await {
            Ok(version) => Ok(Some(version)),
            Err(error) if error.is_lost_race() => Ok(None),
            // The document was deleted since it was read.
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn stores(&self) -> Result<Vec<&SiteStore>, VaultError> {
        match self.placement {
            Placement::Primary => Ok(vec![self.sites.primary()?]),
            Placement::FirstSite => {
                let first = self.sites.configured().next();
                Ok(vec![first.ok_or(VaultError::NoSite { site: Site::Primary })?])
            }
            Placement::EverySite { .. } => Ok(self.sites.answering()),
        }
    }

    fn is_on_every_site(&self) -> bool {
        matches!(self.placement, Placement::EverySite { .. })
    }

    /// Waits for an answer; not for long where another site has the document as well.
    async fn in_time<A>(&self, asked: impl Future<Output = Result<A, StoreError>>) -> Result<A, StoreError> {
        if self.is_on_every_site() { within(asked, &self.key).await } else { asked.await }
    }

    fn silent(&self) -> VaultError {
        no_answer(&self.key)
    }
}

/// No site is left that answers.
pub(crate) fn no_answer(key: &str) -> VaultError {
    VaultError::Store {
        site: Site::Primary,
        source: StoreError::TimedOut { key: key.to_owned(), after: ANSWER_WITHIN },
    }
}

/// Waits for an answer, and not for long.
pub(crate) async fn within<A>(asked: impl Future<Output = Result<A, StoreError>>, key: &str) -> Result<A, StoreError> {
    let late = |_| Err(StoreError::TimedOut { key: key.to_owned(), after: ANSWER_WITHIN });
    tokio::time::timeout(ANSWER_WITHIN, asked).await.unwrap_or_else(late)
}
