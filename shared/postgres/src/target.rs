//! A database to restore into: roles, definitions, sequences, contents that are computed.

use lifeboat_model::{Inventory, InventoryObject, ObjectKind};

use crate::archive;
use crate::error::{PostgresError, Result};
use crate::identifier::{RelationName, quote_identifier};
use crate::loader::Loader;
use crate::proof::Prover;
use crate::session::Session;
use crate::settings::ConnectionSettings;

const APPLICATION: &str = "lifeboat restore";

/// A database that receives a backup. The order: [`PreData`](crate::Section::PreData), rows, sequences, large objects,
/// [`PostData`](crate::Section::PostData), materialized views, [what comes last](Self::restore_last), the database's own properties.
/// So no trigger fires and every foreign key is proved by its creation.
#[derive(Debug, Clone)]
pub struct RestoreTarget {
    settings: ConnectionSettings,
}

impl RestoreTarget {
    /// The database of these settings.
    pub fn new(settings: ConnectionSettings) -> Self {
        Self { settings }
    }

    /// Where it is.
    pub fn settings(&self) -> &ConnectionSettings {
        &self.settings
    }

    /// Fails with [`PostgresError::NotEmpty`] unless there is nothing of a user's in it.
    pub async fn require_empty(&self) -> Result<()> {
        const SQL: &str = "
            SELECT what FROM (
                SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS what FROM pg_catalog.pg_class c
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
                UNION ALL
                SELECT pg_catalog.format('%I.%I()', n.nspname, p.proname) FROM pg_catalog.pg_proc p
                JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
                UNION ALL
                SELECT pg_catalog.format('%I.%I', n.nspname, t.typname) FROM pg_catalog.pg_type t
                JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
                WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
                UNION ALL
                SELECT 'schema ' || pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_namespace n
                WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'public') AND n.nspname !~ '^pg_(toast_)?temp_'
                UNION ALL
                SELECT 'large object ' || m.oid FROM pg_catalog.pg_largeobject_metadata m
            ) AS contents LIMIT 1";
        let session = self.connect().await?;
        let found = session.rows("looking whether the database is empty", SQL, &[]).await?;
        session.close().await;
        match found.first() {
            None => Ok(()),
            Some(row) => {
                Err(PostgresError::NotEmpty { database: self.settings.database().to_owned(), example: row.get(0) })
            }
        }
    }

    /// Fails with [`PostgresError::ExtensionsMissing`], which names all of them, unless the server has every extension of the
    /// inventory to offer, in any version.
    pub async fn require_extensions(&self, inventory: &Inventory) -> Result<()> {
        const SQL: &str = "
            SELECT name FROM pg_catalog.unnest($1::text[]) AS wanted (name)
            WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_available_extensions a WHERE a.name = wanted.name) ORDER BY name";
        let wanted: Vec<&str> = inventory
            .objects
            .iter()
            .filter(|object| object.kind == ObjectKind::Extension)
            .map(|object| object.identity.as_str())
            .collect();
        let session = self.connect().await?;
        let rows = session.rows("looking for extensions", SQL, &[&wanted]).await?;
        session.close().await;
        let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if names.is_empty() { Ok(()) } else { Err(PostgresError::ExtensionsMissing { names }) }
    }

    /// Fails with [`PostgresError::RowSecurityForced`] if policies would hide rows from this role when it reads them back.
    ///
    /// To a superuser and to a role with BYPASSRLS none applies. To others, who become members of every owner, those apply
    /// of tables on which row level security is forced also upon their owner.
    pub async fn require_row_access(&self, inventory: &Inventory) -> Result<()> {
        const SQL: &str =
            "SELECT r.rolsuper OR r.rolbypassrls FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER";
        let has = |object: &InventoryObject, part: &str| object.definition.split("; ").any(|found| found == part);
        let forced: Vec<&InventoryObject> = inventory
            .objects
            .iter()
            .filter(|object| object.kind == ObjectKind::Relation)
            .filter(|object| has(object, "row security enabled") && has(object, "row security forced"))
            .collect();
        let Some(first) = forced.first() else { return Ok(()) };
        let session = self.connect().await?;
        let sees_all: bool = session.row("looking at the role", SQL, &[]).await?.get(0);
        session.close().await;
        if sees_all {
            return Ok(());
        }
        let (role, first) = (self.settings.user().to_owned(), first.identity.clone());
        Err(PostgresError::RowSecurityForced { role, count: forced.len(), first })
    }

    /// Creates the roles of `roles_sql` that the server does not have, without LOGIN, so that owners and grants can be restored.
    /// Attributes and memberships are another step, and a drill needs names alone. Returns the names it created.
    ///
    /// A role that may create roles but is no superuser is made a member of them, and they may create in schema `public`:
    /// PostgreSQL lets it give an object away only to a role that could have created it there itself. For other schemas that
    /// stays a limit of restoring without a superuser.
    pub async fn restore_roles(&self, roles_sql: &str) -> Result<Vec<String>> {
        const STEP: &str = "creating roles";
        const MISSING: &str = "
            SELECT name FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS wanted (name, position)
            WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = wanted.name) ORDER BY position";
        // Not asked for: whether we are a member. From version 16 on the creator of a role is one, but without SET.
        const TO_JOIN: &str = "
            SELECT name FROM pg_catalog.unnest($1::text[]) AS wanted (name), pg_catalog.pg_roles me
            WHERE me.rolname = CURRENT_USER AND NOT me.rolsuper AND me.rolname <> name";
        let wanted = archive::role_names(roles_sql);
        let session = self.connect().await?;
        let missing: Vec<String> =
            session.rows(STEP, MISSING, &[&wanted]).await?.iter().map(|row| row.get(0)).collect();
        for name in &missing {
            match session.run(STEP, &format!("CREATE ROLE {} NOLOGIN", quote_identifier(name))).await {
                // Another drill was faster.
                Err(error) if error.sqlstate() == Some("42710") => {}
                other => other?,
            }
        }
        for row in session.rows(STEP, TO_JOIN, &[&wanted]).await? {
            let name = quote_identifier(&row.get::<_, String>(0));
            // A role that we may not join is a problem only if it owns something; `pg_restore` then names it.
            let _ = session.run(STEP, &format!("GRANT {name} TO CURRENT_USER")).await;
            let _ = session.run(STEP, &format!("GRANT CREATE ON SCHEMA public TO {name}")).await;
        }
        session.close().await;
        Ok(missing)
    }

    /// A session that loads rows and large objects. Several can load at once, large objects one at a time.
    pub async fn loader(&self) -> Result<Loader> {
        Loader::connect(&self.settings, APPLICATION).await
    }

    /// A session that reads back what was restored.
    pub async fn prover(&self) -> Result<Prover> {
        Prover::connect(&self.settings, APPLICATION).await
    }

    /// Sets the sequences: runs the lines of [`SequenceValues::sql`](crate::SequenceValues::sql), of which each must be a `setval`.
    pub async fn set_sequences(&self, sql: &str) -> Result<()> {
        const STEP: &str = "setting the sequences";
        if let Some(line) = sql.lines().position(|line| !is_setval(line)) {
            let fact = format!("line {} is not a `setval`", line + 1);
            return Err(PostgresError::UnexpectedAnswer { step: STEP.to_owned(), fact });
        }
        let session = self.connect().await?;
        session.run(STEP, sql).await?;
        session.close().await;
        Ok(())
    }

    /// Computes these materialized views, each after those it reads from.
    pub async fn refresh_materialized_views(&self, views: &[RelationName]) -> Result<()> {
        // The level of a view is the length of the longest path of views below it; a cycle cannot be.
        const SQL: &str = "
            WITH RECURSIVE reads AS (
                SELECT DISTINCT r.ev_class AS view, d.refobjid AS source FROM pg_catalog.pg_rewrite r
                JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
                JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('v', 'm')
                WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class
            ), below (view, level) AS (
                SELECT c.oid, 0 FROM pg_catalog.pg_class c WHERE c.relkind IN ('v', 'm')
                UNION
                SELECT reads.view, below.level + 1 FROM below JOIN reads ON reads.source = below.view
            )
            SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN below ON below.view = c.oid
            WHERE c.relkind = 'm' GROUP BY c.oid, n.nspname, c.relname ORDER BY pg_catalog.max(below.level), 1, 2";
        let session = self.connect().await?;
        // A materialized view runs as its owner, to whom policies may apply as they did on the source.
        session.run("computing materialized views", "SET row_security = on").await?;
        for row in session.rows("ordering materialized views", SQL, &[]).await? {
            let name = RelationName::new(row.get::<_, String>(0), row.get::<_, String>(1));
            if views.contains(&name) {
                let refresh = format!("REFRESH MATERIALIZED VIEW {}", name.sql());
                session.run(&format!("computing materialized view `{name}`"), &refresh).await?;
            }
        }
        session.close().await;
        Ok(())
    }

    pub(crate) async fn connect(&self) -> Result<Session> {
        Session::connect(&self.settings, APPLICATION).await
    }
}

/// `SELECT pg_catalog.setval('…', 5, true);` and nothing behind it: the text comes out of a repository.
fn is_setval(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("SELECT pg_catalog.setval(") else { return line.is_empty() };
    let Some((literal, arguments)) = rest.strip_suffix(");").and_then(|rest| rest.rsplit_once("', ")) else {
        return false;
    };
    let inner = literal.strip_prefix("E'").or_else(|| literal.strip_prefix('\'')).unwrap_or("'");
    let literal_is_one = !inner.replace("''", "").replace("\\\\", "").contains(['\'', '\\']);
    let Some((value, is_called)) = arguments.split_once(", ") else { return false };
    literal_is_one && value.parse::<i64>().is_ok() && matches!(is_called, "true" | "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_setval_is_run_from_a_sequences_stream() {
        for good in [
            "",
            "SELECT pg_catalog.setval('public.a', 5, true);",
            "SELECT pg_catalog.setval('s.\"it''s, b\"', -1, false);",
        ] {
            assert!(is_setval(good), "{good}");
        }
        for bad in [
            "DROP TABLE x;",
            "SELECT pg_catalog.setval('a', 5, true); DROP TABLE x; SELECT ('b', 5, true);",
            "SELECT pg_catalog.setval('a', (SELECT 1), true);",
            "SELECT pg_catalog.setval('a' || (SELECT 'b'), 5, true);",
        ] {
            assert!(!is_setval(bad), "{bad}");
        }
    }
}
