//! Where sequences stand, as `setval` calls.

use std::collections::HashMap;
use std::time::Duration;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::identifier::{RelationName, quote_literal};
use crate::session::{LOCK_TIMEOUT, Session};
use crate::snapshot::table_locks::LOCK_BACKOFF;

/// Sequences read in one statement: a statement of some kilobytes.
const BATCH: usize = 100;

/// How long a sequence is waited for that has an earlier value. Many may be held, and each is waited for.
const SHORT_WAIT: Duration = Duration::from_millis(500);

const STEP: &str = "reading sequences";

/// The state of all sequences of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SequenceValues {
    /// One `SELECT pg_catalog.setval('schema.name', value, is_called);` a line, as `pg_dump` writes them, by schema and name.
    pub sql: String,
    /// Lines.
    pub count: u64,
}

/// Reads these sequences, which are sorted, in a transaction. One that is gone, that others hold or that may not be read any longer has its
/// line of `earlier`. Without `earlier`, one that others hold is waited for so many times.
pub(crate) async fn read_or_recall(
    session: &Session,
    sequences: &[RelationName],
    earlier: Option<&SequenceValues>,
    attempts: u32,
) -> Result<SequenceValues> {
    let mut values = SequenceValues::default();
    for batch in sequences.chunks(BATCH) {
        let wait = if earlier.is_some() { SHORT_WAIT } else { LOCK_TIMEOUT };
        match try_read(session, batch, wait).await? {
            Reading::Done(read) => values.append(&read),
            // One by one, the statement that fails says which it is.
            _ => {
                for name in batch {
                    values.append(&read_or_recall_one(session, name, earlier, attempts, wait).await?);
                }
            }
        }
    }
    Ok(values)
}

async fn read_or_recall_one(
    session: &Session,
    name: &RelationName,
    earlier: Option<&SequenceValues>,
    attempts: u32,
    wait: Duration,
) -> Result<SequenceValues> {
    for attempt in 0..attempts.max(1) {
        if attempt > 0 {
            tokio::time::sleep(LOCK_BACKOFF.pause(attempt)).await;
        }
        let reading = try_read(session, std::slice::from_ref(name), wait).await?;
        let recalled = earlier.and_then(|earlier| earlier.of(name));
        match (reading, recalled) {
            (Reading::Done(values), _) | (_, Some(values)) => return Ok(values),
            (Reading::Busy, None) => {}
            (Reading::Refused(error), None) => return Err(error),
            (Reading::Gone, None) => {
                return Err(PostgresError::RewrittenDuringSnapshot { relation: name.to_string() });
            }
        }
    }
    Err(PostgresError::LockTimeout { relation: name.to_string() })
}

enum Reading {
    Done(SequenceValues),
    Busy,
    Gone,
    Refused(PostgresError),
}

/// A failed statement would end the transaction and with it the snapshot: a savepoint contains it.
async fn try_read(session: &Session, sequences: &[RelationName], wait: Duration) -> Result<Reading> {
    let begin = format!("SAVEPOINT lifeboat_sequences; SET LOCAL lock_timeout = {}", wait.as_millis());
    session.run(STEP, &begin).await?;
    let reading = match read(session, sequences).await {
        Ok(values) => Reading::Done(values),
        Err(error) => match error.sqlstate() {
            Some("55P03" | "40P01") => Reading::Busy,
            // Undefined table or schema, or no longer a sequence: it was there in the snapshot.
            Some("42P01" | "3F000" | "42703" | "42809") => Reading::Gone,
            Some("42501") => Reading::Refused(error),
            _ => return Err(error),
        },
    };
    let end = "ROLLBACK TO SAVEPOINT lifeboat_sequences; RELEASE SAVEPOINT lifeboat_sequences";
    session.run(STEP, end).await?;
    Ok(reading)
}

impl SequenceValues {
    fn append(&mut self, more: &Self) {
        self.sql.push_str(&more.sql);
        self.count += more.count;
    }

    /// These and others in one list, in the order of `names`.
    pub(crate) fn merged(&self, others: &Self, names: &[&RelationName]) -> Self {
        let lines: HashMap<&str, &str> = self.sql.lines().chain(others.sql.lines()).filter_map(of_sequence).collect();
        let mut merged = Self::default();
        for line in names.iter().filter_map(|name| lines.get(line_start(name).as_str())) {
            merged.append(&Self { sql: format!("{line}\n"), count: 1 });
        }
        merged
    }

    /// The value of one of them.
    fn of(&self, name: &RelationName) -> Option<Self> {
        let start = line_start(name);
        let line = self.sql.lines().find(|line| line.starts_with(&start))?;
        Some(Self { sql: format!("{line}\n"), count: 1 })
    }
}

fn line_start(name: &RelationName) -> String {
    format!("SELECT pg_catalog.setval({}, ", quote_literal(&name.to_string()))
}

/// The start of a line, and the line. Two numbers and no text come after the name.
fn of_sequence(line: &str) -> Option<(&str, &str)> {
    let (before, _) = line.rsplit_once(", ")?;
    let (name, _) = before.rsplit_once(", ")?;
    Some((line.get(..name.len() + ", ".len())?, line))
}

/// Where these sequences begin, which nobody has called yet.
pub(crate) async fn starts(session: &Session, sequences: &[u32]) -> Result<SequenceValues> {
    const SQL: &str = "
        SELECT n.nspname::text, c.relname::text, s.seqstart FROM pg_catalog.pg_sequence s
        JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE s.seqrelid = ANY ($1)";
    let mut values = SequenceValues::default();
    for row in session.rows(STEP, SQL, &[&sequences]).await? {
        let name = RelationName::new(row.get::<_, String>(0), row.get::<_, String>(1));
        let start: i64 = row.get(2);
        values.append(&SequenceValues { sql: format!("{}{start}, false);\n", line_start(&name)), count: 1 });
    }
    Ok(values)
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
        let mut rows = session.rows(STEP, &selects.join(" UNION ALL "), &[]).await?;
        rows.sort_by_key(|row| row.get::<_, i32>(0));
        if rows.len() != batch.len() {
            return Err(PostgresError::UnexpectedAnswer {
                step: STEP.to_owned(),
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
