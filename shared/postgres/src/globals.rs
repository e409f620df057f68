//! The database's own properties and the server's roles: read as they are, restored as far as this role may.

use lifeboat_model::{DatabaseGrant, DatabaseProperties, Globals, Membership, Role, Setting};

use crate::error::Result;
use crate::identifier::{quote_identifier, quote_literal};
use crate::refusal::Refusals;
use crate::session::Session;
use crate::target::RestoreTarget;
use crate::words::Words;

const READING: &str = "reading the database's properties and the roles";

/// Settings whose value is a list of names: quoting one as a whole would make one name of it. Source: the settings marked
/// `GUC_LIST_QUOTE` in guc_tables.c, as `variable_is_guc_list_quote()` of pg_dump has them.
const LISTS_OF_NAMES: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Attributes of a role in the order of [`Role::attributes`]; INHERIT is what CREATE ROLE gives.
const INHERIT: &str = "INHERIT";

/// Reads what is around the session's database. Shared catalogs have no history: it is as of now.
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

async fn read_database(session: &Session) -> Result<DatabaseProperties> {
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
    row.get::<_, Option<Words>>(place).map(|Words(text)| text)
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
    let setting = |Words(text): &Words| {
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
        settings: row.get::<_, Vec<Words>>(5).iter().map(setting).collect(),
    };
    Ok(rows.iter().map(role).collect())
}

async fn read_memberships(session: &Session) -> Result<Vec<Membership>> {
    // As JSON: `inherit_option` and `set_option` exist from PostgreSQL 16 on. Grantors, of which there can be several, are left
    // to the server that the roles are made on.
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

impl RestoreTarget {
    /// Gives the roles in `created` their attributes, settings and comments, and every membership that one of them is part of.
    /// Roles that were there before keep what they have. Returns what the server refused, a sentence each.
    ///
    /// Nobody can log in by password before one is set. Running it twice changes nothing more.
    pub async fn restore_role_attributes(&self, globals: &Globals, created: &[String]) -> Result<Vec<String>> {
        const MAJOR: &str = "SELECT pg_catalog.current_setting('server_version_num')::int4 / 10000";
        let session = self.connect().await?;
        let major: i32 = session.row(READING, MAJOR, &[]).await?.get(0);
        let mut refusals = Refusals::default();
        for role in globals.roles.iter().filter(|role| created.contains(&role.name)) {
            for (what, sql) in role_statements(role) {
                refusals.attempt(&session, &format!("role `{}` could not be given {what}", role.name), &sql).await?;
            }
        }
        let concerned = |m: &&Membership| created.contains(&m.role) || created.contains(&m.member);
        for membership in globals.memberships.iter().filter(concerned) {
            let what = format!("role `{}` could not be made a member of `{}`", membership.member, membership.role);
            refusals.attempt(&session, &what, &membership_statement(membership, major)).await?;
        }
        session.close().await;
        Ok(refusals.notes())
    }

    /// Gives the database the settings and grants of the source's and, if `whole`, its owner, connection limit and comment.
    /// Returns what the server refused, a sentence each.
    ///
    /// The last thing to be restored: a setting may make every later session read-only.
    pub async fn restore_database_properties(&self, source: &DatabaseProperties, whole: bool) -> Result<Vec<String>> {
        let session = self.connect().await?;
        let mut refusals = Refusals::default();
        let present = read_database(&session).await?;
        for (what, sql) in database_statements(self.settings().database(), source, &present, whole) {
            refusals.attempt(&session, &format!("{what} of the database could not be restored"), &sql).await?;
        }
        session.close().await;
        Ok(refusals.notes())
    }
}

/// What CREATE ROLE … NOLOGIN leaves to be done, each with what it is.
fn role_statements(role: &Role) -> Vec<(String, String)> {
    let name = quote_identifier(&role.name);
    let mut statements: Vec<(String, String)> = Vec::new();
    for attribute in role.attributes.iter().filter(|attribute| *attribute != INHERIT && is_word(attribute)) {
        statements.push((attribute.clone(), format!("ALTER ROLE {name} {attribute}")));
    }
    if !role.attributes.iter().any(|attribute| attribute == INHERIT) {
        statements.push(("NOINHERIT".to_owned(), format!("ALTER ROLE {name} NOINHERIT")));
    }
    if role.connection_limit != -1 {
        let sql = format!("ALTER ROLE {name} CONNECTION LIMIT {}", role.connection_limit);
        statements.push(("its connection limit".to_owned(), sql));
    }
    if let Some(until) = &role.valid_until {
        statements.push(("its end".to_owned(), format!("ALTER ROLE {name} VALID UNTIL {}", quote_literal(until))));
    }
    if let Some(comment) = &role.comment {
        statements.push(("its comment".to_owned(), format!("COMMENT ON ROLE {name} IS {}", quote_literal(comment))));
    }
    for setting in &role.settings {
        let sql = format!("ALTER ROLE {name} SET {}", assignment(setting));
        statements.push((format!("its setting `{}`", setting.name), sql));
    }
    statements
}

fn membership_statement(membership: &Membership, major: i32) -> String {
    let (role, member) = (quote_identifier(&membership.role), quote_identifier(&membership.member));
    let mut options = Vec::new();
    if membership.admin {
        options.push("ADMIN OPTION".to_owned());
    }
    if major >= 16 {
        options.extend(membership.inherit.map(|inherit| format!("INHERIT {inherit}")));
        options.extend(membership.set.map(|set| format!("SET {set}")));
    }
    let with = if options.is_empty() { "" } else { " WITH " };
    format!("GRANT {role} TO {member}{with}{}", options.join(", "))
}

/// What makes `present` like `source`, each with what it is. The owner comes last: who is no superuser may lose rights with it.
fn database_statements(
    database: &str,
    source: &DatabaseProperties,
    present: &DatabaseProperties,
    whole: bool,
) -> Vec<(String, String)> {
    let name = quote_identifier(database);
    let mut statements: Vec<(String, String)> = Vec::new();
    for setting in source.settings.iter().filter(|setting| !present.settings.contains(setting)) {
        let assignment = assignment(setting);
        statements.push(match &setting.role {
            None => (format!("setting `{}`", setting.name), format!("ALTER DATABASE {name} SET {assignment}")),
            Some(role) => (
                format!("setting `{}` of role `{role}`", setting.name),
                format!("ALTER ROLE {} IN DATABASE {name} SET {assignment}", quote_identifier(role)),
            ),
        });
    }
    if source.grants != present.grants {
        let revoke = format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC");
        statements.push(("the default grants".to_owned(), revoke));
    }
    for grant in source.grants.iter().filter(|grant| source.grants != present.grants && is_word(&grant.privilege)) {
        let grantee = grant.grantee.as_ref().map_or_else(|| "PUBLIC".to_owned(), |role| quote_identifier(role));
        let option = if grant.is_grantable { " WITH GRANT OPTION" } else { "" };
        let sql = format!("GRANT {} ON DATABASE {name} TO {grantee}{option}", grant.privilege);
        statements.push((format!("the grant of {} to {grantee}", grant.privilege), sql));
    }
    if whole {
        if source.connection_limit != present.connection_limit {
            let sql = format!("ALTER DATABASE {name} CONNECTION LIMIT {}", source.connection_limit);
            statements.push(("the connection limit".to_owned(), sql));
        }
        if let Some(comment) = source.comment.as_ref().filter(|_| source.comment != present.comment) {
            let sql = format!("COMMENT ON DATABASE {name} IS {}", quote_literal(comment));
            statements.push(("the comment".to_owned(), sql));
        }
        if source.owner != present.owner {
            let sql = format!("ALTER DATABASE {name} OWNER TO {}", quote_identifier(&source.owner));
            statements.push(("the owner".to_owned(), sql));
        }
    }
    statements
}

/// `name = value` as SET takes it, which gives the very value that was read.
fn assignment(setting: &Setting) -> String {
    let name = quote_identifier(&setting.name);
    if !LISTS_OF_NAMES.contains(&setting.name.to_ascii_lowercase().as_str()) {
        return format!("{name} = {}", quote_literal(&setting.value));
    }
    let names: Vec<String> = names_of(&setting.value).iter().map(|name| quote_literal(name)).collect();
    format!("{name} = {}", if names.is_empty() { "''".to_owned() } else { names.join(", ") })
}

/// The names in a list such as `zoo, "it's", "a""b"`.
fn names_of(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = list.trim_start();
    while !rest.is_empty() {
        let mut name = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut letters = quoted.char_indices().peekable();
            let mut end = quoted.len();
            while let Some((at, letter)) = letters.next() {
                if letter != '"' {
                    name.push(letter);
                } else if letters.next_if(|(_, next)| *next == '"').is_some() {
                    name.push('"');
                } else {
                    end = at + 1;
                    break;
                }
            }
            rest = quoted.get(end..).unwrap_or_default();
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            name.push_str(rest.get(..end).unwrap_or_default().trim_end());
            rest = rest.get(end..).unwrap_or_default();
        }
        names.push(name);
        rest = rest.trim_start().strip_prefix(',').unwrap_or_default().trim_start();
    }
    names
}

/// Words that become part of a statement come out of a repository: letters alone.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_is_taken_apart_and_any_other_value_is_one_literal() {
        let set = |name: &str, value: &str| {
            assignment(&Setting { role: None, name: name.to_owned(), value: value.to_owned() })
        };
        assert_eq!(set("search_path", "zoo, \"it's\",\"a\"\"b\" , c"), "\"search_path\" = 'zoo', 'it''s', 'a\"b', 'c'");
        assert_eq!(set("search_path", "\"\""), "\"search_path\" = ''");
        assert_eq!(set("search_path", ""), "\"search_path\" = ''");
        assert_eq!(set("search_path", "\"$user\", \"open"), "\"search_path\" = '$user', 'open'");
        assert_eq!(set("zoo.motto", "a, 'b' \\"), "\"zoo.motto\" = E'a, ''b'' \\\\'");
    }

    #[test]
    fn nothing_but_a_word_becomes_an_attribute_or_a_privilege() {
        let role = Role {
            name: "a\"b".to_owned(),
            attributes: vec!["LOGIN".to_owned(), "LOGIN; DROP TABLE x".to_owned(), INHERIT.to_owned()],
            connection_limit: -1,
            valid_until: None,
            comment: None,
            settings: Vec::new(),
        };
        assert_eq!(role_statements(&role), [("LOGIN".to_owned(), "ALTER ROLE \"a\"\"b\" LOGIN".to_owned())]);
    }
}
