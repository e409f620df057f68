//! Whether the server has room for the connections of a backup.

use crate::doctor::check::Checked;
use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::system::{BESIDE_READERS, BackupLoad, FEWEST_CONNECTIONS, Readers, backup_connections};

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
    WHERE d.datname = pg_catalog.current_database() AND r.rolname = SESSION_USER";

/// One limit on connections, how many it counts now, and how many backups it has to do for at a time.
struct Limit {
    of: &'static str,
    most: i64,
    used: i64,
    backups: i64,
}

impl Limit {
    /// The connections of each backup.
    fn each(&self) -> i64 {
        self.most / self.backups
    }

    /// The reading sessions for which each backup has connections beside its other ones, also none or less.
    fn sessions(&self) -> i64 {
        self.each() - count(BESIDE_READERS)
    }

    /// The session that asks ends before the backup begins.
    fn free(&self) -> i64 {
        self.most - self.used + 1
    }
}

/// The room that a server has for a backup.
pub(super) struct Room {
    /// The reading sessions that have room.
    pub(super) readers: Readers,
    pub(super) checked: Checked,
}

/// The sessions of a load that no limit lowers.
pub(super) fn unlimited(load: BackupLoad) -> Readers {
    Readers { sessions: load.sessions, take_turns: false }
}

/// Finds how many of the load's sessions the limits allow. Fewer are a warning, and so is one that takes turns
/// with the client programs. Too few for that are an error. Too few free connections are a warning:
/// other sessions may end before the backup begins.
pub(super) async fn find_room(session: &Session, load: BackupLoad) -> Result<Room> {
    let row = session.row("counting connections", SQL, &[]).await?;
    let limit = |of, at: usize, backups| Limit {
        of,
        most: row.get(at),
        used: row.get::<_, Option<i64>>(at + 1).unwrap_or(0),
        backups,
    };
    let per_server = i64::from(load.per_server.max(1));
    let mut limits = vec![limit("the server", 0, per_server)];
    // These two do not apply to a superuser, and -1 is no limit. A database has one backup at a time. A role belongs to the server, and the
    // backups of several databases may connect as the same one.
    if !row.get::<_, bool>(6) {
        let others = [limit("the database", 2, 1), limit("the role", 4, per_server)];
        limits.extend(others.into_iter().filter(|limit| limit.most >= 0));
    }
    if let Some(Limit { of, most, backups, .. }) = limits.iter().find(|limit| limit.each() < count(FEWEST_CONNECTIONS))
    {
        let needed = backups * count(FEWEST_CONNECTIONS);
        return Err(PostgresError::TooFewConnections { needed, of, most: *most });
    }
    let narrowest = limits.iter().min_by_key(|limit| limit.sessions());
    let allowed = narrowest.map_or(i64::MAX, Limit::sessions);
    let take_turns = allowed < 1;
    let sessions = load.sessions.min(usize::try_from(allowed.max(1)).unwrap_or(usize::MAX));
    let needed = count(if take_turns { FEWEST_CONNECTIONS } else { backup_connections(sessions) });
    let tightest = limits.iter().min_by_key(|limit| limit.free());
    let (free, of) = tightest.map_or((i64::MAX, ""), |limit| (limit.free(), limit.of));
    let seen = format!("a backup opens {needed} at a time; {of} has {} free", free.max(0));
    let checked = match narrowest {
        Some(limit) if take_turns || sessions < load.sessions => Checked::Warn {
            seen: format!(
                "a backup reads with {sessions} session(s) instead of {}{}, because {} allows {} connections",
                load.sessions,
                if take_turns { ", and only while no client program runs" } else { "" },
                limit.of,
                limit.most
            ),
            hint: "lower the stack parameter `Sessions`, or raise the limit (`max_connections`, `ALTER ROLE` or `ALTER DATABASE … CONNECTION LIMIT`)",
        },
        _ if free < needed => Checked::Warn {
            seen,
            hint: "lower the stack parameter `Sessions`, or raise the limit: otherwise the application may be refused a \
                   connection during a backup",
        },
        _ => Checked::Ok(seen),
    };
    Ok(Room { readers: Readers { sessions, take_turns }, checked })
}

fn count(connections: usize) -> i64 {
    i64::try_from(connections).unwrap_or(i64::MAX)
}
