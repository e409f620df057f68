//! Incidents: one small object each, on every site that answers.
//!
//! People learn of failures by incidents, and the store of one site may be the very thing that fails. So the primary decides while it
//! serves and the off-site when it does not. The copy with the higher revision counts.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use lifeboat_model::{Incident, IncidentName};
use serde::{Deserialize, Serialize};

use crate::error::VaultError;
use crate::layout::{INCIDENTS_PREFIX, incident_key, incident_of_key};
use crate::register::{Changed, Reading, Register, no_answer, within};
use crate::store::sites::{SiteStore, Sites};

/// Longest incident that is read, in bytes.
const INCIDENT_LIMIT_BYTES: u64 = 64 * 1024;

/// Pages of a listing of incidents: kinds times databases, many times over.
const LIST_PAGES_LIMIT: usize = 10;

/// Incidents read at the same time.
const READS_AT_ONCE: usize = 16;

/// The incidents of a repository.
#[derive(Clone)]
pub struct Incidents {
    sites: Sites,
}

#[derive(Serialize, Deserialize)]
struct Document {
    /// Grows with each change.
    revision: u64,
    incident: Incident,
}

impl Incidents {
    /// The incidents on these sites. They need no repository: its first backup may be what fails.
    pub fn new(sites: &Sites) -> Self {
        Self { sites: sites.clone() }
    }

    /// Replaces the incident by what `change` makes of it, and returns what it was and what it is; `None` when `change` makes nothing.
    /// `change` is asked again when another writer was faster.
    ///
    /// # Errors
    /// [`VaultError::Store`] when no site serves; [`VaultError::Contended`].
    pub async fn change(
        &self,
        name: &IncidentName,
        change: impl Fn(Option<&Incident>) -> Option<Incident>,
    ) -> Result<Option<(Option<Incident>, Incident)>, VaultError> {
        let decide = |document: Option<&Document>| {
            let incident = change(document.map(|document| &document.incident));
            let revision = document.map_or(0, |document| document.revision).saturating_add(1);
            Ok::<_, VaultError>(incident.map(|incident| Document { revision, incident }))
        };
        let changed = self.register(name)?.change(decide).await?;
        Ok(changed.map(|Changed { before, after, .. }| (before.map(|before| before.incident), after.incident)))
    }

    /// The incident of this name; `None` when there never was one.
    ///
    /// # Errors
    /// [`VaultError::Store`] when no site serves.
    pub async fn get(&self, name: &IncidentName) -> Result<Option<Incident>, VaultError> {
        Ok(self.register(name)?.read().await?.document.map(|document| document.incident))
    }

    /// All incidents, also resolved ones, each in its latest form; and why others cannot be read. One that cannot be read does not hide
    /// the others.
    ///
    /// # Errors
    /// [`VaultError::Store`] when no site serves.
    pub async fn list(&self) -> Result<(Vec<Incident>, Vec<VaultError>), VaultError> {
        let (mut names, mut failure, mut served) = (BTreeSet::new(), None, false);
        let asked = self.sites.answering().into_iter().map(|store| async move { (store, keys(store).await) });
        for (store, listed) in join_all(asked).await {
            match listed {
                Ok(keys) => {
                    served = true;
                    names.extend(keys.iter().filter_map(|key| incident_of_key(key)));
                }
                Err(error) if error.is_outage_of(store.site()) => {
                    self.sites.silence(store.site());
                    failure = failure.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        if !served {
            return Err(failure.unwrap_or_else(|| no_answer(INCIDENTS_PREFIX)));
        }
        let read = futures_util::stream::iter(names)
            .map(|name| async move { Ok::<_, VaultError>(self.register(&name)?.read().await) })
            .buffered(READS_AT_ONCE);
        let read: Vec<_> = read.try_collect().await?;
        let (mut incidents, mut unreadable) = (Vec::new(), Vec::new());
        for reading in read {
            match reading {
                Ok(Reading { document: Some(document), .. }) => incidents.push(document.incident),
                Ok(Reading { fault, .. }) => unreadable.extend(fault),
                Err(error @ VaultError::NewerFormat { .. }) => unreadable.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok((incidents, unreadable))
    }

    fn register(&self, name: &IncidentName) -> Result<Register<Document>, VaultError> {
        Register::on_every_site(&self.sites, incident_key(name), INCIDENT_LIMIT_BYTES, |document| document.revision)
    }
}

async fn keys(store: &SiteStore) -> Result<Vec<String>, VaultError> {
    let mut keys: Vec<String> = Vec::new();
    for _ in 0..LIST_PAGES_LIMIT {
        let listing = store.store().list(INCIDENTS_PREFIX, keys.last().map(String::as_str));
        let page = within(listing, INCIDENTS_PREFIX).await.map_err(|error| store.error(error))?;
        let more = page.more && !page.keys.is_empty();
        keys.extend(page.keys);
        if !more {
            return Ok(keys);
        }
    }
    Err(VaultError::TooMany { what: "pages in the listing of incidents", limit: LIST_PAGES_LIMIT })
}
