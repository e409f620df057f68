//! Small documents under `state/` that are replaced as a whole, by compare-and-swap: what is in force, and what was digested.

use lifeboat_model::Site;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::document::{Place, encode};
use crate::error::VaultError;
use crate::layout::state_key;
use crate::sites::{SiteStore, Sites};
use crate::store::{NewObject, PutCondition, Version};
use crate::store_error::StoreError;

/// Longest state that is read, in bytes.
const STATE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// The states of a repository, on its primary site, or the one there is.
#[derive(Clone)]
pub struct States {
    sites: Sites,
}

/// What was read of a state; a write names it again.
#[derive(Debug, Clone)]
pub struct State<T> {
    /// What it says; absent when there is none, or none that can be read.
    pub value: Option<T>,
    version: Option<Version>,
}

impl States {
    /// The states on these sites.
    pub fn new(sites: &Sites) -> Self {
        Self { sites: sites.clone() }
    }

    /// What is stored under `name`. One that cannot be read counts as none: it is derived, or said again by its source.
    ///
    /// # Errors
    /// [`VaultError::Store`].
    pub async fn read<T: DeserializeOwned>(&self, name: &str) -> Result<State<T>, VaultError> {
        let (store, key) = (self.home()?, state_key(name));
        let Some(fetched) = store.find(&key, STATE_LIMIT_BYTES).await? else {
            return Ok(State { value: None, version: None });
        };
        let value = Place { site: store.site(), key: &key }.parse(&fetched.body);
        if let Err(error) = &value {
            tracing::warn!(key, %error, "a state cannot be read; it is made anew");
        }
        Ok(State { value: value.ok(), version: Some(fetched.version) })
    }

    /// Puts `value` in the place of what was read. `false` when somebody else has changed it since.
    ///
    /// # Errors
    /// [`VaultError::Store`].
    pub async fn replace<T: Serialize>(&self, name: &str, seen: State<T>, value: &T) -> Result<bool, VaultError> {
        let (store, key) = (self.home()?, state_key(name));
        let condition = seen.version.map_or(PutCondition::CreateOnly, PutCondition::IfMatch);
        match store.store().put(&key, NewObject::new(encode(&key, value)?), condition).await {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. } | StoreError::VersionChanged { .. }) => Ok(false),
            Err(source) => Err(store.error(source)),
        }
    }

    fn home(&self) -> Result<&SiteStore, VaultError> {
        self.sites.configured().next().ok_or(VaultError::NoSite { site: Site::Primary })
    }
}
