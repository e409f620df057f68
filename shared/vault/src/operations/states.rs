//! Small documents under `state/`: what is in force, and what was digested.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::VaultError;
use crate::layout::state_key;
use crate::register::{Changed, Reading, Register};
use crate::store::port::Version;
use crate::store::sites::Sites;

/// Longest state that is read, in bytes.
const STATE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// The states of a repository, on the first site that is configured.
#[derive(Clone)]
pub struct States {
    sites: Sites,
}

/// A state as it was read. A write names it again.
#[derive(Debug, Clone)]
pub struct State<T> {
    /// What it says; absent when it is missing or cannot be read.
    pub value: Option<T>,
    version: Option<Version>,
}

impl States {
    /// The states on these sites.
    pub fn new(sites: &Sites) -> Self {
        Self { sites: sites.clone() }
    }

    /// The state `name`. One that cannot be read counts as missing: it is derived, or its source says it again.
    ///
    /// # Errors
    /// [`VaultError::Store`].
    pub async fn read<T: Serialize + DeserializeOwned>(&self, name: &str) -> Result<State<T>, VaultError> {
        let Reading { document, fault, version } = self.register(name)?.read().await?;
        if let Some(error) = fault {
            tracing::warn!(name, %error, "a state cannot be read; it will be replaced");
        }
        Ok(State { value: document, version })
    }

    /// Replaces what was read by `value`. `false` when another writer has changed it since.
    ///
    /// # Errors
    /// [`VaultError::Store`].
    pub async fn replace<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        seen: State<T>,
        value: &T,
    ) -> Result<bool, VaultError> {
        Ok(self.register(name)?.replace(seen.version, value).await?.is_some())
    }

    /// Replaces the state `name` by what `decide` makes of it. `None` when `decide` makes nothing. `decide` is asked again when another
    /// writer was faster.
    ///
    /// # Errors
    /// [`VaultError::Store`]; [`VaultError::Contended`].
    pub async fn change<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        mut decide: impl FnMut(Option<&T>) -> Option<T>,
    ) -> Result<Option<Changed<T>>, VaultError> {
        self.register(name)?.change(|state| Ok(decide(state))).await
    }

    fn register<T: Serialize + DeserializeOwned>(&self, name: &str) -> Result<Register<T>, VaultError> {
        Register::on_first_site(&self.sites, state_key(name), STATE_LIMIT_BYTES)
    }
}
