//! Collects what a run has stored: the chunk list and the sums of each table.

use std::collections::HashMap;

use lifeboat_model::{ChunkEntry, ChunkList, RelationEntry, Stream, TableData, Totals};
use lifeboat_vault::ChunkListWriter;
use tokio::sync::mpsc;

use super::plan::BackupPlan;
use crate::error::EngineError;

/// Entries per session that can wait for the collector. It only adds numbers, so few ever wait.
const WAITING_ENTRIES: usize = 4;

/// The channel from `sessions` sessions to the collector.
pub(super) fn entries_for(sessions: usize) -> (Entries, mpsc::Receiver<ChunkEntry>) {
    let (sender, receiver) = mpsc::channel(sessions * WAITING_ENTRIES);
    (Entries(sender), receiver)
}

/// Takes the entry of each stored chunk.
#[derive(Clone)]
pub(super) struct Entries(mpsc::Sender<ChunkEntry>);

impl Entries {
    /// Hands over one line of the chunk list. Waits while the collector is behind.
    pub(super) async fn hand_over(&self, entry: ChunkEntry) {
        // The collector stops only when the run has failed, which also ends the sessions.
        let _ = self.0.send(entry).await;
    }
}

/// Takes the entries of durable chunks, in the order in which sessions store them.
pub(super) struct Collector {
    list: ChunkListWriter,
    totals: Totals,
    tables: HashMap<u32, TableData>,
}

/// What a run has stored, before the manifest exists.
pub(super) struct Stored {
    pub(super) relations: Vec<RelationEntry>,
    pub(super) large_objects: u64,
    pub(super) totals: Totals,
    pub(super) chunk_list: ChunkList,
}

impl Collector {
    pub(super) fn new(list: ChunkListWriter, plan: &BackupPlan) -> Self {
        let tables = plan.tables().map(|(_, table)| (table.oid, BackupPlan::empty(table))).collect();
        let totals = Totals { relations: plan.relations.len() as u64, ..Totals::default() };
        Self { list, totals, tables }
    }

    /// Takes entries until every sender is gone.
    pub(super) async fn take(&mut self, mut entries: mpsc::Receiver<ChunkEntry>) -> Result<(), EngineError> {
        while let Some(entry) = entries.recv().await {
            self.add(entry).await?;
        }
        Ok(())
    }

    /// Takes one line of the chunk list.
    async fn add(&mut self, entry: ChunkEntry) -> Result<(), EngineError> {
        if let Stream::Table(oid) = entry.stream {
            self.totals.rows += entry.rows;
            if let Some(table) = self.tables.get_mut(&oid) {
                add_to_table(table, &entry);
            }
        }
        if let Some(chunk) = &entry.chunk {
            self.totals.raw_bytes += chunk.raw_bytes;
            let (chunks, bytes) = if chunk.is_reused() {
                (&mut self.totals.reused_chunks, &mut self.totals.reused_bytes)
            } else {
                (&mut self.totals.new_chunks, &mut self.totals.stored_bytes)
            };
            *chunks += 1;
            *bytes += chunk.stored_bytes;
        }
        Ok(self.list.push(&entry).await?)
    }

    /// Ends the chunk list and gives each relation its status.
    pub(super) async fn finish(mut self, plan: BackupPlan) -> Result<Stored, EngineError> {
        let large_objects = plan.large_objects;
        let relations = plan.relations.into_iter().map(|relation| {
            let data = self.tables.remove(&relation.oid);
            BackupPlan::entry(relation, data)
        });
        let relations = relations.collect();
        Ok(Stored { relations, large_objects, totals: self.totals, chunk_list: self.list.finish().await? })
    }
}

fn add_to_table(table: &mut TableData, entry: &ChunkEntry) {
    table.rows += entry.rows;
    table.row_digest += entry.digest;
    if let Some(chunk) = &entry.chunk {
        table.chunks += 1;
        table.reused_chunks += u64::from(chunk.is_reused());
        table.raw_bytes += chunk.raw_bytes;
        table.stored_bytes += chunk.stored_bytes;
    }
}
