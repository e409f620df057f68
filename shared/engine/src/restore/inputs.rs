//! The inputs of a restore.

use lifeboat_model::Manifest;
use lifeboat_postgres::ClientTools;
use lifeboat_vault::{ChunkEntries, Reader, Repository, SiteOrder};

use crate::error::EngineError;
use crate::run::Run;

/// A backup, the sites it is read from, and the tools to restore it with.
pub(crate) struct Restore<'a> {
    pub(crate) run: &'a Run,
    pub(crate) repository: &'a Repository,
    pub(crate) order: SiteOrder,
    pub(crate) manifest: &'a Manifest,
    pub(crate) tools: &'a ClientTools,
    /// Whether the database is kept. Only then does the restore set the database's owner and comment, and objects that affect the whole
    /// server: attributes of roles and subscriptions.
    pub(crate) is_kept: bool,
}

impl Restore<'_> {
    /// Reads the chunks of the backup.
    pub(super) fn reader(&self) -> Reader {
        self.repository.reader_of(&self.order)
    }

    /// Reads the chunk list of the backup.
    pub(super) fn chunk_entries(&self) -> ChunkEntries {
        self.repository.chunk_entries_of(self.manifest, &self.order)
    }

    pub(super) fn inconsistent(&self, what: String) -> EngineError {
        EngineError::Inconsistent { backup_id: self.manifest.backup_id.clone(), what }
    }
}
