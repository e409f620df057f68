//! The identity of a server, and how many connections a backup makes to it.

use jiff::Timestamp;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::settings::ConnectionSettings;

/// Which server it is, and since when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerIdentity {
    /// `pg_control_system().system_identifier`; `None` where the role may not read it. A plain role may, unless somebody revoked it. Servers
    /// that were copied from one disk have the same, and so has a standby.
    pub system_identifier: Option<String>,
    /// `pg_postmaster_start_time()`, to the second. Every role may read it. It tells servers apart that have one identifier.
    pub started_at: Timestamp,
}

/// Seconds since 1970.
const STARTED_AT: &str = "SELECT EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time())::int8";

/// When the server started.
pub(crate) async fn started_at(session: &Session) -> Result<Timestamp> {
    const STEP: &str = "asking when the server started";
    let seconds = session.row(STEP, STARTED_AT, &[]).await?.get(0);
    Timestamp::from_second(seconds)
        .map_err(|_| PostgresError::UnexpectedAnswer { step: STEP.to_owned(), fact: "the server's clock".to_owned() })
}

async fn system_identifier(session: &Session) -> Result<Option<String>> {
    const SQL: &str = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
    match session.row("asking for the system identifier", SQL, &[]).await {
        Ok(row) => Ok(row.get(0)),
        Err(PostgresError::Query { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The connections of a backup beside those that read rows: the snapshot's leader, its watcher, and `pg_dump`, then `pg_dumpall`.
pub(crate) const BESIDE_READERS: usize = 3;

/// The fewest connections of a backup: the leader, its watcher, and by turns a client program or one session that reads rows. The watcher must
/// not wait for either of the others.
pub(crate) const FEWEST_CONNECTIONS: usize = 3;

/// How a backup reads rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readers {
    /// How many sessions read rows.
    pub sessions: usize,
    /// Whether they read only while no client program runs, because a limit allows no more connections.
    pub take_turns: bool,
}

/// What backups may open on one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupLoad {
    /// How many sessions one of them reads rows with, at most.
    pub sessions: usize,
    /// How many backups of databases on one server run at a time.
    pub per_server: u32,
}

/// The most connections that a backup with so many reading sessions has open at a time. Its checks before it open two, and before its turn
/// it opens one for a moment.
pub fn backup_connections(sessions: usize) -> usize {
    sessions.saturating_add(BESIDE_READERS)
}

impl ConnectionSettings {
    /// The identity of the server, by one short connection.
    pub async fn server_identity(&self) -> Result<ServerIdentity> {
        let session = Session::connect(self, "lifeboat").await?;
        let identity = ServerIdentity {
            system_identifier: system_identifier(&session).await?,
            started_at: started_at(&session).await?,
        };
        session.close().await;
        Ok(identity)
    }
}
