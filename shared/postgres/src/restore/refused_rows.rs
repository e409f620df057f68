//! Rows that the server refused one by one, and what is told about them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lifeboat_model::SetAside;

use crate::error::PostgresResult as Result;
use crate::error::server_error::ServerError;
use crate::restore::loader::TableTarget;
use crate::restore::target::RestoreTarget;

/// Bytes of refused rows that are kept for a last attempt, when everything else is restored. They are in memory.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Parts of chunks that one restore looks into. Each costs some statements.
const MOST_PARTS: u32 = 20_000;

/// The rows of a restore that were refused so far.
#[derive(Debug, Default)]
pub struct RefusedRows(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    kept: Vec<Kept>,
    kept_bytes: usize,
    parts: u32,
    lost: BTreeMap<(String, String), u64>,
}

#[derive(Debug)]
struct Kept {
    table: TableTarget,
    rows: u64,
    plaintext: Vec<u8>,
    why: ServerError,
}

impl RefusedRows {
    /// Whether refused rows may still be told apart from those beside them.
    pub(super) fn may_look_closer(&self) -> bool {
        let mut state = self.state();
        state.parts += 1;
        state.parts <= MOST_PARTS
    }

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

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lose(&mut self, table: &TableTarget, rows: u64, why: &str) {
        *self.lost.entry((table.name.to_string(), why.to_owned())).or_default() += rows;
    }
}

impl RestoreTarget {
    /// Tries refused rows a last time, when everything else is restored, and returns those that are missing, by table and reason.
    pub async fn load_refused_rows(&self, refused: RefusedRows) -> Result<Vec<SetAside>> {
        let mut refused = refused.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !refused.kept.is_empty() {
            let mut loader = self.loader().await?;
            for Kept { table, rows, plaintext, why } in std::mem::take(&mut refused.kept) {
                if loader.load_without_triggers(&table, &plaintext).await?.is_some() {
                    // The first refusal is nearer to the cause.
                    refused.lose(&table, rows, &why.to_string());
                }
            }
            loader.close().await;
        }
        let missing = |((table, why), rows): ((String, String), u64)| SetAside {
            kind: "rows".to_owned(),
            reason: format!("{rows} row(s) are not restored: {why}"),
            what_to_do: format!(
                "remove the cause and restore `{table}` again, or read these rows from the backup as docs/format/without-lifeboat.md describes"
            ),
            object: table,
            definition: None,
        };
        Ok(refused.lost.into_iter().map(missing).collect())
    }
}
