//! The outside world of a run: sites, keys, outbox and client tools.

use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_notify::Outbox;
use lifeboat_postgres::ClientTools;
use lifeboat_seal::DataKeys;
use lifeboat_vault::{MacKeys, Sites};

use crate::error::EngineError;

/// Everything outside the engine that a run uses. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    /// The repository's sites.
    pub sites: Sites,
    /// Makes and opens data keys.
    pub keys: Arc<dyn DataKeys>,
    /// Makes and verifies the MACs of ledger entries.
    pub macs: MacKeys,
    /// Where events and alerts go.
    pub outbox: Arc<dyn Outbox>,
    /// The folder of `pg_dump` and the other client tools. When absent, they are found on the search path.
    pub tools_dir: Option<PathBuf>,
    /// How many sessions copy rows at the same time, at least 1.
    pub sessions: usize,
    /// Whether the scratch server was made from the image of a source, and so has its system identifier.
    pub scratch_is_a_clone: bool,
}

impl Ports {
    /// The client tools, after a check that they exist.
    pub(crate) async fn tools(&self) -> Result<ClientTools, EngineError> {
        Ok(ClientTools::find(self.tools_dir.as_deref()).await?)
    }

    /// How many sessions copy rows at the same time.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.max(1)
    }
}

/// A work folder that is removed when the returned value is dropped. A warm Lambda environment keeps its /tmp
/// otherwise, and a killed process leaves the folder until the environment ends.
pub(crate) fn work_folder() -> Result<tempfile::TempDir, EngineError> {
    let path = || std::env::temp_dir().display().to_string();
    let folder = tempfile::Builder::new().prefix("lifeboat-").tempdir();
    folder.map_err(|source| EngineError::WorkFolder { path: path(), source })
}
