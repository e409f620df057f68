//! Whether the server has room for the connections of a backup.

use crate::doctor::check::Checked;
use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;

/// The limits that apply to a role, with the number of connections that each counts now. `numbackends` is visible to every role.
const SQL: &str = "
    SELECT pg_catalog.current_setting('max_connections')::int8
             - pg_catalog.current_setting('superuser_reserved_connections')::int8
             - COALESCE(pg_catalog.current_setting('reserved_connections', true)::int8, 0),
           (SELECT COALESCE(pg_catalog.sum(s.numbackends), 0)::int8 FROM pg_catalog.pg_stat_database s),
           d.datconnlimit::int8,
           (SELECT s.numbackends::int8 FROM pg_catalog.pg_stat_database s WHERE s.datid = d.oid),
           r.rolconnlimit::int8,
           (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = r.oid),
           r.rolsuper
    FROM pg_catalog.pg_database d, pg_catalog.pg_roles r
    WHERE d.datname = pg_catalog.current_database() AND r.rolname = CURRENT_USER";

/// One limit on connections, and how many it counts now.
struct Limit {
    of: &'static str,
    most: i64,
    used: i64,
}

/// A limit that is lower than what a backup opens fails. Too few free connections are a warning: other sessions may end before the backup
/// has its turn.
pub(super) async fn check(session: &Session, needed: usize) -> Result<Checked> {
    let row = session.row("counting connections", SQL, &[]).await?;
    let limit = |of, at: usize| Limit { of, most: row.get(at), used: row.get::<_, Option<i64>>(at + 1).unwrap_or(0) };
    let mut limits = vec![limit("the server", 0)];
    // These two do not apply to a superuser, and -1 is no limit.
    if !row.get::<_, bool>(6) {
        limits.extend([limit("the database", 2), limit("the role", 4)].into_iter().filter(|limit| limit.most >= 0));
    }
    let needed = i64::try_from(needed).unwrap_or(i64::MAX);
    if let Some(Limit { of, most, .. }) = limits.iter().find(|limit| limit.most < needed) {
        return Err(PostgresError::TooFewConnections { needed, of, most: *most });
    }
    // This session ends before the backup begins.
    let free = |limit: &Limit| limit.most - limit.used + 1;
    let tightest =
        limits.iter().min_by_key(|limit| free(limit)).map_or((i64::MAX, ""), |limit| (free(limit), limit.of));
    let seen = format!("a backup opens {needed} at a time; {} has {} free", tightest.1, tightest.0.max(0));
    Ok(if tightest.0 < needed {
        let hint = "lower the stack parameter `Sessions`, or raise the limit: otherwise the application may be refused a \
                    connection during a backup";
        Checked::Warn { seen, hint }
    } else {
        Checked::Ok(seen)
    })
}
