//! Rows that the server refused one by one, and what is told about them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::server_error::ServerError;
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
    pub(super) rows: u64,
    pub(super) plaintext: Vec<u8>,
    pub(super) why: ServerError,
}

impl RefusedRows {
    /// Keeps rows that no way leads around.
    pub(super) fn keep(&self, table: &TableTarget, rows: u64, plaintext: Vec<u8>, why: ServerError) {
        let mut state = self.state();
        if state.kept_bytes + plaintext.len() > MOST_BYTES {
            return state.lose(table, rows, &why.to_string());
        }
        state.kept_bytes += plaintext.len();
        state.kept.push(Kept { table: table.clone(), rows, plaintext, why });
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
