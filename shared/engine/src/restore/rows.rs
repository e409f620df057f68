//! Rows and large objects: sessions take chunks from the backup's list, fetch and open them, and load them.

use std::collections::HashMap;
use std::sync::Arc;

use lifeboat_model::{ChunkEntry, LONG_CHUNK_BYTES, RelationEntry, Stream, TableData};
use lifeboat_postgres::{Loader, RestoreTarget, TableTarget};
use lifeboat_vault::{ChunkEntries, Reader};
use tokio::sync::{Mutex, mpsc};

use super::inputs::Restore;
use crate::error::EngineError;
use crate::pool::Workers;
use crate::progress::Progress;

/// Chunk list entries per session that can wait: enough that no session waits for the list.
const WAITING_ENTRIES: usize = 4;

impl Restore<'_> {
    /// Loads the chunks of rows with the configured number of sessions. One more session loads the large objects, whose pages must come in
    /// order. The first failure ends all of them.
    pub(super) async fn load_rows(&self, target: &RestoreTarget) -> Result<(), EngineError> {
        let sessions = self.run.ports.sessions();
        let (rows, waiting_rows) = mpsc::channel(sessions * WAITING_ENTRIES);
        let (pages, waiting_pages) = mpsc::channel(WAITING_ENTRIES);
        let (waiting_rows, waiting_pages) = (Arc::new(Mutex::new(waiting_rows)), Arc::new(Mutex::new(waiting_pages)));
        let tables = Arc::new(self.tables());
        let mut workers = Workers::new();
        for waiting in std::iter::repeat_n(&waiting_rows, sessions).chain([&waiting_pages]) {
            let session = LoadingSession {
                loader: target.loader().await?,
                reader: self.repository.reader(self.site)?,
                tables: Arc::clone(&tables),
                progress: Arc::clone(&self.run.progress),
            };
            workers.spawn(session.load(Arc::clone(waiting)));
        }
        workers.spawn(follow(self.repository.chunk_entries(self.manifest, self.site)?, rows, pages));
        workers.all().await.map(drop)
    }

    /// The restored tables by the oid that names their streams.
    fn tables(&self) -> HashMap<u32, TableTarget> {
        let target = |(relation, data): (&RelationEntry, &TableData)| (data.oid, TableTarget::new(relation, data));
        self.manifest.tables().map(target).collect()
    }
}

/// Hands the entries of a chunk list to the sessions, in the list's order.
async fn follow(
    mut list: ChunkEntries,
    rows: mpsc::Sender<ChunkEntry>,
    pages: mpsc::Sender<ChunkEntry>,
) -> Result<(), EngineError> {
    while let Some(entry) = list.next().await? {
        let sessions = match entry.stream {
            Stream::Table(_) => &rows,
            Stream::LargeObjects => &pages,
            Stream::Schema
            | Stream::Roles
            | Stream::Globals
            | Stream::Sequences
            | Stream::Inventory
            | Stream::LargeObjectProperties => continue,
        };
        if sessions.send(entry).await.is_err() {
            // The sessions have failed, and their error is the one to report.
            break;
        }
    }
    Ok(())
}

struct LoadingSession {
    loader: Loader,
    reader: Reader,
    tables: Arc<HashMap<u32, TableTarget>>,
    progress: Arc<dyn Progress>,
}

impl LoadingSession {
    async fn load(mut self, entries: Arc<Mutex<mpsc::Receiver<ChunkEntry>>>) -> Result<(), EngineError> {
        let mut plaintext = Vec::new();
        loop {
            let next = entries.lock().await.recv().await;
            let Some(ChunkEntry { stream, chunk, .. }) = next else { break };
            if let Some(chunk) = &chunk {
                self.reader.read(chunk, &mut plaintext).await?;
                // The manifest's sums do not count rows of an unnamed table, so the proofs report them.
                match stream {
                    Stream::Table(oid) => match self.tables.get(&oid) {
                        Some(table) => self.loader.load_chunk(table, &plaintext).await?,
                        None => 0,
                    },
                    _ => self.loader.load_large_objects(&plaintext).await?,
                };
            }
            if plaintext.capacity() > LONG_CHUNK_BYTES {
                plaintext = Vec::new();
            }
            self.progress.advance(1);
        }
        self.loader.close().await;
        Ok(())
    }
}
