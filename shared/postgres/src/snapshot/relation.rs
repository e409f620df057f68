//! A relation as a snapshot sees it, and what a backup does with it.

use lifeboat_model::{CopyFormat, RelationKind, Slice, slices};
use serde::Serialize;

use crate::session::identifier::{RelationName, column_list};

/// What a backup does with a relation. Each relation has exactly one, so none is missing silently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// Its rows are copied.
    Copy,
    /// Its definition is in the schema archive and it has no rows of its own.
    Definition,
    /// Its definition is in the schema archive and a restore computes its contents.
    Rebuilt,
    /// Its state is in the sequence values.
    Carried,
    /// It is unlogged, and the server is a standby: its rows, or its value, are on the primary only. Its definition is in the schema archive.
    OnPrimaryOnly,
    /// Its rows are not copied, because policy says so. Its definition is in the schema archive where it can be read.
    RowsLeftOut {
        /// Why, as policy has it.
        reason: String,
        /// Why this role could not read it either, in words.
        unreadable: Option<String>,
    },
    /// It is not part of the backup, by this rule.
    LeftOut {
        /// The rule, in words.
        rule: String,
    },
    /// This role cannot read it.
    Unreadable {
        /// Why, in words.
        reason: String,
    },
}

/// A relation of the catalog in one snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Relation {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Schema and name.
    pub name: RelationName,
    /// Table, view, sequence, ….
    pub kind: RelationKind,
    /// `pg_class.relfilenode` as the snapshot sees it; 0 for relations without storage.
    pub relfilenode: u32,
    /// Blocks of its main fork when the tables were locked; it may have grown since. 0 unless its rows are copied.
    pub pages: u32,
    /// The columns in the order of the COPY: neither dropped nor generated ones. Empty unless its rows are copied.
    pub columns: Vec<String>,
    /// Names, numbers and types of the columns, hashed: another value means that rows may read differently.
    pub columns_hash: String,
    /// The form of its rows.
    pub format: CopyFormat,
    /// How the backup treats it.
    pub disposition: Disposition,
    /// Whether its rows can be read by block ranges: its storage has blocks, and the server can plan a query on it.
    pub(crate) has_block_ranges: bool,
    /// The condition an extension set for the rows of its configuration table that are the user's, as `WHERE …`.
    pub(crate) extension_filter: Option<String>,
    /// Whether `pg_dump` cannot read its definition either, so that it has to be excluded.
    pub(crate) definition_is_unreadable: bool,
}

impl Relation {
    /// The slices to read it in: fixed block ranges where its storage has blocks, else one slice for everything.
    pub fn slices(&self, slice_blocks: u32) -> impl Iterator<Item = Slice> + use<> {
        slices(if self.has_block_ranges { self.pages } else { 0 }, slice_blocks)
    }

    /// Whether its rows are copied, so that it must stay as it is until they are read.
    pub(crate) fn is_copied(&self) -> bool {
        self.disposition == Disposition::Copy
    }

    /// Whether `pg_dump` locks it although none of its rows are copied.
    pub(crate) fn is_only_described(&self) -> bool {
        matches!(self.kind, RelationKind::Table | RelationKind::PartitionedTable)
            && matches!(
                self.disposition,
                Disposition::Definition | Disposition::OnPrimaryOnly | Disposition::RowsLeftOut { .. }
            )
            && !self.definition_is_unreadable
    }

    /// The query of COPY for one slice. The only slice of a table has no condition.
    pub(crate) fn copy_query(&self, slice: Slice) -> String {
        let condition = match (&self.extension_filter, self.has_block_ranges, slice) {
            (Some(filter), _, _) => filter.clone(),
            (None, true, Slice { first_block, end_block: Some(end_block) }) => {
                format!("WHERE ctid >= '({first_block},0)' AND ctid < '({end_block},0)'")
            }
            (None, true, Slice { first_block, end_block: None }) if first_block > 0 => {
                format!("WHERE ctid >= '({first_block},0)'")
            }
            _ => String::new(),
        };
        copy_to_stdout(&self.name, &self.columns, &condition, self.format)
    }
}

/// `COPY relation (columns) TO STDOUT`, or with a condition `COPY (SELECT columns FROM ONLY relation condition) TO STDOUT`.
///
/// Both give a relation's own rows, in one form. Only the second one is planned, and planning can fail: see `block_ranges`.
pub(crate) fn copy_to_stdout(name: &RelationName, columns: &[String], condition: &str, format: CopyFormat) -> String {
    let (name, list, format) = (name.sql(), column_list(columns), copy_options(format));
    if !condition.is_empty() {
        return format!("COPY (SELECT {list} FROM ONLY {name} {condition}) TO STDOUT {format}");
    }
    // A table without columns of its own takes no column list.
    let list = if columns.is_empty() { list } else { format!("({list})") };
    format!("COPY {name} {list} TO STDOUT {format}")
}

/// The options that name the form, the same for both directions.
pub(crate) fn copy_options(format: CopyFormat) -> &'static str {
    match format {
        CopyFormat::Binary => "(FORMAT binary)",
        CopyFormat::Text => "(FORMAT text)",
    }
}
