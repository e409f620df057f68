//! The end of a phase of an archive: what an attempt knows then, for one that continues.
//!
//! An attempt that is killed within a phase leaves the marks of its statements. A later one skips these, and tries again what was refused.

use std::collections::HashSet;
use std::sync::Arc;

use lifeboat_model::SetAside;
use serde::{Deserialize, Serialize};

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::archive_restore::ArchiveRestore;
use crate::restore::bare_table::BareTable;
use crate::restore::entry::Entry;
use crate::restore::outstanding::{Outstanding, Refused};
use crate::restore::unit::fingerprint;

/// What is known at the end of a phase.
#[derive(Debug, Serialize, Deserialize)]
struct PhaseEnd {
    outstanding: Vec<Known>,
    weaker: Vec<SetAside>,
    /// The entries that wait for rows.
    later: HashSet<u32>,
}

/// A statement that was refused. Its text can hold a password, and is in the archive.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    entry: u32,
    statement: Option<i64>,
    why: Refused,
}

impl ArchiveRestore<'_> {
    /// Whether an earlier attempt has ended this phase. What it knew then is known now.
    pub(super) fn has_ended(&mut self, phase: &str) -> Result<bool> {
        let Some(end) = self.target.result_of::<PhaseEnd>(phase)? else { return Ok(false) };
        let known = end.outstanding.into_iter().map(|known| self.outstanding_of(known));
        self.outstanding = known.collect::<Result<_>>()?;
        self.weaker = end.weaker;
        self.post_data.retain(|entry| end.later.contains(&entry.id));
        Ok(true)
    }

    /// Keeps what is known at the end of a phase.
    pub(super) async fn end(&self, phase: &str) -> Result<()> {
        if self.target.marks().is_none() {
            return Ok(());
        }
        let known = |one: &Outstanding| Known {
            entry: one.entry.id,
            statement: one.statement.as_deref().map(fingerprint),
            why: one.why.clone(),
        };
        let end = PhaseEnd {
            outstanding: self.outstanding.iter().map(known).collect(),
            weaker: self.weaker.clone(),
            later: self.post_data.iter().map(|entry| entry.id).collect(),
        };
        self.target.keep_result(phase, &end).await
    }

    fn outstanding_of(&self, known: Known) -> Result<Outstanding> {
        let entry = self.entries.get(&known.entry);
        let statement = match (entry, known.statement) {
            (_, None) => Some(None),
            (None, _) => None,
            (Some(entry), Some(wanted)) => statement_of(entry, wanted).map(Some),
        };
        match (entry, statement) {
            (Some(entry), Some(statement)) => Ok(Outstanding { entry: Arc::clone(entry), statement, why: known.why }),
            _ => Err(PostgresError::UnexpectedAnswer {
                step: "continuing the restore".to_owned(),
                fact: format!("the archive has no such statement in entry {}", known.entry),
            }),
        }
    }
}

/// The statement of an entry that has this fingerprint: as the archive has it, what a bare table lacks, or a setting.
fn statement_of(entry: &Entry, wanted: i64) -> Option<String> {
    let written = || entry.statements.iter().flatten();
    let rest = || written().filter_map(|statement| BareTable::of(statement)).flat_map(|bare| bare.rest);
    let settings = entry.settings.split(";\n").map(str::to_owned);
    written().cloned().chain(rest()).chain(settings).find(|statement| fingerprint(statement) == wanted)
}
