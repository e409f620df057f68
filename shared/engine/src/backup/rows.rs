//! Rows: sessions take pieces of work, copy them from the shared snapshot and store them chunk by chunk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures_util::future::try_join_all;
use lifeboat_model::{CHUNK_BYTES, ChunkEntry, LONG_CHUNK_BYTES, RowHasher, Slice, StoredChunk, Stream};
use lifeboat_postgres::{Relation, RowStream, SliceReader, Snapshot};
use lifeboat_vault::{Scratch, Writer};
use tokio::sync::Semaphore;

use super::collector::Entries;
use super::new_backup::NewBackup;
use super::plan::{BackupPlan, Piece};
use crate::deadline::Deadline;
use crate::error::EngineError;
use crate::pool::{Queue, Workers};
use crate::progress::Progress;

/// What the sessions share.
struct Work {
    relations: Vec<Relation>,
    pieces: Queue<Piece>,
    done: AtomicU64,
    total: u64,
}

/// Copies every piece of the plan with the backup's number of sessions. The first failure ends all of them.
pub(super) async fn store_rows(
    new: &NewBackup<'_>,
    snapshot: &Snapshot,
    plan: &BackupPlan,
    entries: Entries,
) -> Result<(), EngineError> {
    let total = plan.piece_count();
    let work = Arc::new(Work {
        relations: plan.relations.clone(),
        pieces: Queue::new(plan.pieces()),
        done: AtomicU64::new(0),
        total,
    });
    let count = new.readers.sessions.min(usize::try_from(total).unwrap_or(usize::MAX));
    let mut sessions = Workers::new();
    let readers = try_join_all((0..count).map(|_| snapshot.reader())).await?;
    let long_chunk = Arc::new(Semaphore::new(1));
    for reader in readers {
        let session = Session {
            reader,
            chunks: Chunks::new(Arc::clone(&new.writer), entries.clone(), Arc::clone(&long_chunk))?,
            progress: Arc::clone(&new.run.progress),
            deadline: new.run.deadline,
            began: new.began,
        };
        sessions.spawn(session.copy(Arc::clone(&work)));
    }
    sessions.all().await.map(drop)
}

struct Session {
    reader: SliceReader,
    chunks: Chunks,
    progress: Arc<dyn Progress>,
    deadline: Deadline,
    began: Instant,
}

impl Session {
    async fn copy(mut self, work: Arc<Work>) -> Result<(), EngineError> {
        while let Some(piece) = work.pieces.take() {
            if self.deadline.is_near(self.began) {
                return Err(EngineError::DeadlineNear { done: work.done.load(Ordering::Relaxed), total: work.total });
            }
            match piece {
                Piece::Slice(place, slice) => {
                    if let Some(table) = work.relations.get(place) {
                        let rows = self.reader.copy_slice(table, slice).await?;
                        self.chunks.store(rows, Stream::Table(table.oid), Some(slice)).await?;
                    }
                }
                Piece::LargeObjects => {
                    let pages = self.reader.copy_large_objects().await?;
                    self.chunks.store(pages, Stream::LargeObjects, None).await?;
                }
                Piece::LargeObjectProperties => {
                    let properties = self.reader.copy_large_object_properties().await?;
                    self.chunks.store(properties, Stream::LargeObjectProperties, None).await?;
                }
            }
            work.done.fetch_add(1, Ordering::Relaxed);
            self.progress.advance(1);
        }
        self.reader.close().await;
        Ok(())
    }
}

/// Turns a stream of rows into stored chunks, with buffers that are used again and again.
struct Chunks {
    writer: Arc<Writer>,
    entries: Entries,
    hasher: RowHasher,
    plaintext: Vec<u8>,
    scratch: Scratch,
    /// Lets one session at a time pack an oversized chunk. A row of hundreds of megabytes is never divided.
    long_chunk: Arc<Semaphore>,
}

impl Chunks {
    fn new(writer: Arc<Writer>, entries: Entries, long_chunk: Arc<Semaphore>) -> Result<Self, EngineError> {
        let hasher = writer.chunk_key().row_hasher();
        Ok(Self { writer, entries, hasher, plaintext: Vec::new(), scratch: Scratch::new()?, long_chunk })
    }

    async fn store(
        &mut self,
        mut rows: RowStream<'_>,
        stream: Stream,
        slice: Option<Slice>,
    ) -> Result<(), EngineError> {
        let mut part = 0;
        while let Some(read) = rows.next_chunk(&mut self.plaintext, &self.hasher, CHUNK_BYTES).await? {
            let chunk = self.store_chunk().await?;
            let (rows, digest) = (read.rows, read.digest);
            self.entries.hand_over(ChunkEntry { stream, part, slice, rows, digest, chunk: Some(chunk) }).await;
            part += 1;
        }
        if part == 0 {
            // A slice without rows is listed too, because the list covers every block of every table.
            self.entries
                .hand_over(ChunkEntry { stream, part, slice, rows: 0, digest: Default::default(), chunk: None })
                .await;
        }
        Ok(())
    }

    /// Stores the chunk in `plaintext`. Only one session at a time packs an oversized chunk, and frees its memory afterwards. Otherwise each
    /// session would keep three times the longest row that it has seen.
    async fn store_chunk(&mut self) -> Result<StoredChunk, EngineError> {
        if self.plaintext.len() <= LONG_CHUNK_BYTES {
            return Ok(self.writer.store(&self.plaintext, &mut self.scratch).await?);
        }
        // The semaphore is never closed.
        let _turn = self.long_chunk.acquire().await;
        let chunk = self.writer.store(&self.plaintext, &mut self.scratch).await?;
        self.plaintext = Vec::new();
        self.scratch = Scratch::new()?;
        Ok(chunk)
    }
}
