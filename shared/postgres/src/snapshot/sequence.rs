//! Where sequences stand, as `setval` calls.

use std::collections::HashSet;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::identifier::{RelationName, quote_literal};

/// Sequences read in one statement: a statement of some kilobytes.
const BATCH: usize = 100;

/// The state of all sequences of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SequenceValues {
    /// One `SELECT pg_catalog.setval('schema.name', value, is_called);` a line, as `pg_dump` writes them, by schema and name.
    pub sql: String,
    /// Lines.
    pub count: u64,
}

/// Reads these sequences. One that is gone has its line of `earlier`.
pub(crate) async fn read_remaining(
    session: &Session,
    sequences: &[RelationName],
    earlier: Option<&SequenceValues>,
) -> Result<SequenceValues> {
    // This function reads the current catalog, not the snapshot.
    const GONE: &str =
        "SELECT name FROM pg_catalog.unnest($1::text[]) AS one (name) WHERE pg_catalog.to_regclass(name) IS NULL";
    let names: Vec<String> = sequences.iter().map(RelationName::sql).collect();
    let rows = session.rows("looking for sequences", GONE, &[&names]).await?;
    let gone: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let (gone, remaining): (Vec<RelationName>, Vec<RelationName>) =
        sequences.iter().cloned().partition(|name| gone.contains(&name.sql()));
    let mut values = read(session, &remaining).await?;
    for name in gone {
        let start = line_start(&name);
        let line = earlier.and_then(|earlier| earlier.sql.lines().find(|line| line.starts_with(&start)));
        let Some(line) = line else {
            return Err(PostgresError::RewrittenDuringSnapshot { relation: name.to_string() });
        };
        values.sql.push_str(line);
        values.sql.push('\n');
        values.count += 1;
    }
    Ok(values)
}

fn line_start(name: &RelationName) -> String {
    format!("SELECT pg_catalog.setval({}, ", quote_literal(&name.to_string()))
}

/// Reads the sequences, which are sorted.
pub(crate) async fn read(session: &Session, sequences: &[RelationName]) -> Result<SequenceValues> {
    let mut values = SequenceValues::default();
    for batch in sequences.chunks(BATCH) {
        let selects: Vec<String> = batch
            .iter()
            .enumerate()
            .map(|(i, name)| format!("SELECT {i}, last_value, is_called FROM {}", name.sql()))
            .collect();
        let mut rows = session.rows("reading sequences", &selects.join(" UNION ALL "), &[]).await?;
        rows.sort_by_key(|row| row.get::<_, i32>(0));
        if rows.len() != batch.len() {
            return Err(PostgresError::UnexpectedAnswer {
                step: "reading sequences".to_owned(),
                fact: format!("{} rows for {} sequences", rows.len(), batch.len()),
            });
        }
        for (name, row) in batch.iter().zip(&rows) {
            let (last_value, is_called): (i64, bool) = (row.get(1), row.get(2));
            values.sql.push_str(&format!("{}{last_value}, {is_called});\n", line_start(name)));
            values.count += 1;
        }
    }
    Ok(values)
}

/// All sequences of a database that are not an extension's, for a restored one.
pub(crate) async fn list(session: &Session) -> Result<Vec<RelationName>> {
    const SQL: &str = "
        SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'S' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast_)?temp_'
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
                          WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                            AND d.deptype = 'e' AND c.oid <> ALL (COALESCE(e.extconfig, '{}')))
        ORDER BY n.nspname, c.relname";
    let rows = session.rows("listing sequences", SQL, &[]).await?;
    Ok(rows.iter().map(|row| RelationName::new(row.get::<_, String>(0), row.get::<_, String>(1))).collect())
}
