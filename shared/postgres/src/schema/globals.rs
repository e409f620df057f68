//! Reads the properties of the database and the server's roles.

use lifeboat_model::{DatabaseGrant, DatabaseProperties, Globals, Membership, Role, Setting};

use crate::error::PostgresResult as Result;
use crate::session::Session;
use crate::session::server_text::ServerText;

const READING: &str = "reading the database's properties and the roles";

/// Reads the globals of the session's database. Snapshots do not cover shared catalogs, so the globals are current.
pub(crate) async fn read(session: &Session) -> Result<Globals> {
    session.expect_bytes_as_stored().await?;
    let globals = Globals {
        database: read_database(session).await?,
        roles: read_roles(session).await?,
        memberships: read_memberships(session).await?,
    };
    session.expect_utf8().await?;
    Ok(globals)
}

pub(crate) async fn read_database(session: &Session) -> Result<DatabaseProperties> {
    const DATABASE: &str = "
        SELECT pg_catalog.pg_get_userbyid(d.datdba)::text, d.datconnlimit, pg_catalog.shobj_description(d.oid, 'pg_database')
        FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";
    const SETTINGS: &str = "
        SELECT r.rolname::text, pg_catalog.split_part(c.text, '=', 1), pg_catalog.substr(c.text, pg_catalog.strpos(c.text, '=') + 1)
        FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
        LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, pg_catalog.unnest(s.setconfig) WITH ORDINALITY AS c (text, place)
        WHERE d.datname = pg_catalog.current_database() ORDER BY r.rolname::text COLLATE \"C\" NULLS FIRST, c.place";
    // The same privilege can come from several grantors.
    const GRANTS: &str = "
        SELECT CASE WHEN g.grantee <> 0 THEN pg_catalog.pg_get_userbyid(g.grantee)::text END AS grantee, g.privilege_type,
               pg_catalog.bool_or(g.is_grantable)
        FROM pg_catalog.pg_database d,
             pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) g
        WHERE d.datname = pg_catalog.current_database() AND g.grantee <> d.datdba
        GROUP BY 1, 2 ORDER BY 1 NULLS FIRST, 2";
    let row = &session.row(READING, DATABASE, &[]).await?;
    let settings = session.rows(READING, SETTINGS, &[]).await?;
    let grants = session.rows(READING, GRANTS, &[]).await?;
    let grant = |row: &tokio_postgres::Row| DatabaseGrant {
        grantee: row.get(0),
        privilege: row.get(1),
        is_grantable: row.get(2),
    };
    Ok(DatabaseProperties {
        owner: row.get(0),
        connection_limit: row.get(1),
        comment: words(row, 2),
        settings: settings
            .iter()
            .map(|row| Setting { role: row.get(0), name: row.get(1), value: words(row, 2).unwrap_or_default() })
            .collect(),
        grants: grants.iter().map(grant).collect(),
    })
}

fn words(row: &tokio_postgres::Row, place: usize) -> Option<String> {
    row.get::<_, Option<ServerText>>(place).map(|ServerText(text)| text)
}

async fn read_roles(session: &Session) -> Result<Vec<Role>> {
    const ROLES: &str = "
        SELECT r.rolname::text, pg_catalog.array_remove(ARRAY[
                   CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
                   CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolinherit THEN 'INHERIT' END,
                   CASE WHEN r.rolcanlogin THEN 'LOGIN' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
                   CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL),
               r.rolconnlimit, r.rolvaliduntil::text, pg_catalog.shobj_description(r.oid, 'pg_authid'),
               COALESCE((SELECT s.setconfig FROM pg_catalog.pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0), '{}')
        FROM pg_catalog.pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY r.rolname::text COLLATE \"C\"";
    let setting = |ServerText(text): &ServerText| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Setting { role: None, name: name.to_owned(), value: value.to_owned() }
    };
    let rows = session.rows(READING, ROLES, &[]).await?;
    let role = |row: &tokio_postgres::Row| Role {
        name: row.get(0),
        attributes: row.get(1),
        connection_limit: row.get(2),
        valid_until: row.get(3),
        comment: words(row, 4),
        settings: row.get::<_, Vec<ServerText>>(5).iter().map(setting).collect(),
    };
    Ok(rows.iter().map(role).collect())
}

async fn read_memberships(session: &Session) -> Result<Vec<Membership>> {
    // Rows are read as JSON, because `inherit_option` and `set_option` exist only from PostgreSQL 16 on. Grantors are left out: the
    // server that the roles are created on chooses them.
    const MEMBERSHIPS: &str = "
        SELECT r.rolname::text, m.rolname::text, pg_catalog.bool_or(a.admin_option),
               pg_catalog.bool_or((pg_catalog.to_jsonb(a) ->> 'inherit_option')::bool),
               pg_catalog.bool_or((pg_catalog.to_jsonb(a) ->> 'set_option')::bool)
        FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles r ON r.oid = a.roleid
        JOIN pg_catalog.pg_roles m ON m.oid = a.member
        WHERE m.rolname !~ '^pg_' GROUP BY 1, 2 ORDER BY 1, 2";
    let rows = session.rows(READING, MEMBERSHIPS, &[]).await?;
    let membership = |row: &tokio_postgres::Row| Membership {
        role: row.get(0),
        member: row.get(1),
        admin: row.get(2),
        inherit: row.get(3),
        set: row.get(4),
    };
    Ok(rows.iter().map(membership).collect())
}
