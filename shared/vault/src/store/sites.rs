//! The two sites of a repository, and what is done to both.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lifeboat_model::{Sha256, Site};

use crate::error::VaultError;
use crate::store::error::StoreError;
use crate::store::port::{
    BodySink, Fetched, KeyPage, Measured, NewObject, ObjectHead, ObjectStore, PutCondition, ReadObject, Version,
};

/// The store of one site. Its errors name the site.
#[derive(Clone)]
pub struct SiteStore {
    site: Site,
    store: Arc<dyn ObjectStore>,
}

impl SiteStore {
    /// Which site it is.
    pub fn site(&self) -> Site {
        self.site
    }

    /// The store itself.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    pub(crate) fn error(&self, source: StoreError) -> VaultError {
        VaultError::Store { site: self.site, source }
    }

    pub(crate) async fn get(&self, key: &str, limit_bytes: u64) -> Result<Fetched, VaultError> {
        self.store.get(key, limit_bytes).await.map_err(VaultError::store(self.site))
    }

    pub(crate) async fn read(
        &self,
        key: &str,
        limit_bytes: u64,
        sink: &mut dyn BodySink,
    ) -> Result<ReadObject, VaultError> {
        self.store.read(key, limit_bytes, sink).await.map_err(VaultError::store(self.site))
    }

    /// As [`SiteStore::get`], with `None` for a key that has no object.
    pub(crate) async fn find(&self, key: &str, limit_bytes: u64) -> Result<Option<Fetched>, VaultError> {
        match self.store.get(key, limit_bytes).await {
            Ok(fetched) => Ok(Some(fetched)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.error(source)),
        }
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Option<ObjectHead>, VaultError> {
        self.store.head(key).await.map_err(VaultError::store(self.site))
    }

    pub(crate) async fn measure(&self, key: &str, limit_bytes: u64) -> Result<Measured, StoreError> {
        self.store.measure(key, limit_bytes).await
    }

    pub(crate) async fn list(&self, prefix: &str, after: Option<&str>) -> Result<KeyPage, VaultError> {
        self.store.list(prefix, after).await.map_err(VaultError::store(self.site))
    }

    pub(crate) async fn put(
        &self,
        key: &str,
        object: NewObject,
        condition: PutCondition,
    ) -> Result<Version, VaultError> {
        self.store.put(key, object, condition).await.map_err(VaultError::store(self.site))
    }

    /// Writes create-only; the same bytes, already there, are success.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when other bytes have the key.
    pub(crate) async fn create(&self, key: &str, object: NewObject) -> Result<Version, VaultError> {
        self.put(key, object, PutCondition::CreateOnly).await
    }
}

/// The outcome of a copy to the other site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mirrored {
    /// Both sites have the same bytes now.
    Same,
    /// The other site has other bytes under this key.
    Differs(ObjectHead),
}

/// The sites of a repository: one or both.
///
/// A run that writes continues with the primary alone when the off-site does not serve. The off-site is then *set aside*, for all clones
/// and for the rest of the run: an outage costs the time limits of one request, and not of one for each chunk. A later run brings over
/// what this one stores.
#[derive(Clone)]
pub struct Sites {
    primary: Option<SiteStore>,
    offsite: Option<SiteStore>,
    /// Why the off-site was set aside.
    aside: Arc<OnceLock<Arc<VaultError>>>,
    /// Sites that did not answer a register: they are not asked again in this run.
    silent: Arc<Mutex<BTreeSet<Site>>>,
}

impl Sites {
    /// Takes the stores that are configured. With the primary missing, the repository can only be read.
    pub fn new(primary: Option<Arc<dyn ObjectStore>>, offsite: Option<Arc<dyn ObjectStore>>) -> Self {
        Self {
            primary: primary.map(|store| SiteStore { site: Site::Primary, store }),
            offsite: offsite.map(|store| SiteStore { site: Site::Offsite, store }),
            aside: Arc::default(),
            silent: Arc::default(),
        }
    }

    /// The same sites for another run: none is set aside.
    #[must_use]
    pub fn for_run(&self) -> Self {
        Self { aside: Arc::default(), silent: Arc::default(), ..self.clone() }
    }

    /// The sites that are configured, primary first.
    pub fn names(&self) -> Vec<Site> {
        self.primary.iter().chain(&self.offsite).map(|store| store.site).collect()
    }

    /// The store of a site.
    ///
    /// # Errors
    /// [`VaultError::NoSite`].
    pub fn get(&self, site: Site) -> Result<&SiteStore, VaultError> {
        let store = match site {
            Site::Primary => &self.primary,
            Site::Offsite => &self.offsite,
        };
        store.as_ref().ok_or(VaultError::NoSite { site })
    }

    pub(crate) fn primary(&self) -> Result<&SiteStore, VaultError> {
        self.get(Site::Primary)
    }

    /// The off-site, unless it is set aside.
    pub(crate) fn offsite(&self) -> Option<&SiteStore> {
        self.offsite.as_ref().filter(|_| self.aside().is_none())
    }

    /// Every site that is configured, also one that is set aside, primary first.
    pub(crate) fn configured(&self) -> impl Iterator<Item = &SiteStore> {
        self.primary.iter().chain(&self.offsite)
    }

    /// Every site that is configured and has answered the registers of this run.
    pub(crate) fn answering(&self) -> Vec<&SiteStore> {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let aside = |store: &SiteStore| store.site == Site::Offsite && self.aside().is_some();
        self.configured().filter(|store| !silent.contains(&store.site) && !aside(store)).collect()
    }

    /// A site does not answer: no register asks it again in this run.
    pub(crate) fn silence(&self, site: Site) {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).insert(site);
    }

    /// The sites that this run works with.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &SiteStore> {
        self.primary.iter().chain(self.offsite())
    }

    /// What the off-site answered when it was set aside.
    pub fn aside(&self) -> Option<&Arc<VaultError>> {
        self.aside.get()
    }

    /// Passes on what came of something done on every site; `None` when only the off-site itself stood in the way, which
    /// is then set aside. Wrong objects are no outage: that stays an error.
    pub(crate) fn or_aside<T>(&self, done: Result<T, VaultError>) -> Result<Option<T>, VaultError> {
        match done {
            Ok(done) => Ok(Some(done)),
            Err(error) if error.is_outage_of(Site::Offsite) => {
                tracing::warn!(%error, cause = error.source().map(ToString::to_string), "the off-site is set aside for this run");
                // The first of several sessions has said why.
                let _ = self.aside.set(Arc::new(error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Brings a primary object to the other site, if there is one.
    pub(crate) async fn mirror(&self, key: &str, sha256: &Sha256, size_bytes: u64) -> Result<Mirrored, VaultError> {
        let (primary, Some(offsite)) = (self.primary()?, self.offsite()) else { return Ok(Mirrored::Same) };
        match offsite.store.copy_from(primary.store.as_ref(), key, sha256, size_bytes).await {
            Ok(()) => Ok(Mirrored::Same),
            Err(StoreError::AlreadyExists { .. }) => match offsite.head(key).await? {
                Some(head) if head.sha256 == Some(*sha256) && head.size_bytes == size_bytes => Ok(Mirrored::Same),
                Some(head) => Ok(Mirrored::Differs(head)),
                None => Err(offsite.error(StoreError::VersionChanged { key: key.to_owned() })),
            },
            // A create-only write never answers these: it was the read that failed.
            Err(source @ (StoreError::NotFound { .. } | StoreError::TooLarge { .. })) => Err(primary.error(source)),
            Err(source) => Err(offsite.error(source)),
        }
    }

    /// Writes a document of the primary create-only on the other site as well, if there is one.
    pub(crate) async fn create_offsite(&self, key: &str, object: NewObject) -> Result<Mirrored, VaultError> {
        let Some(offsite) = self.offsite() else { return Ok(Mirrored::Same) };
        match offsite.store.put(key, object, PutCondition::CreateOnly).await {
            Ok(_) => Ok(Mirrored::Same),
            Err(StoreError::AlreadyExists { .. }) => match offsite.head(key).await? {
                Some(head) => Ok(Mirrored::Differs(head)),
                None => Err(offsite.error(StoreError::VersionChanged { key: key.to_owned() })),
            },
            Err(source) => Err(offsite.error(source)),
        }
    }

    /// Writes a document create-only on the primary and then on the other site.
    pub(crate) async fn create_everywhere(&self, key: &str, object: NewObject) -> Result<(), VaultError> {
        let (sha256, size_bytes) = (object.sha256, object.body.len() as u64);
        self.primary()?.create(key, object).await?;
        match self.mirror(key, &sha256, size_bytes).await? {
            Mirrored::Same => Ok(()),
            Mirrored::Differs(_) => Err(VaultError::Store {
                site: Site::Offsite,
                source: StoreError::AlreadyExists { key: key.to_owned() },
            }),
        }
    }
}
