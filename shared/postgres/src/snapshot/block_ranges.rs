//! Whether a table can be read by ranges of blocks.
//!
//! A range needs a query, and a query needs a plan. The planner opens the table's indexes and evaluates their expressions, their conditions and
//! those of extended statistics. It fails where such a function leans on a search path, where this role may not run it, where an index is
//! damaged, or where it is being rebuilt. `COPY table` plans nothing, so `pg_dump` meets none of this.

use std::collections::HashSet;
use std::time::Duration;

use lifeboat_model::SLICE_BLOCKS;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::snapshot::relation::Relation;

/// Tables planned in one round trip: a statement of some kilobytes.
const BATCH: usize = 100;

/// How long an index is waited for. One that is being rebuilt is held for long.
const LOCK_WAIT: Duration = Duration::from_millis(500);

const STEP: &str = "planning how to read the tables";

/// Finds the tables of several slices for which the server can plan no query: they are read as a whole. The tables must be locked and measured.
pub(super) async fn try_out(leader: &Session, relations: &mut [Relation]) -> Result<()> {
    let sliced: Vec<&Relation> =
        relations.iter().filter(|one| one.is_copied() && one.slices(SLICE_BLOCKS).nth(1).is_some()).collect();
    let mut whole = HashSet::new();
    for batch in sliced.chunks(BATCH) {
        if can_plan(leader, batch).await? {
            continue;
        }
        for table in batch {
            if !can_plan(leader, std::slice::from_ref(table)).await? {
                tracing::info!(table = %table.name, "the server can plan no query on this table, so one session reads all of it");
                whole.insert(table.oid);
            }
        }
    }
    for table in relations.iter_mut().filter(|one| whole.contains(&one.oid)) {
        table.has_block_ranges = false;
    }
    Ok(())
}

/// The savepoint contains a failed statement, and its end releases the locks on the indexes: somebody may want to rebuild one.
async fn can_plan(leader: &Session, tables: &[&Relation]) -> Result<bool> {
    let explain: String = tables
        .iter()
        .map(|table| format!("EXPLAIN SELECT FROM ONLY {} WHERE ctid >= '(0,0)';", table.name.sql()))
        .collect();
    let begin = format!("SAVEPOINT lifeboat_plan; SET LOCAL lock_timeout = {}", LOCK_WAIT.as_millis());
    leader.run(STEP, &begin).await?;
    let planned = match leader.run(STEP, &explain).await {
        Ok(()) => true,
        Err(PostgresError::Query { .. }) => false,
        Err(error) => return Err(error),
    };
    leader.run(STEP, "ROLLBACK TO SAVEPOINT lifeboat_plan; RELEASE SAVEPOINT lifeboat_plan").await?;
    Ok(planned)
}
