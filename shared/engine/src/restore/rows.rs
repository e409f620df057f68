//! Rows and large objects: sessions take chunks from the backup's list, fetch and open them, and load them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use lifeboat_model::{ChunkEntry, LONG_CHUNK_BYTES, Manifest, RelationEntry, Stream, TableData};
use lifeboat_postgres::{
    DoneMarks, Loader, Obstacles, RefusedRanges, RefusedRows, RelationName, RestoreTarget, TableTarget,
};
use lifeboat_vault::{ChunkEntries, Reader};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};

use super::inputs::Restore;
use crate::error::EngineError;
use crate::pool::Workers;
use crate::progress::Progress;

/// Chunk list entries per session that can wait: enough that no session waits for the list.
const WAITING_ENTRIES: usize = 4;

/// The step that loads deferred chunks.
const DEFERRED_ROWS: &str = "deferred rows";

/// What became of rows whose table is not there.
const NO_TABLE: &str = "their table could not be restored";

/// Chunks that the server refused while objects were missing that their rows may name: by their place in the list, and their tables.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Deferred {
    chunks: BTreeSet<u64>,
    tables: HashSet<u32>,
}

impl Deferred {
    /// Their tables.
    pub(super) fn tables(&self, manifest: &Manifest) -> HashSet<RelationName> {
        let deferred = manifest.tables().filter(|(_, data)| self.tables.contains(&data.oid));
        deferred.map(|(relation, _)| RelationName::new(&relation.schema, &relation.name)).collect()
    }
}

impl Restore<'_> {
    /// Loads the chunks of rows with the configured number of sessions. One more session loads the large objects, whose pages must come in
    /// order. Returns the chunks that the server refused. Any other failure ends all sessions.
    ///
    /// Refused rows are tried again when all others are there, then without the constraints that they break.
    pub(super) async fn load_rows(
        &self,
        target: &RestoreTarget,
        obstacles: &Arc<Obstacles>,
    ) -> Result<Deferred, EngineError> {
        let refused = self.load_chunks(target, obstacles, None).await?;
        if refused.chunks.is_empty() {
            return Ok(refused);
        }
        self.load_chunks(target, obstacles, Some(refused.chunks)).await
    }

    /// Loads all chunks, or only those at these places of the list, for which constraints may be taken off.
    async fn load_chunks(
        &self,
        target: &RestoreTarget,
        obstacles: &Arc<Obstacles>,
        only: Option<BTreeSet<u64>>,
    ) -> Result<Deferred, EngineError> {
        let sessions = self.run.ports.sessions();
        let (rows, waiting_rows) = mpsc::channel(sessions * WAITING_ENTRIES);
        let (pages, waiting_pages) = mpsc::channel(WAITING_ENTRIES);
        let (waiting_rows, waiting_pages) = (Arc::new(Mutex::new(waiting_rows)), Arc::new(Mutex::new(waiting_pages)));
        let (tables, deferred) = (Arc::new(self.tables()), Arc::new(RwLock::default()));
        let mut workers = Workers::new();
        for waiting in std::iter::repeat_n(&waiting_rows, sessions).chain([&waiting_pages]) {
            let session = LoadingSession {
                loader: target.loader().await?,
                reader: self.reader(),
                tables: Arc::clone(&tables),
                obstacles: Arc::clone(obstacles),
                deferred: Arc::clone(&deferred),
                marks: target.marks().cloned(),
                may_relax: only.is_some(),
                progress: Arc::clone(&self.run.progress),
            };
            workers.spawn(session.load(Arc::clone(waiting)));
        }
        workers.spawn(follow(self.chunk_entries(), only, rows, pages));
        workers.all().await?;
        let deferred: Deferred = std::mem::take(&mut *deferred.write().unwrap_or_else(PoisonError::into_inner));
        Ok(deferred)
    }

    /// Loads what was deferred, chunk by chunk, and row by row where a chunk is refused again. Returns the rows that are refused still.
    pub(super) async fn load_deferred(
        &self,
        target: &RestoreTarget,
        obstacles: &Obstacles,
        deferred: Deferred,
    ) -> Result<RefusedRows, EngineError> {
        let refused = RefusedRows::default();
        if deferred.chunks.is_empty() {
            return Ok(refused);
        }
        if let Some(ranges) = target.result_of(DEFERRED_ROWS)? {
            return self.read_refused(&ranges).await;
        }
        let (reader, mut loader, tables) = (self.reader(), target.loader().await?, self.tables());
        let mut plaintext = Vec::new();
        let mut list = self.chunk_entries();
        for place in 0.. {
            let Some(entry) = list.next().await? else { break };
            let (Stream::Table(oid), Some(chunk), true) =
                (entry.stream, &entry.chunk, deferred.chunks.contains(&place))
            else {
                continue;
            };
            let Some(table) = tables.get(&oid) else { continue };
            if loader.has_table(&table.name).await? {
                reader.read(chunk, &mut plaintext).await?;
                loader.load_rows_around(place, table, &plaintext, obstacles, &refused).await?;
            } else {
                refused.lose(table, entry.rows, NO_TABLE);
            }
        }
        loader.close().await;
        target.keep_result(DEFERRED_ROWS, &refused.ranges()).await?;
        Ok(refused)
    }

    /// Reads the rows again that an earlier attempt kept for a last one.
    async fn read_refused(&self, ranges: &RefusedRanges) -> Result<RefusedRows, EngineError> {
        let (refused, places) = (RefusedRows::known(ranges), ranges.places());
        let (reader, tables, mut plaintext) = (self.reader(), self.tables(), Vec::new());
        let mut list = self.chunk_entries();
        for place in 0.. {
            let Some(entry) = list.next().await? else { break };
            if let (Stream::Table(oid), Some(chunk), true) = (entry.stream, &entry.chunk, places.contains(&place))
                && let Some(table) = tables.get(&oid)
            {
                reader.read(chunk, &mut plaintext).await?;
                refused.take_up(ranges, place, table, &plaintext);
            }
        }
        Ok(refused)
    }

    /// The restored tables by the oid that names their streams.
    fn tables(&self) -> HashMap<u32, TableTarget> {
        let target = |(relation, data): (&RelationEntry, &TableData)| (data.oid, TableTarget::new(relation, data));
        self.manifest.tables().map(target).collect()
    }
}

/// Hands the entries of a chunk list to the sessions, in the list's order, each with its place.
async fn follow(
    mut list: ChunkEntries,
    only: Option<BTreeSet<u64>>,
    rows: mpsc::Sender<(u64, ChunkEntry)>,
    pages: mpsc::Sender<(u64, ChunkEntry)>,
) -> Result<(), EngineError> {
    let mut place = 0;
    while let Some(entry) = list.next().await? {
        let sessions = match entry.stream {
            Stream::Table(_) => Some(&rows),
            Stream::LargeObjects => Some(&pages),
            Stream::Schema
            | Stream::Roles
            | Stream::Globals
            | Stream::Sequences
            | Stream::Inventory
            | Stream::LargeObjectProperties => None,
        };
        if let Some(sessions) = sessions.filter(|_| only.as_ref().is_none_or(|only| only.contains(&place)))
            && sessions.send((place, entry)).await.is_err()
        {
            // The sessions have failed, and their error is the one to report.
            break;
        }
        place += 1;
    }
    Ok(())
}

struct LoadingSession {
    loader: Loader,
    reader: Reader,
    tables: Arc<HashMap<u32, TableTarget>>,
    obstacles: Arc<Obstacles>,
    deferred: Arc<RwLock<Deferred>>,
    marks: Option<Arc<DoneMarks>>,
    may_relax: bool,
    progress: Arc<dyn Progress>,
}

impl LoadingSession {
    async fn load(mut self, entries: Arc<Mutex<mpsc::Receiver<(u64, ChunkEntry)>>>) -> Result<(), EngineError> {
        let mut plaintext = Vec::new();
        loop {
            let next = entries.lock().await.recv().await;
            let Some((place, entry)) = next else { break };
            self.load_entry(place, &entry, &mut plaintext).await?;
            if plaintext.capacity() > LONG_CHUNK_BYTES {
                plaintext = Vec::new();
            }
            self.progress.advance(1);
        }
        self.loader.close().await;
        Ok(())
    }

    async fn load_entry(&mut self, place: u64, entry: &ChunkEntry, plaintext: &mut Vec<u8>) -> Result<(), EngineError> {
        let Some(chunk) = &entry.chunk else { return Ok(()) };
        if self.marks.as_ref().is_some_and(|marks| marks.has_chunk(place)) {
            return Ok(());
        }
        let Stream::Table(oid) = entry.stream else {
            self.reader.read(chunk, plaintext).await?;
            self.loader.load_large_objects(place, plaintext).await?;
            return Ok(());
        };
        // The manifest's sums do not count rows of an unnamed table, so the proofs report them.
        let Some(table) = self.tables.get(&oid) else { return Ok(()) };
        if self.deferred.read().unwrap_or_else(PoisonError::into_inner).tables.contains(&oid) {
            self.defer(place, oid);
            return Ok(());
        }
        self.reader.read(chunk, plaintext).await?;
        match self.loader.load_chunk_around(place, table, plaintext, &self.obstacles, self.may_relax).await {
            Ok(_) => {}
            Err(error) if error.is_a_refusal() => {
                tracing::info!(table = %table.name, %error, "rows wait until everything else is restored");
                self.defer(place, oid);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn defer(&self, place: u64, oid: u32) {
        let mut deferred = self.deferred.write().unwrap_or_else(PoisonError::into_inner);
        deferred.chunks.insert(place);
        deferred.tables.insert(oid);
    }
}
