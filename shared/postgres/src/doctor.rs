//! The doctor: each condition that a backup needs, checked on its own.

pub(crate) mod check;
mod connections;
mod provider;

use std::time::{SystemTime, UNIX_EPOCH};

use lifeboat_model::LeftOut;

use self::check::{Check, Checked};
use self::provider::provider;
use crate::error::{PostgresError, PostgresResult as Result};
use crate::schema::tools::ClientTools;
use crate::session::Session;
use crate::session::settings::ConnectionSettings;
use crate::session::system::{BackupLoad, Readers};
use crate::snapshot::catalog;
use crate::snapshot::large_object;
use crate::snapshot::relation::Disposition;

/// Major versions that the tests cover.
const SUPPORTED: std::ops::RangeInclusive<u32> = 14..=18;

/// Unreadable relations named in the message; a missing grant often hides hundreds.
const MAX_NAMED: usize = 5;

/// What the doctor found.
#[derive(Debug)]
pub struct Examined {
    /// Its checks, in order.
    pub checks: Vec<Check>,
    /// The sessions that a backup may read rows with: those of its load, or as many as the limits on connections allow.
    pub readers: Readers,
}

/// Checks everything that a backup of this database needs, where backups are such a `load`; rows of `left_out` need not be readable.
///
/// Without a connection, only the failed connection and the provider are reported.
pub async fn doctor(
    settings: &ConnectionSettings,
    tools: &ClientTools,
    left_out: &[LeftOut],
    load: BackupLoad,
) -> Examined {
    let session = match Session::connect(settings, "lifeboat doctor").await {
        Ok(session) => session,
        Err(error) => {
            let unreachable = Check::new("reachable", Err(error));
            // The provider may explain the failure: some addresses need another port or IPv6.
            let checks = vec![unreachable, Check::of("provider", Ok(provider(settings)))];
            return Examined { checks, readers: connections::unlimited(load) };
        }
    };
    let room = connections::find_room(&session, load).await;
    let readers = room.as_ref().map_or(connections::unlimited(load), |room| room.readers);
    let checks = vec![
        Check::new("reachable", Ok(settings.endpoint())),
        Check::of("provider", Ok(provider(settings))),
        Check::of("TLS", check_tls(&session, settings).await),
        Check::new("session mode", check_session_mode(&session, settings).await),
        Check::of("connections", room.map(|room| room.checked)),
        Check::new("server version", check_version(&session, tools).await),
        Check::new("privileges", check_privileges(&session, settings, left_out).await),
        Check::new("large objects", check_large_objects(&session).await),
        Check::of("role of the server", check_recovery(&session).await),
        Check::of("clock", check_clock(&session).await),
    ];
    session.close().await;
    Examined { checks, readers }
}

/// A transaction pooler gives each transaction any free server connection. A setting made in one session is then visible in
/// another, or missing from its own session while the other one is busy.
async fn check_session_mode(session: &Session, settings: &ConnectionSettings) -> Result<String> {
    const STEP: &str = "looking for a pooler";
    const SET: &str = "SELECT pg_catalog.set_config('lifeboat.probe', $1, false)";
    const GET: &str = "SELECT pg_catalog.current_setting('lifeboat.probe', true), pg_catalog.pg_backend_pid()";
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_nanos()).unwrap_or_default();
    let token = format!("probe-{nanos}");
    let other = Session::connect(settings, "lifeboat doctor").await?;
    let set = session.row(STEP, SET, &[&token]).await;
    // The open transaction pins the other session to its server connection.
    other.run(STEP, "BEGIN").await?;
    let theirs = other.row(STEP, GET, &[]).await;
    let ours = session.row(STEP, GET, &[]).await;
    other.close().await;
    let pooled = || PostgresError::PoolerInTransactionMode { endpoint: settings.endpoint() };
    let refused = |error: PostgresError| match error.sqlstate() {
        // A statement was prepared on one server connection and executed on another.
        Some("26000" | "42P05" | "08P01") => pooled(),
        _ => error,
    };
    let (_, theirs, ours) = (set.map_err(refused)?, theirs.map_err(refused)?, ours.map_err(refused)?);
    let seen = |row: &tokio_postgres::Row| (row.get::<_, Option<String>>(0), row.get::<_, i32>(1));
    let ((their_token, their_pid), (our_token, our_pid)) = (seen(&theirs), seen(&ours));
    if our_token.as_ref() != Some(&token) || their_token.as_ref() == Some(&token) || their_pid == our_pid {
        return Err(pooled());
    }
    Ok("each session keeps its own server connection".to_owned())
}

async fn check_version(session: &Session, tools: &ClientTools) -> Result<String> {
    const SQL: &str = "SELECT pg_catalog.current_setting('server_version_num')::int4 / 10000";
    let server: i32 = session.row("reading the version", SQL, &[]).await?.get(0);
    let server = server.unsigned_abs();
    if !SUPPORTED.contains(&server) {
        return Err(PostgresError::UnsupportedVersion { major: server });
    }
    if tools.major() < server {
        return Err(PostgresError::ToolsTooOld { tools: tools.major(), server });
    }
    Ok(format!("PostgreSQL {server}, {}", tools.version()))
}

async fn check_privileges(session: &Session, settings: &ConnectionSettings, left_out: &[LeftOut]) -> Result<String> {
    let relations = catalog::list_relations(session, settings.user(), left_out).await?;
    let unreadable: Vec<(String, String)> = relations
        .iter()
        .filter_map(|relation| match &relation.disposition {
            Disposition::Unreadable { reason } => Some((relation.name.to_string(), reason.clone())),
            _ => None,
        })
        .collect();
    let Some((_, reason)) = unreadable.first() else {
        return Ok(format!("{} relations, all readable", relations.len()));
    };
    let named: Vec<&str> = unreadable.iter().take(MAX_NAMED).map(|(name, _)| name.as_str()).collect();
    let more = unreadable.len().saturating_sub(named.len());
    let and_more = if more > 0 { format!("` and {more} more, such as `") } else { String::new() };
    let relation = named.join("`, `") + and_more.strip_suffix(", such as `").unwrap_or_default();
    Err(PostgresError::Unreadable { relation, reason: reason.clone() })
}

/// TLS as the server sees it. Behind a pooler, the server sees the pooler's connection.
async fn check_tls(session: &Session, settings: &ConnectionSettings) -> Result<Checked> {
    const SQL: &str =
        "SELECT s.ssl, s.version, s.cipher FROM pg_catalog.pg_stat_ssl s WHERE s.pid = pg_catalog.pg_backend_pid()";
    let rows = session.rows("asking for TLS", SQL, &[]).await?;
    let row = rows.first().filter(|row| row.get::<_, Option<bool>>(0) == Some(true));
    let proof = settings.proof_description();
    Ok(match row {
        Some(row) => {
            let [version, cipher] = [1, 2].map(|column| row.get::<_, Option<String>>(column).unwrap_or_default());
            let seen = format!("{version}, {cipher}; {proof}");
            if settings.proves_the_server() {
                Checked::Ok(seen)
            } else {
                let hint = "set `sslmode=verify-full` in the secret, and add the provider's CA as `ca_certificate` if it is not a public one";
                Checked::Warn { seen, hint }
            }
        }
        None if settings.wants_no_tls() => Checked::Ok("off, as `sslmode=disable` demands".to_owned()),
        None => Checked::Warn {
            seen: "off: all rows cross the network unencrypted".to_owned(),
            hint: "enable TLS on the server and set `sslmode=verify-full`; if no TLS is intended, set `sslmode=disable`",
        },
    })
}

/// The same check as at the start of a backup, without a snapshot.
async fn check_large_objects(session: &Session) -> Result<String> {
    let count = large_object::count(session).await?;
    if count.unreadable > 0 {
        let all = count.readable + count.unreadable;
        return Err(PostgresError::LargeObjectsUnreadable { unreadable: count.unreadable, all });
    }
    Ok(format!("{} large objects, all readable", count.readable))
}

/// AWS rejects signatures when clocks differ by more than 15 minutes. Leases and schedules depend on several clocks too.
const CLOCK_TOLERANCE_S: f64 = 5.0 * 60.0;

async fn check_clock(session: &Session) -> Result<Checked> {
    const SQL: &str = "SELECT extract(epoch FROM pg_catalog.clock_timestamp())::float8";
    let theirs: f64 = session.row("asking for the time", SQL, &[]).await?.get(0);
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_secs_f64()).unwrap_or_default();
    let apart = (theirs - ours).abs();
    if apart <= CLOCK_TOLERANCE_S {
        return Ok(Checked::Ok("the server's clock and this machine's clock agree".to_owned()));
    }
    let seen = format!("the server's clock and this machine's clock differ by {apart:.0} s");
    Ok(Checked::Warn {
        seen,
        hint: "synchronize both clocks by NTP: AWS rejects this machine's requests if its clock is wrong by over 15 minutes",
    })
}

async fn check_recovery(session: &Session) -> Result<Checked> {
    const SQL: &str = "
        SELECT pg_catalog.pg_is_in_recovery(),
               (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'S'))";
    let row = session.row("asking for the role", SQL, &[]).await?;
    let (standby, unlogged): (bool, i64) = (row.get(0), row.get(1));
    Ok(match (standby, unlogged) {
        (false, _) => Checked::Ok("primary".to_owned()),
        (true, 0) => Checked::Ok("standby".to_owned()),
        (true, unlogged) => Checked::Warn {
            seen: format!("standby, which has no contents of {unlogged} unlogged table(s) and sequence(s)"),
            hint: "back up the primary if their contents are wanted; their definitions are in each backup",
        },
    })
}
