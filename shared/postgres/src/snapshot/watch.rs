//! The guard of a snapshot. It checks on a separate connection whether other sessions have to wait for the snapshot.
//!
//! A snapshot holds every table that is copied in ACCESS SHARE mode, which only ACCESS EXCLUSIVE conflicts with: a migration's ALTER
//! TABLE, DROP or TRUNCATE. It would wait until the last row is read, and every query on its table would queue behind it. `pg_dump` holds the
//! other tables in the same way until it ends.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::identifier::RelationName;
use crate::session::settings::ConnectionSettings;

const APPLICATION: &str = "lifeboat watcher";

/// The interval between two checks. Each reads the server's lock table.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// How long another session may wait for the snapshot. With the interval, a migration waits for about seven seconds.
pub(crate) const LOCK_WAIT_LIMIT: Duration = Duration::from_secs(5);

/// How long a snapshot may hold back the server's cleanup: dead rows pile up until it ends.
pub(crate) const SNAPSHOT_AGE_LIMIT: Duration = Duration::from_secs(6 * 60 * 60);

/// Failed checks in a row before the snapshot ends. A backup must not continue unwatched.
const MOST_FAILURES: u32 = 3;

/// The server processes that act for one snapshot: its leader and the readers that live.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backends(Arc<Mutex<BTreeSet<i32>>>);

/// A process among the [`Backends`] for as long as this lives: the number may be another session's afterwards.
#[derive(Debug)]
pub(crate) struct Backend {
    pid: i32,
    backends: Backends,
}

impl Backends {
    /// Counts the session's process among them.
    pub(crate) async fn enrol(&self, session: &Session) -> Result<Backend> {
        let row = session.row("asking for the process", "SELECT pg_catalog.pg_backend_pid()", &[]).await?;
        let pid = row.get(0);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
        Ok(Backend { pid, backends: self.clone() })
    }

    /// The name under which the server shows the `pg_dump` of this leader, whose process it has: no other snapshot's has it.
    pub(crate) fn name_of_dump(leader: &Backend) -> String {
        format!("lifeboat dump {}", leader.pid)
    }

    fn pids(&self) -> Vec<i32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.backends.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.pid);
    }
}

/// The watched snapshot and its limits.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) settings: ConnectionSettings,
    pub(crate) backends: Backends,
    /// The name under which the server shows `pg_dump`, whose processes belong to the snapshot too.
    pub(crate) dump: String,
    pub(crate) began: Instant,
    pub(crate) lock_wait_limit: Duration,
    pub(crate) age_limit: Duration,
}

impl Watch {
    /// Resolves when the snapshot has to end: another session waits too long, it is too old, or the checks fail.
    pub(crate) async fn until_it_must_end(self) -> PostgresError {
        let mut session = None;
        let mut failures = 0;
        loop {
            let left = self.age_limit.saturating_sub(self.began.elapsed());
            if left.is_zero() {
                return PostgresError::SnapshotTooOld { minutes: self.age_limit.as_secs() / 60 };
            }
            tokio::time::sleep(left.min(WATCH_INTERVAL)).await;
            match self.ask(&mut session).await {
                Ok(None) => failures = 0,
                Ok(Some(relation)) => return PostgresError::GaveWay { relation: relation.to_string() },
                Err(error) => {
                    tracing::warn!(%error, "could not check whether other sessions wait for the snapshot");
                    session = None;
                    failures += 1;
                    if failures >= MOST_FAILURES {
                        return error;
                    }
                }
            }
        }
    }

    /// A table of the snapshot for which another session waits at this moment.
    pub(crate) async fn waiting_now(&self) -> Result<Option<RelationName>> {
        let session = Session::connect(&self.settings, APPLICATION).await?;
        let waiting = self.waited_for(&session, Duration::ZERO).await;
        session.close().await;
        waiting
    }

    async fn ask(&self, session: &mut Option<Session>) -> Result<Option<RelationName>> {
        let session = match session {
            Some(session) => session,
            None => session.insert(Session::connect(&self.settings, APPLICATION).await?),
        };
        self.waited_for(session, self.lock_wait_limit).await
    }

    /// A relation on which another session has waited for a lock longer than `limit` because of one of the snapshot's processes.
    ///
    /// Any role may run this query: it sees the names of its own sessions, and `pg_dump` connects as the same role. CREATE INDEX
    /// CONCURRENTLY also waits for the snapshot to end. It is not counted, because it blocks no other session.
    async fn waited_for(&self, session: &Session, limit: Duration) -> Result<Option<RelationName>> {
        // The few that wait are found first: `pg_blocking_pids` stops the lock table for a moment.
        const SQL: &str = "
            WITH ours AS MATERIALIZED (
                SELECT $1 || COALESCE(pg_catalog.array_agg(a.pid), '{}') AS pids
                FROM pg_catalog.pg_stat_activity a WHERE a.application_name = $3
            ), waiting AS MATERIALIZED (
                SELECT l.pid, l.relation FROM pg_catalog.pg_locks l, ours
                WHERE NOT l.granted AND l.locktype = 'relation' AND l.pid <> ALL (ours.pids)
                  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
                  AND l.waitstart < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $2)
            )
            SELECT n.nspname::text, c.relname::text FROM waiting w CROSS JOIN ours
            JOIN pg_catalog.pg_class c ON c.oid = w.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE pg_catalog.pg_blocking_pids(w.pid) && ours.pids
            LIMIT 1";
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.backends.pids(), &limit.as_secs_f64(), &self.dump];
        let rows = session.rows("asking who waits", SQL, &parameters).await?;
        Ok(rows.first().map(|row| RelationName::new(row.get::<_, String>(0), row.get::<_, String>(1))))
    }
}
