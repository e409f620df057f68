//! Rows that the server refused one by one, and what is told about them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::server_error::ServerError;
use crate::restore::chunk_rows::ChunkOfRows;
use crate::restore::table_target::TableTarget;

/// Bytes of refused rows that are kept for a last attempt, when everything else is restored. They are in memory.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The rows of a restore that were refused so far.
#[derive(Debug, Default)]
pub struct RefusedRows(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    kept: Vec<Kept>,
    kept_bytes: usize,
    lost: BTreeMap<(String, String), u64>,
}

/// Rows for a last attempt.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) table: TableTarget,
    /// The place of their chunk in the chunk list.
    pub(super) place: u64,
    /// Where they are in it.
    pub(super) rows: Range<usize>,
    pub(super) plaintext: Vec<u8>,
    pub(super) why: ServerError,
}

/// Where refused rows are in the backup, without the rows: what a restore that is continued has to know of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RefusedRanges {
    /// Those for a last attempt, by the place of their chunk and the reason.
    kept: Vec<(u64, ServerError, Vec<Range<usize>>)>,
    /// How many are missing, by table and reason.
    lost: Vec<(String, String, u64)>,
}

impl RefusedRanges {
    /// The places of chunks with rows for a last attempt.
    pub fn places(&self) -> BTreeSet<u64> {
        self.kept.iter().map(|(place, ..)| *place).collect()
    }
}

impl RefusedRows {
    /// The rows that an earlier attempt knew to be missing. [`RefusedRows::take_up`] adds the others.
    pub fn known(ranges: &RefusedRanges) -> Self {
        let refused = Self::default();
        let lost = ranges.lost.iter().map(|(table, why, rows)| ((table.clone(), why.clone()), *rows));
        refused.state().lost.extend(lost);
        refused
    }

    /// Keeps those rows of a chunk that an earlier attempt kept for a last one.
    pub fn take_up(&self, ranges: &RefusedRanges, place: u64, table: &TableTarget, plaintext: &[u8]) {
        let Some(chunk) = ChunkOfRows::read(plaintext, table.format) else { return };
        for (_, why, rows) in ranges.kept.iter().filter(|(kept, ..)| *kept == place) {
            for range in rows {
                self.keep(table, place, range.clone(), chunk.part(range.clone()), why.clone());
            }
        }
    }

    /// Where they are.
    pub fn ranges(&self) -> RefusedRanges {
        let state = self.state();
        let mut ranges = RefusedRanges::default();
        for Kept { place, rows, why, .. } in &state.kept {
            match ranges.kept.last_mut().filter(|(last, reason, _)| last == place && reason == why) {
                Some((.., list)) => list.push(rows.clone()),
                None => ranges.kept.push((*place, why.clone(), vec![rows.clone()])),
            }
        }
        ranges.lost = state.lost.iter().map(|((table, why), rows)| (table.clone(), why.clone(), *rows)).collect();
        ranges
    }

    /// Keeps rows that no way leads around.
    pub(super) fn keep(
        &self,
        table: &TableTarget,
        place: u64,
        rows: Range<usize>,
        plaintext: Vec<u8>,
        why: ServerError,
    ) {
        let mut state = self.state();
        if state.kept_bytes + plaintext.len() > MOST_BYTES {
            return state.lose(table, rows.len() as u64, &why.to_string());
        }
        state.kept_bytes += plaintext.len();
        state.kept.push(Kept { table: table.clone(), place, rows, plaintext, why });
    }

    /// Counts rows that have no table to go to.
    pub fn lose(&self, table: &TableTarget, rows: u64, why: &str) {
        self.state().lose(table, rows, why);
    }

    /// The rows for a last attempt. They are no longer kept.
    pub(super) fn take_kept(&self) -> Vec<Kept> {
        std::mem::take(&mut self.state().kept)
    }

    /// The rows that are missing, by table and reason.
    pub(super) fn into_lost(self) -> BTreeMap<(String, String), u64> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).lost
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lose(&mut self, table: &TableTarget, rows: u64, why: &str) {
        *self.lost.entry((table.name.to_string(), why.to_owned())).or_default() += rows;
    }
}
