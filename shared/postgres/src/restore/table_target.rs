//! A table to load rows into.

use lifeboat_model::{CopyFormat, RelationEntry, TableData};

use crate::session::identifier::RelationName;
use crate::snapshot::relation::Relation;

/// A table of a restored database, and the form in which its rows are written and read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableTarget {
    /// The table.
    pub name: RelationName,
    /// Its columns in the order of the COPY.
    pub columns: Vec<String>,
    /// The form of the rows.
    pub format: CopyFormat,
}

impl TableTarget {
    /// The table that a manifest describes.
    pub fn new(relation: &RelationEntry, data: &TableData) -> Self {
        Self {
            name: RelationName::new(&relation.schema, &relation.name),
            columns: data.columns.clone(),
            format: data.format,
        }
    }
}

impl From<&Relation> for TableTarget {
    fn from(relation: &Relation) -> Self {
        Self { name: relation.name.clone(), columns: relation.columns.clone(), format: relation.format }
    }
}
