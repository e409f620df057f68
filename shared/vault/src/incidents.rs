//! Incidents: one small object each, changed by compare-and-swap, on a site that serves.
//!
//! An incident is what people are told by, and the store of one site may be the very thing that is wrong. So the primary decides
//! while it serves, the off-site when it does not, and what the other one has is brought along: of two copies the one with
//! the higher revision counts.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use lifeboat_model::{Incident, IncidentName, Site};
use serde::{Deserialize, Serialize};

use crate::contention::LOST_RACE;
use crate::document::{Place, encode};
use crate::error::VaultError;
use crate::layout::{INCIDENTS_PREFIX, incident_key, incident_of_key};
use crate::sites::{SiteStore, Sites};
use crate::store::{NewObject, PutCondition};
use crate::store_error::StoreError;

/// Longest incident that is read, in bytes.
const INCIDENT_LIMIT_BYTES: u64 = 64 * 1024;

/// How long a site is waited for. People are told by this, and the time in which they can be may be short: the other site
/// knows as much.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Times that a change is tried when others change the same incident.
const ATTEMPTS: u32 = 16;

/// Pages of a listing of incidents: kinds times databases, many times over.
const LIST_PAGES_LIMIT: usize = 10;

/// Incidents read at the same time.
const READS_AT_ONCE: usize = 16;

/// The incidents of a repository.
#[derive(Clone)]
pub struct Incidents {
    sites: Sites,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct Document {
    /// Grows with each change.
    revision: u64,
    incident: Incident,
}

/// What a site that serves has of an incident, and what a write must name.
struct Copy<'a> {
    store: &'a SiteStore,
    condition: PutCondition,
    document: Option<Document>,
}

impl Incidents {
    /// The incidents on these sites. They need no repository: its first backup may be what fails.
    pub fn new(sites: &Sites) -> Self {
        Self { sites: sites.clone() }
    }

    /// Makes of the incident what `change` makes of it, and returns what it was and what it is; `None` when `change` leaves it as it is.
    /// `change` is asked again when somebody else was faster.
    ///
    /// # Errors
    /// [`VaultError::Store`] when no site serves; [`VaultError::Contended`].
    pub async fn change(
        &self,
        name: &IncidentName,
        change: impl Fn(Option<&Incident>) -> Option<Incident>,
    ) -> Result<Option<(Option<Incident>, Incident)>, VaultError> {
        let key = incident_key(name);
        let mut tried: Option<(Option<Incident>, Document)> = None;
        for attempt in 0..ATTEMPTS {
            let copies = self.copies(&key).await?;
            let newest =
                copies.iter().filter_map(|copy| copy.document.as_ref()).max_by_key(|document| document.revision);
            // The race may have been lost against oneself: a write whose answer was lost, and which was made again.
            if let Some((before, document)) = tried.take_if(|(_, document)| Some(&*document) == newest) {
                let object = NewObject::new(encode(&key, &document)?);
                self.spread(&copies, &document, &object, &key).await;
                return Ok(Some((before, document.incident)));
            }
            let Some(incident) = change(newest.map(|document| &document.incident)) else { return Ok(None) };
            let revision = newest.map_or(0, |document| document.revision).saturating_add(1);
            let before = newest.map(|document| document.incident.clone());
            let document = Document { revision, incident };
            let object = NewObject::new(encode(&key, &document)?);
            let Some((home, others)) = copies.split_first() else { return Err(VaultError::NoRepository) };
            match within(home.store.store().put(&key, object.clone(), home.condition.clone()), &key).await {
                Ok(_) => {}
                Err(error) if lost_a_race(&error) => {
                    tried = Some((before, document));
                    tokio::time::sleep(LOST_RACE.pause(attempt + 1)).await;
                    continue;
                }
                Err(source) if source.is_outage() => {
                    // Whether it was written is not known; the other site decides for the rest of this run.
                    tracing::warn!(key, site = %home.store.site(), error = %source, "an incident cannot be stored here");
                    self.sites.silence(home.store.site());
                    continue;
                }
                Err(source) => return Err(home.store.error(source)),
            }
            self.spread(others, &document, &object, &key).await;
            return Ok(Some((before, document.incident)));
        }
        Err(VaultError::Contended { key, attempts: ATTEMPTS })
    }

    /// Brings to the sites that lack it what one has stored. That it does not get there is mended by the next change.
    async fn spread(&self, copies: &[Copy<'_>], document: &Document, object: &NewObject, key: &str) {
        for copy in copies {
            if copy.document.as_ref() == Some(document) {
                continue;
            }
            let put = within(copy.store.store().put(key, object.clone(), copy.condition.clone()), key);
            if let Err(error) = put.await {
                tracing::warn!(key, site = %copy.store.site(), %error, "the incident did not reach the other site");
                if error.is_outage() {
                    self.sites.silence(copy.store.site());
                }
            }
        }
    }

    /// The incident of this name; `None` when there never was one.
    ///
    /// # Errors
    /// [`VaultError::Store`] when no site serves.
    pub async fn get(&self, name: &IncidentName) -> Result<Option<Incident>, VaultError> {
        let copies = self.copies(&incident_key(name)).await?;
        let newest = copies.into_iter().filter_map(|copy| copy.document).max_by_key(|document| document.revision);
        Ok(newest.map(|document| document.incident))
    }

    /// All incidents, those that are over as well, each name's latest.
    ///
    /// # Errors
    /// [`VaultError::Store`] when no site serves.
    pub async fn list(&self) -> Result<Vec<Incident>, VaultError> {
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
            return Err(failure.unwrap_or_else(|| silent(INCIDENTS_PREFIX)));
        }
        let found = futures_util::stream::iter(names).map(|name| async move { self.get(&name).await });
        found.buffered(READS_AT_ONCE).try_filter_map(|incident| async move { Ok(incident) }).try_collect().await
    }

    /// What the sites that serve have, the one that decides first. Both are asked at the same time: one that hangs must not keep the
    /// other from answering.
    async fn copies(&self, key: &str) -> Result<Vec<Copy<'_>>, VaultError> {
        let stores = self.sites.answering();
        let asked = stores
            .into_iter()
            .map(|store| async move { (store, within(store.store().get(key, INCIDENT_LIMIT_BYTES), key).await) });
        let (mut copies, mut failure) = (Vec::new(), None);
        for (store, answer) in join_all(asked).await {
            match answer {
                Err(StoreError::NotFound { .. }) => {
                    copies.push(Copy { store, condition: PutCondition::CreateOnly, document: None });
                }
                Ok(fetched) => {
                    let place = Place { site: store.site(), key };
                    // One that cannot be read is no incident: the next sighting takes its place.
                    let document = place.parse(&fetched.body).ok();
                    copies.push(Copy { store, condition: PutCondition::IfMatch(fetched.version), document });
                }
                Err(error) if error.is_outage() => {
                    tracing::warn!(key, site = %store.site(), %error, "a site cannot say what it knows of an incident");
                    self.sites.silence(store.site());
                    failure = failure.or(Some(store.error(error)));
                }
                // None that can be read, and none that can be kept: the next sighting takes its place.
                Err(error @ (StoreError::TooLarge { .. } | StoreError::Corrupt { .. })) => {
                    tracing::error!(key, site = %store.site(), %error, "an incident cannot be read");
                    let head = within(store.store().head(key), key).await.map_err(|error| store.error(error))?;
                    let condition = head.map_or(PutCondition::CreateOnly, |head| PutCondition::IfMatch(head.version));
                    copies.push(Copy { store, condition, document: None });
                }
                Err(error) => return Err(store.error(error)),
            }
        }
        if copies.is_empty() {
            return Err(failure.unwrap_or_else(|| silent(key)));
        }
        Ok(copies)
    }
}

/// Whether somebody else has written meanwhile.
fn lost_a_race(error: &StoreError) -> bool {
    matches!(error, StoreError::AlreadyExists { .. } | StoreError::VersionChanged { .. })
}

/// No site is left that answers.
fn silent(key: &str) -> VaultError {
    VaultError::Store {
        site: Site::Primary,
        source: StoreError::TimedOut { key: key.to_owned(), after: ANSWER_WITHIN },
    }
}

/// Waits for an answer, and not for long.
async fn within<T>(asked: impl Future<Output = Result<T, StoreError>>, key: &str) -> Result<T, StoreError> {
    let late = |_| Err(StoreError::TimedOut { key: key.to_owned(), after: ANSWER_WITHIN });
    tokio::time::timeout(ANSWER_WITHIN, asked).await.unwrap_or_else(late)
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
