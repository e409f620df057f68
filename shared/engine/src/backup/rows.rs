//! Rows: sessions take pieces of work, copy them out of the shared snapshot and store them chunk by chunk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lifeboat_model::{CHUNK_BYTES, ChunkEntry, RowHasher, Slice, Stream};
use lifeboat_postgres::{Relation, RowStream, SliceReader, Snapshot};
use lifeboat_vault::{Scratch, Writer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::collector::Collector;
use super::{BackupPlan, Run};
use crate::deadline::Deadline;
use crate::error::EngineError;
use crate::progress::Progress;

/// Entries of stored chunks that wait for the collector, for each session: it only adds up, so few ever wait.
const WAITING_ENTRIES: usize = 4;

/// A piece of work of one session. Pieces are independent: any session may take any.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece {
    /// A slice of the relation at this place of the plan.
    Slice(usize, Slice),
    /// All large objects.
    LargeObjects,
}

/// The pieces that no session has taken yet.
struct Queue {
    relations: Vec<Relation>,
    pieces: Mutex<Box<dyn Iterator<Item = Piece> + Send>>,
    done: AtomicU64,
    total: u64,
}

impl Queue {
    fn take(&self) -> Option<Piece> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

/// Copies every piece of the plan with as many sessions as are allowed; the first failure ends all of them.
pub(super) async fn store_rows(
    run: &Run<'_>,
    snapshot: &Snapshot,
    plan: &BackupPlan,
    collector: &mut Collector,
) -> Result<(), EngineError> {
    let total = plan.piece_count();
    let queue = Arc::new(Queue {
        relations: plan.relations.clone(),
        pieces: Mutex::new(Box::new(plan.pieces())),
        done: AtomicU64::new(0),
        total,
    });
    let count = run.lifeboat.sessions.max(1).min(usize::try_from(total).unwrap_or(usize::MAX));
    let (stored, mut entries) = mpsc::channel(count.max(1) * WAITING_ENTRIES);
    let mut sessions = JoinSet::new();
    for _ in 0..count {
        let session = Session {
            reader: snapshot.reader().await?,
            chunks: Chunks::new(Arc::clone(&run.writer), stored.clone())?,
            progress: Arc::clone(&run.lifeboat.progress),
            deadline: run.lifeboat.deadline,
            began: run.began,
        };
        sessions.spawn(session.work(Arc::clone(&queue)));
    }
    drop(stored);
    // On the way out with an error, dropping the set ends the sessions that are still at work.
    loop {
        tokio::select! {
            Some(entry) = entries.recv() => collector.add(entry).await?,
            Some(ended) = sessions.join_next() => ended.map_err(EngineError::Worker)??,
            else => return Ok(()),
        }
    }
}

struct Session {
    reader: SliceReader,
    chunks: Chunks,
    progress: Arc<dyn Progress>,
    deadline: Deadline,
    began: Instant,
}

impl Session {
    async fn work(mut self, queue: Arc<Queue>) -> Result<(), EngineError> {
        while let Some(piece) = queue.take() {
            if self.deadline.is_near(self.began) {
                return Err(EngineError::DeadlineNear { done: queue.done.load(Ordering::Relaxed), total: queue.total });
            }
            match piece {
                Piece::Slice(place, slice) => {
                    if let Some(table) = queue.relations.get(place) {
                        let rows = self.reader.copy_slice(table, slice).await?;
                        self.chunks.store(rows, Stream::Table(table.oid), Some(slice)).await?;
                    }
                }
                Piece::LargeObjects => {
                    let pages = self.reader.copy_large_objects().await?;
                    self.chunks.store(pages, Stream::LargeObjects, None).await?;
                }
            }
            queue.done.fetch_add(1, Ordering::Relaxed);
            self.progress.advance(1);
        }
        self.reader.close().await;
        Ok(())
    }
}

/// Turns a stream of rows into stored chunks, with buffers that are used again and again.
struct Chunks {
    writer: Arc<Writer>,
    stored: mpsc::Sender<ChunkEntry>,
    hasher: RowHasher,
    plaintext: Vec<u8>,
    scratch: Scratch,
}

impl Chunks {
    fn new(writer: Arc<Writer>, stored: mpsc::Sender<ChunkEntry>) -> Result<Self, EngineError> {
        let hasher = writer.chunk_key().row_hasher();
        Ok(Self { writer, stored, hasher, plaintext: Vec::new(), scratch: Scratch::new()? })
    }

    async fn store(
        &mut self,
        mut rows: RowStream<'_>,
        stream: Stream,
        slice: Option<Slice>,
    ) -> Result<(), EngineError> {
        let mut part = 0;
        while let Some(read) = rows.next_chunk(&mut self.plaintext, &self.hasher, CHUNK_BYTES).await? {
            let chunk = self.writer.store(&self.plaintext, &mut self.scratch).await?;
            let (rows, digest) = (read.rows, read.digest);
            self.hand_over(ChunkEntry { stream, part, slice, rows, digest, chunk: Some(chunk) }).await;
            part += 1;
        }
        if part == 0 {
            // A slice without rows is named all the same: the list covers every block of every table.
            self.hand_over(ChunkEntry { stream, part, slice, rows: 0, digest: Default::default(), chunk: None }).await;
        }
        Ok(())
    }

    async fn hand_over(&self, entry: ChunkEntry) {
        // The collector goes away only when the run has failed, and then this session is ended, too.
        let _ = self.stored.send(entry).await;
    }
}
