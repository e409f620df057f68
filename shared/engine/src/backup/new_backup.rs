//! A backup that is being taken, and its manifest.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use lifeboat_model::{BackupId, BackupState, LedgerLink, MANIFEST_FORMAT, Manifest, Phases, SLICE_BLOCKS, Source};
use lifeboat_postgres::{ClientTools, Readers};
use lifeboat_vault::{Repository, Writer};

use super::collector::Stored;
use super::request::BackupRequest;
use crate::error::EngineError;
use crate::run::Run;

/// A backup that is being taken.
pub(super) struct NewBackup<'a> {
    pub(super) run: &'a Run,
    pub(super) repository: &'a Repository,
    pub(super) id: BackupId,
    pub(super) started: Timestamp,
    /// When its work began, in its turn.
    pub(super) began: Instant,
    pub(super) tools: ClientTools,
    /// The sessions that read rows: as many as the server allows, and no more than configured.
    pub(super) readers: Readers,
    pub(super) writer: Arc<Writer>,
}

impl NewBackup<'_> {
    /// The end of the ledger, which the backup's manifest names and so protects.
    ///
    /// When the ledger lacks the entry that the previous backup named (`before`), or is damaged otherwise, the backup names the same entry
    /// again. An entry that was cut off must not be forgotten with the next backup. A damaged ledger does not stop backups: the verification
    /// after each backup walks the ledger and reports the damage.
    pub(super) async fn newest_entry(&self, before: Option<LedgerLink>) -> Option<LedgerLink> {
        let newest = self.run.ledger(self.repository).newest_link(before).await;
        newest.unwrap_or_else(|error| {
            let error = EngineError::from(error);
            let (error, hint) = (error.story(), error.hint());
            tracing::error!(
                error,
                hint,
                "the ledger's end cannot be read; the backup names the entry that the previous one named"
            );
            before
        })
    }

    pub(super) fn manifest(
        &self,
        request: &BackupRequest,
        source: Source,
        stored: Stored,
        ledger: Option<LedgerLink>,
        seconds: Phases,
    ) -> Manifest {
        Manifest {
            format: MANIFEST_FORMAT,
            backup_id: self.id.clone(),
            database: request.database.clone(),
            state: BackupState::Complete,
            epoch: self.writer.epoch(),
            started_at: self.started,
            finished_at: Timestamp::now(),
            source,
            slice_blocks: SLICE_BLOCKS,
            relations: stored.relations,
            large_objects: stored.large_objects,
            totals: stored.totals,
            chunk_list: stored.chunk_list,
            seconds,
            tools: vec![concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned(), self.tools.version().to_owned()],
            ledger,
        }
    }
}
