//! What a backup does with each relation. No relation is left out silently.

use lifeboat_model::{Act, Plan, RelationEntry, RelationStatus, RowDigest, SLICE_BLOCKS, Slice, TableData};
use lifeboat_postgres::{Disposition, LargeObjectCount, Relation, RelationName};
use serde::Serialize;

use crate::error::EngineError;

/// Why a backup of a standby has only the definition of what is unlogged.
const ON_PRIMARY_ONLY: &str = "unlogged, and the server is a standby, which has only its definition";

/// A piece of work of one session. Pieces are independent: any session may take any.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece {
    /// A slice of the relation at this place of the plan.
    Slice(usize, Slice),
    /// All large objects.
    LargeObjects,
    /// Their owners, grants and comments.
    LargeObjectProperties,
}

/// Every relation of the catalog, and what the backup does with it.
#[derive(Debug, Clone, Serialize)]
pub struct BackupPlan {
    /// All relations, in the catalog's order.
    pub relations: Vec<Relation>,
    /// How many large objects are copied.
    pub large_objects: u64,
}

impl Plan for BackupPlan {
    const ACT: Act = Act::Backup;
}

impl BackupPlan {
    /// The relations whose rows are copied, with their index in `relations`.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (usize, &Relation)> {
        self.relations.iter().enumerate().filter(|(_, relation)| relation.disposition == Disposition::Copy)
    }

    /// The number of pieces of work.
    pub(crate) fn piece_count(&self) -> u64 {
        let slices: u64 = self.tables().map(|(_, table)| table.slices(SLICE_BLOCKS).count() as u64).sum();
        slices + self.large_object_pieces().len() as u64
    }

    /// The pieces of work: large objects, which cannot be divided, then every slice of every table. They are made one by one, because
    /// their number grows with the database and memory must not.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece> + Send + use<> {
        let large_objects = self.large_object_pieces();
        let tables: Vec<_> = self.tables().map(|(place, table)| (place, table.slices(SLICE_BLOCKS))).collect();
        let slices = tables.into_iter().flat_map(|(place, slices)| slices.map(move |slice| Piece::Slice(place, slice)));
        large_objects.iter().copied().chain(slices)
    }

    fn large_object_pieces(&self) -> &'static [Piece] {
        if self.large_objects > 0 { &[Piece::LargeObjects, Piece::LargeObjectProperties] } else { &[] }
    }

    /// The manifest's entry for a relation of which `data` was stored.
    pub(crate) fn entry(relation: Relation, data: Option<TableData>) -> RelationEntry {
        let all_reused = data.as_ref().is_some_and(|data| data.chunks > 0 && data.reused_chunks == data.chunks);
        let status = match relation.disposition {
            Disposition::Copy if all_reused => RelationStatus::Reused,
            Disposition::Copy => RelationStatus::Copied,
            Disposition::Definition => RelationStatus::Definition,
            Disposition::Rebuilt => RelationStatus::Rebuilt,
            Disposition::Carried => RelationStatus::Carried,
            Disposition::OnPrimaryOnly => RelationStatus::LeftOut { rule: ON_PRIMARY_ONLY.to_owned() },
            Disposition::RowsLeftOut { reason, unreadable: None } => RelationStatus::left_out_by_policy(&reason),
            Disposition::RowsLeftOut { reason, unreadable: Some(why) } => {
                RelationStatus::Unreadable { reason: format!("{why}; policy: {reason}") }
            }
            Disposition::LeftOut { rule } => RelationStatus::LeftOut { rule },
            Disposition::Unreadable { reason } => RelationStatus::Unreadable { reason },
        };
        let RelationName { schema, name } = relation.name;
        RelationEntry { schema, name, kind: relation.kind, status, data }
    }

    /// A table before any of its rows is stored.
    pub(crate) fn empty(relation: &Relation) -> TableData {
        TableData {
            oid: relation.oid,
            relfilenode: relation.relfilenode,
            columns: relation.columns.clone(),
            columns_hash: relation.columns_hash.clone(),
            format: relation.format,
            rows: 0,
            row_digest: RowDigest::default(),
            raw_bytes: 0,
            stored_bytes: 0,
            chunks: 0,
            reused_chunks: 0,
        }
    }
}

/// Decides what the backup does with each relation.
///
/// # Errors
/// [`EngineError::Unreadable`] when a relation cannot be read. A backup without it would be incomplete but reported as complete.
pub fn plan_backup(relations: &[Relation], large_objects: LargeObjectCount) -> Result<BackupPlan, EngineError> {
    if large_objects.unreadable > 0 {
        return Err(EngineError::Unreadable {
            count: usize::try_from(large_objects.unreadable).unwrap_or(usize::MAX),
            first: "large objects".to_owned(),
            reason: "they belong to other roles, which have not granted SELECT on them".to_owned(),
        });
    }
    let unreadable: Vec<(&Relation, &String)> = relations
        .iter()
        .filter_map(|relation| match &relation.disposition {
            Disposition::Unreadable { reason } => Some((relation, reason)),
            _ => None,
        })
        .collect();
    match unreadable.first() {
        None => Ok(BackupPlan { relations: relations.to_vec(), large_objects: large_objects.readable }),
        Some((first, reason)) => Err(EngineError::Unreadable {
            count: unreadable.len(),
            first: first.name.to_string(),
            reason: (*reason).clone(),
        }),
    }
}
