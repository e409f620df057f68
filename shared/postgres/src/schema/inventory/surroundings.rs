//! What is the server's as much as the database's: versions of extensions, the schema `public`, tablespaces.

use std::collections::BTreeMap;

use lifeboat_model::Surroundings;

use crate::error::PostgresResult as Result;
use crate::session::Session;
use crate::session::server_text::ServerText;

const STEP: &str = "reading extensions and tablespaces";

const EXTENSIONS: &str =
    "SELECT e.extname::text, e.extversion FROM pg_catalog.pg_extension e WHERE $1::oid[] IS NOT NULL";

/// The default owner is the server's first role, and `pg_database_owner` from version 15 on. The archive names another one only. An owner
/// has all rights by default, so only those that it lacks are named.
const PUBLIC: &str = concat!(
    "SELECT pg_catalog.concat_ws('; ',
            CASE WHEN n.nspowner <> 10 AND pg_catalog.pg_get_userbyid(n.nspowner) <> 'pg_database_owner'
                 THEN 'owner ' || pg_catalog.pg_get_userbyid(n.nspowner) END,
            (SELECT 'owner without ' || pg_catalog.string_agg(wanted.privilege, ', ' ORDER BY wanted.privilege COLLATE \"C\")
             FROM pg_catalog.unnest(ARRAY['CREATE', 'USAGE']) AS wanted (privilege)
             WHERE NOT EXISTS (
                SELECT FROM pg_catalog.aclexplode(COALESCE(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) g
                WHERE g.grantee = n.nspowner AND g.privilege_type = wanted.privilege)),
            'grants ' || ",
    grants!("n.nspacl", "n", "n.nspowner"),
    ") FROM pg_catalog.pg_namespace n WHERE n.nspname = 'public'"
);

const TABLESPACE: &str = "
    SELECT t.spcname::text FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
    WHERE d.datname = pg_catalog.current_database()";

/// An object in the database's own tablespace has none.
const PLACED: &str = concat!(
    "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), t.spcname::text
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_tablespace t ON t.oid = c.reltablespace
     LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
     WHERE c.relkind IN ('r', 'p', 'm', 'i', 'I') AND COALESCE(i.indrelid, c.oid) <> ALL ($1::oid[]) AND ",
    user_schema!(),
    " AND ",
    no_member!("pg_class", "c.oid")
);

/// Reads them in the session's snapshot. The session expects bytes as they are stored.
pub(super) async fn read(session: &Session, passed_over: &[u32]) -> Result<Surroundings> {
    let text = |row: &tokio_postgres::Row, place: usize| row.get::<_, ServerText>(place).0;
    let pairs = async |sql: &str| -> Result<BTreeMap<String, String>> {
        let rows = session.rows(STEP, sql, &[&passed_over]).await?;
        Ok(rows.iter().map(|row| (text(row, 0), text(row, 1))).collect())
    };
    Ok(Surroundings {
        extensions: pairs(EXTENSIONS).await?,
        public: session.rows(STEP, PUBLIC, &[]).await?.first().map(|row| text(row, 0)),
        tablespace: text(&session.row(STEP, TABLESPACE, &[]).await?, 0),
        tablespaces: pairs(PLACED).await?,
    })
}
