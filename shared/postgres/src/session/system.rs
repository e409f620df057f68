//! The identity of a server.

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;

/// `pg_control_system().system_identifier`; `None` where the role may not read it. PostgreSQL lets every role read it.
pub(crate) async fn system_identifier(session: &Session) -> Result<Option<String>> {
    const SQL: &str = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
    match session.row("asking for the system identifier", SQL, &[]).await {
        Ok(row) => Ok(row.get(0)),
        Err(PostgresError::Query { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
