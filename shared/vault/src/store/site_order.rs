//! The sites that something is read from: the preferred one, and those that may help out.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lifeboat_model::Site;

use crate::error::VaultError;
use crate::repository::Repository;
use crate::store::sites::SiteStore;

/// Sites to read from, the preferred one first. What one does not give, in order and whole, the next one may.
///
/// Clones share what they learn: a site that does not answer costs the time limits of a few requests, and is asked last from then on.
#[derive(Clone)]
pub struct SiteOrder {
    stores: Arc<[SiteStore]>,
    learned: Arc<Mutex<Learned>>,
}

#[derive(Default)]
struct Learned {
    away: BTreeSet<Site>,
    detours: Option<Detours>,
}

/// Objects that the preferred site did not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detours {
    /// How many came from another site.
    pub objects: u64,
    /// The site that gave the first of them.
    pub from: Site,
    /// Why the preferred one did not.
    pub why: String,
}

impl Repository {
    /// These sites in this order.
    ///
    /// # Errors
    /// [`VaultError::NoSite`].
    pub fn site_order(&self, sites: &[Site]) -> Result<SiteOrder, VaultError> {
        let stores = sites.iter().map(|site| self.sites.get(*site).cloned()).collect::<Result<Vec<_>, _>>()?;
        Ok(SiteOrder { stores: stores.into(), learned: Arc::default() })
    }
}

impl SiteOrder {
    /// What came from another site than the preferred one, so far.
    pub fn detours(&self) -> Option<Detours> {
        self.learned().detours.clone()
    }

    /// The stores in the order in which they are tried now.
    pub(crate) fn stores(&self) -> Vec<SiteStore> {
        let away = self.learned().away.clone();
        let mut stores = self.stores.to_vec();
        stores.sort_by_key(|store| away.contains(&store.site()));
        stores
    }

    /// Notes that `refused`, the first attempts in this order, did not help and `site` did.
    pub(crate) fn learn(&self, site: Site, refused: &[VaultError]) {
        let mut learned = self.learned();
        let sites = self.stores.iter().map(SiteStore::site);
        learned.away.extend(sites.filter(|site| refused.iter().any(|error| error.is_outage_of(*site))));
        let is_preferred = self.stores.first().is_some_and(|first| first.site() == site);
        if is_preferred {
            return;
        }
        let why = || refused.first().map(|error| lifeboat_model::story(error)).unwrap_or_default();
        let detours = learned.detours.get_or_insert_with(|| Detours { objects: 0, from: site, why: why() });
        detours.objects += 1;
    }

    /// The failure of an object that no site gives: that of the preferred site. `refused` are those of [`stores`](Self::stores), in that order.
    pub(crate) fn failure(&self, tried: &[SiteStore], refused: Vec<VaultError>) -> VaultError {
        let preferred = self.stores.first().map(SiteStore::site);
        let place = tried.iter().position(|store| Some(store.site()) == preferred).unwrap_or(0);
        refused.into_iter().nth(place).unwrap_or(VaultError::NoRepository)
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        // Each change is an insertion or a count: a panic elsewhere has not spoiled it.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
