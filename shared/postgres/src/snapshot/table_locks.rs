//! The locks that keep tables from being truncated, rewritten, altered or dropped.

use std::time::Duration;

use lifeboat_model::Backoff;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::identifier::RelationName;
use crate::snapshot::relation::Relation;

/// Tables named in one LOCK: a statement of some kilobytes, and one that can be taken apart to name the table that is held.
const LOCK_BATCH: usize = 100;

/// How often one table's lock is waited for. With the session's lock timeout of 5 s: half a minute, enough for a migration's
/// statement, short enough that nobody queues behind us for long.
pub(super) const LOCK_ATTEMPTS: u32 = 6;

/// The pause between two attempts, in which others in the queue get the lock.
pub(super) const LOCK_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(500), longest: Duration::from_millis(500) };

/// Locks these tables until the transaction or its savepoint ends; gives the name of one that is gone. Tables that the session already
/// holds cost one statement a batch and no wait.
pub(super) async fn hold(leader: &Session, tables: &[&Relation], lock_attempts: u32) -> Result<Option<RelationName>> {
    let mut gone = None;
    for batch in tables.chunks(LOCK_BATCH) {
        if try_lock(leader, batch).await?.is_held() {
            continue;
        }
        for table in batch {
            match lock_one(leader, table, lock_attempts).await? {
                Lock::Held => {}
                Lock::Gone => gone = Some(table.name.clone()),
                Lock::Busy => return Err(PostgresError::LockTimeout { relation: table.name.to_string() }),
            }
        }
    }
    Ok(gone)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    Held,
    Busy,
    Gone,
}

impl Lock {
    fn is_held(self) -> bool {
        self == Self::Held
    }
}

async fn lock_one(leader: &Session, table: &Relation, lock_attempts: u32) -> Result<Lock> {
    for attempt in 0..lock_attempts.max(1) {
        if attempt > 0 {
            tokio::time::sleep(LOCK_BACKOFF.pause(attempt)).await;
        }
        match try_lock(leader, std::slice::from_ref(&table)).await? {
            Lock::Busy => {}
            done => return Ok(done),
        }
    }
    Ok(Lock::Busy)
}

/// A failed statement would end the transaction and with it the snapshot: a savepoint contains it.
async fn try_lock(leader: &Session, tables: &[&Relation]) -> Result<Lock> {
    const STEP: &str = "locking the tables";
    let names: Vec<String> = tables.iter().map(|table| format!("ONLY {}", table.name.sql())).collect();
    let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
    leader.run(STEP, "SAVEPOINT lifeboat_lock").await?;
    let outcome = match leader.run(STEP, &lock).await {
        Ok(()) => Lock::Held,
        Err(error) => match error.sqlstate() {
            // Also when the other session waits for a table of ours: the watcher then ends the snapshot.
            Some("55P03" | "40P01") => Lock::Busy,
            // Undefined table or schema, or no longer a table: it was there in the snapshot.
            Some("42P01" | "3F000" | "42809") => Lock::Gone,
            _ => return Err(error),
        },
    };
    let end = if outcome.is_held() { "" } else { "ROLLBACK TO SAVEPOINT lifeboat_lock;" };
    leader.run(STEP, &format!("{end} RELEASE SAVEPOINT lifeboat_lock")).await?;
    Ok(outcome)
}
