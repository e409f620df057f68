//! What a run works with and does not make itself.

use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_notify::Outbox;
use lifeboat_postgres::ClientTools;
use lifeboat_seal::DataKeys;
use lifeboat_vault::{MacKeys, Sites};

use crate::error::EngineError;

/// The ways out of the engine. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    /// The repository's sites.
    pub sites: Sites,
    /// Makes and opens data keys.
    pub keys: Arc<dyn DataKeys>,
    /// Vouches for entries of the ledger.
    pub macs: MacKeys,
    /// Where events and alerts go.
    pub outbox: Arc<dyn Outbox>,
    /// The folder of `pg_dump` and the other client tools; absent: on the search path.
    pub tools_dir: Option<PathBuf>,
    /// Sessions that copy rows at the same time, at least 1.
    pub sessions: usize,
}

impl Ports {
    /// The client tools, checked to be there.
    pub(crate) async fn tools(&self) -> Result<ClientTools, EngineError> {
        Ok(ClientTools::find(self.tools_dir.as_deref()).await?)
    }

    /// Sessions that copy rows at the same time.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.max(1)
    }
}

/// A work folder that is removed with the returned value: a warm environment keeps its /tmp.
pub(crate) fn work_folder() -> Result<tempfile::TempDir, EngineError> {
    let path = || std::env::temp_dir().display().to_string();
    let folder = tempfile::Builder::new().prefix("lifeboat-").tempdir();
    folder.map_err(|source| EngineError::WorkFolder { path: path(), source })
}
