//! Large objects as rows: (oid, offset, page of at most 1 MiB).
//!
//! Plain roles may not read `pg_largeobject`; the functions on large objects check each object's own privileges.

use crate::error::PostgresResult as Result;
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

/// COPY of what is known of every object beside its bytes. `grants` is JSON, `[["role", "SELECT", with grant option], …]`, an empty
/// role for PUBLIC; NULL when they are the default. Equal on both sides of a faithful restore.
pub(crate) const COPY_PROPERTIES: &str = "COPY (
    SELECT m.oid, pg_catalog.pg_get_userbyid(m.lomowner)::text,
           NULLIF((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(g.grantee, g.privilege, g.is_grantable)
                            ORDER BY g.grantee COLLATE \"C\", g.privilege COLLATE \"C\")
                   FROM (SELECT CASE WHEN a.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END AS grantee,
                                a.privilege_type AS privilege, pg_catalog.bool_or(a.is_grantable) AS is_grantable
                         FROM pg_catalog.aclexplode(COALESCE(m.lomacl, pg_catalog.acldefault('L', m.lomowner))) a GROUP BY 1, 2) g),
                  pg_catalog.jsonb_build_array(
                      pg_catalog.jsonb_build_array(pg_catalog.pg_get_userbyid(m.lomowner)::text, 'SELECT', false),
                      pg_catalog.jsonb_build_array(pg_catalog.pg_get_userbyid(m.lomowner)::text, 'UPDATE', false)))::text,
           pg_catalog.obj_description(m.oid, 'pg_largeobject')
    FROM pg_catalog.pg_largeobject_metadata m ORDER BY m.oid
) TO STDOUT (FORMAT binary)";

/// A temporary table for properties that are not yet given to their objects.
pub(crate) const CREATE_PROPERTIES: &str =
    "CREATE TEMPORARY TABLE lifeboat_property (object oid, owner text, grants text, comment text)";

pub(crate) const COPY_PROPERTIES_IN: &str = "COPY pg_temp.lifeboat_property FROM STDIN (FORMAT binary)";

pub(crate) const DROP_PROPERTIES: &str = "DROP TABLE pg_temp.lifeboat_property";

/// The statements for objects that have more than the restoring role gave them: all for an object in one line.
pub(crate) const PROPERTY_STATEMENTS: &str = "
    SELECT p.object, pg_catalog.concat_ws('; ',
        CASE WHEN p.comment IS NOT NULL THEN pg_catalog.format('COMMENT ON LARGE OBJECT %s IS %L', p.object, p.comment) END,
        CASE WHEN p.owner <> CURRENT_USER THEN pg_catalog.format('ALTER LARGE OBJECT %s OWNER TO %I', p.object, p.owner) END,
        CASE WHEN p.grants IS NOT NULL THEN pg_catalog.format('REVOKE ALL ON LARGE OBJECT %s FROM PUBLIC, %I', p.object, p.owner) END,
        (SELECT pg_catalog.string_agg(pg_catalog.format('GRANT %s ON LARGE OBJECT %s TO %s%s',
                    CASE WHEN g ->> 1 = 'UPDATE' THEN 'UPDATE' ELSE 'SELECT' END, p.object,
                    CASE WHEN g ->> 0 = '' THEN 'PUBLIC' ELSE pg_catalog.quote_ident(g ->> 0) END,
                    CASE WHEN (g ->> 2)::bool THEN ' WITH GRANT OPTION' ELSE '' END), '; ')
         FROM pg_catalog.jsonb_array_elements(p.grants::pg_catalog.jsonb) g))
    FROM pg_temp.lifeboat_property p
    WHERE p.comment IS NOT NULL OR p.owner <> CURRENT_USER OR p.grants IS NOT NULL ORDER BY p.object";

/// Statements sent at once; the server locks each object until they have ended.
pub(crate) const PROPERTY_BATCH: usize = 500;

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

/// A temporary table for pages that are not yet stored as objects. It is empty after each chunk.
pub(crate) const CREATE_PAGES: &str =
    "CREATE TEMPORARY TABLE lifeboat_page (object oid, start int8, page bytea) ON COMMIT DROP";

pub(crate) const COPY_PAGES_IN: &str = "COPY pg_temp.lifeboat_page FROM STDIN (FORMAT binary)";

/// Creates each object under its own OID with its first page seen, then writes the pages. Chunks may end inside an object.
pub(crate) const STORE_PAGES: [&str; 2] = [
    "SELECT pg_catalog.lo_create(object) FROM (SELECT DISTINCT object FROM pg_temp.lifeboat_page) seen
     WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid = seen.object)",
    "SELECT pg_catalog.lo_put(object, start, page) FROM pg_temp.lifeboat_page",
];
