//! The identity of a server, and how many connections a backup makes to it.

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::settings::ConnectionSettings;

/// `pg_control_system().system_identifier`; `None` where the role may not read it. PostgreSQL lets every role read it.
async fn system_identifier(session: &Session) -> Result<Option<String>> {
    const SQL: &str = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
    match session.row("asking for the system identifier", SQL, &[]).await {
        Ok(row) => Ok(row.get(0)),
        Err(PostgresError::Query { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The connections of a backup beside those that read rows: the snapshot's leader, its watcher, and `pg_dump`, then `pg_dumpall`.
const BESIDE_READERS: usize = 3;

/// The most connections that a backup with so many reading sessions has open at a time. Its checks before it open two.
pub fn backup_connections(sessions: usize) -> usize {
    sessions.saturating_add(BESIDE_READERS)
}

impl ConnectionSettings {
    /// `pg_control_system().system_identifier` of the server; `None` where the role may not read it. A plain role may, unless somebody
    /// revoked it. Servers that were copied from one disk have the same.
    pub async fn system_identifier(&self) -> Result<Option<String>> {
        let session = Session::connect(self, "lifeboat").await?;
        let identifier = system_identifier(&session).await?;
        session.close().await;
        Ok(identifier)
    }
}
