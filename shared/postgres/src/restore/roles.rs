//! The server's roles: created without LOGIN, then given what they had on the source.

use lifeboat_model::{Globals, Membership, Role};

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::drill_roles::{MARK, create_marked, take_over};
use crate::restore::refusal::Refusals;
use crate::restore::statement::{assignment, is_word};
use crate::restore::target::{APPLICATION, RestoreTarget};
use crate::restore::unit::Unit;
use crate::schema::archive;
use crate::session::Session;
use crate::session::identifier::{quote_identifier, quote_literal};

/// Roles that a restoring role without superuser must be able to act for. Existing membership does not count: from version 16 on, the
/// creator of a role is a member, but without SET.
const TO_JOIN: &str = "
    SELECT name FROM pg_catalog.unnest($1::text[]) AS wanted (name), pg_catalog.pg_roles me
    WHERE me.rolname = CURRENT_USER AND NOT me.rolsuper AND me.rolname <> name";

/// Attributes of a role in the order of [`Role::attributes`]; INHERIT is what CREATE ROLE gives.
const INHERIT: &str = "INHERIT";

/// The step that creates roles.
const ROLE: &str = "role";

/// What became of the roles that a restored database needs.
#[derive(Debug, Clone, Default)]
pub struct RestoredRoles {
    /// Roles that the server did not have before, or that were a drill's.
    pub created: Vec<String>,
    /// One sentence for each that was refused.
    pub refused: Vec<String>,
    /// Roles that the restoring role was a member of before.
    member_of: Vec<String>,
    /// Roles that it became a member of, to give them what is theirs.
    joined: Vec<String>,
    /// Roles that it is a member of on the source, too.
    kept: Vec<String>,
}

impl RestoredRoles {
    /// Keeps the memberships that the restoring role has on the source.
    #[must_use]
    pub fn keeping(mut self, me: &str, globals: Option<&Globals>) -> Self {
        let memberships = globals.into_iter().flat_map(|globals| &globals.memberships);
        self.kept = memberships.filter(|one| one.member == me).map(|one| one.role.clone()).collect();
        self
    }
}

impl RestoreTarget {
    /// Creates the roles of `roles_sql` that the server does not have, without LOGIN, so that owners and grants can be restored.
    /// Attributes and memberships are a separate step; a drill needs only the names.
    ///
    /// When the restored database is not kept, the roles are marked, and dropped after the last drill on the server. A database that is kept
    /// takes over marked roles as if it had created them.
    ///
    /// A restoring role without superuser becomes a member of them, and they may create in schema `public`. PostgreSQL lets it
    /// give an object only to a role that could have created it there. In other schemas this remains a limit.
    /// [`take_back_create`](Self::take_back_create) ends that right.
    ///
    /// A restore that is continued knows the roles that it created before, and the memberships that the restoring role had at first.
    pub async fn restore_roles(&self, roles_sql: &str, is_kept: bool) -> Result<RestoredRoles> {
        const STEP: &str = "creating roles";
        const MISSING: &str = "
            SELECT name FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS wanted (name, position)
            WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = wanted.name) ORDER BY position";
        const MARKED: &str = "
            SELECT r.rolname::text FROM pg_catalog.pg_roles r
            WHERE r.rolname = ANY ($1) AND pg_catalog.shobj_description(r.oid, 'pg_authid') = $2";
        let wanted = archive::role_names(roles_sql);
        let session = self.connect().await?;
        // Before any is created: from version 16 on, that makes their creator a member.
        let member_of = self.once("memberships", memberships(&session)).await?;
        let (mut joined, mut refusals) = (Vec::new(), Refusals::default());
        let mut created: Vec<String> =
            wanted.iter().filter(|name| self.has_created_role(name)).map(ToString::to_string).collect();
        for row in session.rows(STEP, MISSING, &[&wanted]).await? {
            let name: String = row.get(0);
            let create = match is_kept {
                true => format!("CREATE ROLE {} NOLOGIN", quote_identifier(&name)),
                false => create_marked(&name),
            };
            match self.run_for_role(&session, &name, &create).await {
                // Another drill created it first.
                Err(error) if error.sqlstate() == Some("42710") => {}
                Err(PostgresError::Query { source, .. }) if !source.ends_a_restore() => {
                    refusals.add(format!("role `{name}` could not be created, and owns and may nothing: {source}"));
                    continue;
                }
                other => other?,
            }
            if !created.contains(&name) {
                created.push(name);
            }
        }
        if is_kept {
            for row in session.rows(STEP, MARKED, &[&wanted, &MARK]).await? {
                let name: String = row.get(0);
                // From version 16 on, only a role with ADMIN on a role may comment on it. A drill by another role created this one.
                match self.run_for_role(&session, &name, &take_over(&name)).await {
                    Ok(()) => created.push(name),
                    Err(PostgresError::Query { source, .. }) => refusals.add(format!(
                        "role `{name}` was created by a drill, and the last drill on the server drops it if nothing needs it: its \
                         comment could not be removed: {source}"
                    )),
                    Err(error) => return Err(error),
                }
            }
        }
        for row in session.rows(STEP, TO_JOIN, &[&wanted]).await? {
            let name = quote_identifier(&row.get::<_, String>(0));
            // A failed grant matters only if the role owns an object, which is then set aside.
            if session.run(STEP, &format!("GRANT {name} TO CURRENT_USER")).await.is_ok() {
                joined.push(row.get(0));
            }
            let _ = session.run(STEP, &format!("GRANT CREATE ON SCHEMA public TO {name}")).await;
        }
        session.close().await;
        joined.retain(|role| !member_of.contains(role));
        Ok(RestoredRoles { created, refused: refusals.notes(), member_of, joined, kept: Vec::new() })
    }

    /// Runs what makes a role this restore's, together with its mark if there are marks.
    async fn run_for_role(&self, session: &Session, name: &str, sql: &str) -> Result<()> {
        const STEP: &str = "creating roles";
        match self.marks() {
            // It was dropped since.
            Some(_) if self.has_created_role(name) => session.run(STEP, sql).await,
            Some(_) => Unit::named(ROLE, name).run(session, STEP, None, sql).await.map(|_| ()),
            None => session.run(STEP, sql).await,
        }
    }

    fn has_created_role(&self, name: &str) -> bool {
        self.marks().is_some_and(|marks| marks.has(&Unit::named(ROLE, name)))
    }

    /// Takes back the right to create in schema `public` that [`restore_roles`](Self::restore_roles) lent, from each role that the source
    /// did not give it to. `public` has the owner and grants of that schema on the source, as the inventory has them. The schema's owner
    /// keeps what it has: its own rights are not among the grants, and the archive restores them.
    pub async fn take_back_create(&self, roles_sql: &str, public: &str) -> Result<()> {
        const STEP: &str = "taking back rights";
        const HAS_PUBLIC: &str = "SELECT pg_catalog.to_regnamespace('public') IS NOT NULL";
        const NO_OWNERS: &str = "
            SELECT name FROM pg_catalog.unnest($1::text[]) AS lent (name)
            WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n
                              WHERE n.nspname = 'public' AND pg_catalog.pg_get_userbyid(n.nspowner) = lent.name)";
        let session = self.connect().await?;
        let lent: Vec<String> = session
            .rows(STEP, TO_JOIN, &[&archive::role_names(roles_sql)])
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        if !session.row(STEP, HAS_PUBLIC, &[]).await?.get::<_, bool>(0) {
            session.close().await;
            return Ok(());
        }
        for row in session.rows(STEP, NO_OWNERS, &[&lent]).await? {
            let name: String = row.get(0);
            let granted = format!("{name} CREATE");
            let grants = public.rsplit_once("grants ").map_or("", |(_, grants)| grants);
            if !grants.split(", ").any(|grant| grant.trim_end_matches(" grantable") == granted) {
                // A refusal leaves a difference, which the proof finds.
                let _ = session
                    .run(STEP, &format!("REVOKE CREATE ON SCHEMA public FROM {}", quote_identifier(&name)))
                    .await;
            }
        }
        session.close().await;
        Ok(())
    }

    /// Ends the memberships that [`restore_roles`](Self::restore_roles) took, when nothing is to be read any longer that belongs to these roles.
    /// Returns one sentence for each new membership that stays: from version 16 on, a role administers those that it created, and only a
    /// superuser can end that.
    pub async fn leave_roles(&self, roles: &RestoredRoles) -> Result<Vec<String>> {
        const STEP: &str = "taking back rights";
        /// Another restore or drill of this role on the server may need the same memberships.
        const OTHERS: &str = "
            SELECT a.datname::text FROM pg_catalog.pg_stat_activity a
            WHERE a.usename = CURRENT_USER AND a.application_name = $1 AND a.datname <> pg_catalog.current_database() LIMIT 1";
        let session = self.connect().await?;
        if let Some(other) = session.rows(STEP, OTHERS, &[&APPLICATION]).await?.first() {
            let (me, other): (&str, String) = (self.settings().user(), other.get(0));
            let still = |role: &&String| !roles.kept.contains(role);
            let note = |role: &String| {
                format!(
                    "role `{me}` is still a member of `{role}`, because a restore into `{other}` may need it: when that has ended, \
                     `REVOKE \"{role}\" FROM \"{me}\"`"
                )
            };
            let notes = roles.joined.iter().filter(still).map(note).collect();
            session.close().await;
            return Ok(notes);
        }
        for role in roles.joined.iter().filter(|role| !roles.kept.contains(role)) {
            // What stays is named below.
            let _ = session.run(STEP, &format!("REVOKE {} FROM CURRENT_USER", quote_identifier(role))).await;
        }
        let me = self.settings().user();
        let stays = memberships(&session)
            .await?
            .into_iter()
            .filter(|role| !roles.member_of.contains(role) && !roles.kept.contains(role));
        let notes = stays.map(|role| {
            format!("role `{me}`, which restored, is still a member of `{role}`: `REVOKE \"{role}\" FROM \"{me}\"` as a superuser")
        });
        let notes = notes.collect();
        session.close().await;
        Ok(notes)
    }

    /// Gives the roles in `created` their attributes, settings and comments, and every membership that one of them is part of.
    /// Roles that existed before are not changed. Returns one sentence for each refusal.
    ///
    /// Passwords are not restored: a role needs a new one before it can log in with it. Idempotent.
    pub async fn restore_role_attributes(&self, globals: &Globals, created: &[String]) -> Result<Vec<String>> {
        const STEP: &str = "reading the version";
        const MAJOR: &str = "SELECT pg_catalog.current_setting('server_version_num')::int4 / 10000";
        let session = self.connect().await?;
        let major: i32 = session.row(STEP, MAJOR, &[]).await?.get(0);
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
}

/// The roles that the session's role is a direct member of.
async fn memberships(session: &Session) -> Result<Vec<String>> {
    const SQL: &str = "
        SELECT DISTINCT r.rolname::text FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles r ON r.oid = a.roleid
        JOIN pg_catalog.pg_roles m ON m.oid = a.member WHERE m.rolname = CURRENT_USER ORDER BY 1";
    let rows = session.rows("looking at the role", SQL, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The statements that complete a role after CREATE ROLE … NOLOGIN, each with the property's name.
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

#[cfg(test)]
mod tests {
    use super::*;

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
