//! What stands in the way of rows, and how it is gone around: checks, search paths, partitions that rows do not belong to any longer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::PostgresResult as Result;
use crate::restore::done_marks::DoneMarks;
use crate::restore::relaxed::{self, Kind, Relaxed};
use crate::restore::unit::{Unit, read_note};
use crate::session::Session;
use crate::session::identifier::RelationName;

/// The obstacles of one restore, which all loading sessions share.
#[derive(Debug)]
pub struct Obstacles {
    pub(super) search_paths: Vec<String>,
    known: Mutex<Known>,
    /// One session at a time takes constraints off.
    off: tokio::sync::Mutex<TakenOff>,
    marks: Option<Arc<DoneMarks>>,
}

/// The step that takes constraints off.
const TAKEN_OFF: &str = "constraints taken off";

/// The note of a chunk, or of a part of one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Loaded {
    /// The row that the part ends before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<u64>,
    /// The table, when its rows went through the root of its partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) routed: Option<RelationName>,
}

#[derive(Debug, Default)]
struct Known {
    /// How the last chunk of a table went in that was refused at first.
    ways: BTreeMap<RelationName, Way>,
    /// Tables that were loaded through the root of their partitions.
    routed: BTreeSet<RelationName>,
}

#[derive(Debug, Default)]
struct TakenOff {
    tables: BTreeSet<(RelationName, Kind)>,
    constraints: Vec<Relaxed>,
}

/// One way to load a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Way {
    /// Through the root of its partitions.
    pub(super) by_root: bool,
    /// With this search path of [`Obstacles::search_paths`] instead of an empty one.
    pub(super) search_path: Option<usize>,
}

impl Obstacles {
    /// `search_paths` are those that the source knows, as SQL.
    pub fn new(search_paths: Vec<String>) -> Self {
        Self { search_paths, known: Mutex::default(), off: tokio::sync::Mutex::default(), marks: None }
    }

    /// With what earlier attempts have met: the tables that they loaded through a root, and the constraints that they took off.
    pub(super) fn continued(mut self, marks: Arc<DoneMarks>) -> Result<Self> {
        for step in marks.steps().filter(|step| Unit::is_about_rows(step)) {
            for note in marks.notes(step) {
                self.know(read_note(note)?);
            }
        }
        for note in marks.notes(TAKEN_OFF) {
            self.off.get_mut().constraints.extend(read_note::<Vec<Relaxed>>(note)?);
        }
        self.marks = Some(marks);
        Ok(self)
    }

    /// Learns from the note of a chunk or a part.
    pub(super) fn know(&self, loaded: Loaded) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.routed.extend(loaded.routed);
    }

    /// Tables with rows that went through the root of their partitions: only all of its partitions together can be compared.
    pub fn routed(&self) -> BTreeSet<RelationName> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).routed.clone()
    }

    pub(super) fn known_way(&self, table: &RelationName) -> Option<Way> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).ways.get(table).copied()
    }

    pub(super) fn remember(&self, table: &RelationName, way: Way) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.ways.insert(table.clone(), way);
        if way.by_root {
            known.routed.insert(table.clone());
        }
    }

    /// The ways to try, the simplest first.
    pub(super) fn ways(&self, has_root: bool) -> Vec<Way> {
        let paths = || std::iter::once(None).chain((0..self.search_paths.len()).map(Some));
        let roots = if has_root { [false, true].as_slice() } else { [false].as_slice() };
        roots.iter().flat_map(|by_root| paths().map(|search_path| Way { by_root: *by_root, search_path })).collect()
    }

    /// Takes the constraints of a kind off a table, once.
    pub(super) async fn relax(&self, session: &Session, table: &RelationName, kind: Kind) -> Result<()> {
        let mut off = self.off.lock().await;
        if off.tables.insert((table.clone(), kind)) {
            let unit = Unit::named(TAKEN_OFF, &format!("{kind:?} of {}", table.sql()));
            if self.marks.as_ref().is_some_and(|marks| marks.has(&unit)) {
                return Ok(());
            }
            let constraints = relaxed::relax(session, table, kind, self.marks.as_ref().map(|_| &unit)).await?;
            off.constraints.extend(constraints);
        }
        Ok(())
    }

    /// The constraints that were taken off. They are no longer known afterwards.
    pub(super) async fn take_constraints(&self) -> Vec<Relaxed> {
        std::mem::take(&mut self.off.lock().await.constraints)
    }
}
