//! The roles that drills create on a scratch server: marked as theirs, and dropped when no drill needs them.

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::identifier::{quote_identifier, quote_literal};

/// The comment of a role that a drill created. Roles with another comment are never dropped.
pub(super) const MARK: &str = "lifeboat: created by a drill, which drops it when it ends";

/// Every drill holds this lock until it ends, in the database of the server's settings.
pub(super) const SHARE_ROLES: &str =
    "SELECT pg_catalog.pg_advisory_lock_shared(pg_catalog.hashtextextended('lifeboat scratch roles', 0))";

const STEP: &str = "dropping the roles of drills";

/// Roles dropped at one time. The next drill drops the others.
const MOST_ROLES: i64 = 1000;

/// Drops the marked roles, unless another drill runs on the server. A role stays that another database still needs, or that another role
/// created.
pub(super) async fn drop_roles(session: &Session) -> Result<()> {
    const LOCK: &str =
        "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('lifeboat scratch roles', 0))";
    const UNLOCK: &str =
        "SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended('lifeboat scratch roles', 0))";
    const MARKED: &str = "
        SELECT r.rolname::text FROM pg_catalog.pg_roles r
        WHERE pg_catalog.shobj_description(r.oid, 'pg_authid') = $1 ORDER BY 1 LIMIT $2";
    // The lock of the session's own drill does not count.
    if !session.row(STEP, LOCK, &[]).await?.get::<_, bool>(0) {
        return Ok(());
    }
    for row in session.rows(STEP, MARKED, &[&MARK, &MOST_ROLES]).await? {
        let name: String = row.get(0);
        match session.run(STEP, &format!("DROP ROLE IF EXISTS {}", quote_identifier(&name))).await {
            Ok(()) => {}
            Err(PostgresError::Query { source, .. }) => tracing::info!(error = %source, "a role of a drill stays"),
            Err(error) => return Err(error),
        }
    }
    session.run(STEP, UNLOCK).await
}

/// Creates a role with its mark in one transaction, so that a killed drill leaves no role without it.
pub(super) fn create_marked(name: &str) -> String {
    let name = quote_identifier(name);
    format!("CREATE ROLE {name} NOLOGIN; COMMENT ON ROLE {name} IS {}", quote_literal(MARK))
}

/// Takes a role over from drills: it is not dropped any longer.
pub(super) fn take_over(name: &str) -> String {
    format!("COMMENT ON ROLE {} IS NULL", quote_identifier(name))
}
