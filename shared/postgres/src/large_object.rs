//! Large objects as rows: (oid, offset, page of at most 1 MiB).
//!
//! Plain roles may not read `pg_largeobject`; the functions on large objects check each object's own privileges.

use crate::error::Result;
use crate::session::Session;

/// Whether the role may read the object: owner, granted, or a server that does not check (`lo_compat_privileges`).
/// `pg_has_role` is true for a superuser. An object without an ACL is its owner's alone.
macro_rules! is_readable {
    () => {
        "(pg_catalog.pg_has_role(m.lomowner, 'USAGE')
          OR pg_catalog.current_setting('lo_compat_privileges')::bool
          OR EXISTS (SELECT FROM pg_catalog.aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
                     AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE'))))"
    };
}

/// COPY of all readable objects. 262144 is `INV_READ`, 2 is `SEEK_END`; OFFSET 0 keeps the subqueries apart, so that each
/// object is opened, measured and closed in this order and no descriptor stays open. An empty object gives one empty page.
pub(crate) const COPY_PAGES: &str = concat!(
    "COPY (
        SELECT sized.oid, page.start, pg_catalog.lo_get(sized.oid, page.start, 1048576)
        FROM (
            SELECT m.oid, (
                SELECT CASE WHEN pg_catalog.lo_close(measured.fd) = 0 THEN measured.size_bytes END
                FROM (SELECT opened.fd, pg_catalog.lo_lseek64(opened.fd, 0, 2) AS size_bytes
                      FROM (SELECT pg_catalog.lo_open(m.oid, 262144) AS fd OFFSET 0) opened OFFSET 0) measured
            ) AS size_bytes
            FROM pg_catalog.pg_largeobject_metadata m WHERE ",
    is_readable!(),
    " ORDER BY m.oid OFFSET 0
        ) sized
        CROSS JOIN LATERAL pg_catalog.generate_series(0::int8, GREATEST(sized.size_bytes - 1, 0), 1048576::int8) AS page (start)
    ) TO STDOUT (FORMAT binary)"
);

/// How many large objects a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeObjectCount {
    /// Those that this role can read.
    pub readable: u64,
    /// Those that it cannot.
    pub unreadable: u64,
}

pub(crate) async fn count(session: &Session) -> Result<LargeObjectCount> {
    const SQL: &str = concat!(
        "SELECT pg_catalog.count(*) FILTER (WHERE ",
        is_readable!(),
        "), pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata m"
    );
    let row = session.row("counting large objects", SQL, &[]).await?;
    let (readable, all): (i64, i64) = (row.get(0), row.get(1));
    Ok(LargeObjectCount { readable: readable.unsigned_abs(), unreadable: (all - readable).unsigned_abs() })
}

/// Where pages wait to become objects; the session's own, and empty again after each chunk.
pub(crate) const CREATE_PAGES: &str =
    "CREATE TEMPORARY TABLE lifeboat_page (object oid, start int8, page bytea) ON COMMIT DROP";

pub(crate) const COPY_PAGES_IN: &str = "COPY pg_temp.lifeboat_page FROM STDIN (FORMAT binary)";

/// Creates each object under its own OID with its first page seen, then writes the pages. Chunks may end inside an object.
pub(crate) const STORE_PAGES: [&str; 2] = [
    "SELECT pg_catalog.lo_create(object) FROM (SELECT DISTINCT object FROM pg_temp.lifeboat_page) seen
     WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid = seen.object)",
    "SELECT pg_catalog.lo_put(object, start, page) FROM pg_temp.lifeboat_page",
];
