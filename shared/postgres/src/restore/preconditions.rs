//! Conditions that a server and a database must meet before a restore.

use lifeboat_model::{Inventory, InventoryObject, ObjectKind};

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::target::RestoreTarget;

impl RestoreTarget {
    /// Fails with [`PostgresError::NotEmpty`] unless there is nothing of a user's in it. Marks of a
    /// restore that has only begun do not count.
    pub async fn require_empty(&self) -> Result<()> {
        const SQL: &str = "
            SELECT what FROM (
                SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS what FROM pg_catalog.pg_class c
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'lifeboat_restore') AND n.nspname !~ '^pg_(toast_)?temp_'
                UNION ALL
                SELECT pg_catalog.format('%I.%I()', n.nspname, p.proname) FROM pg_catalog.pg_proc p
                JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'lifeboat_restore')
                UNION ALL
                SELECT pg_catalog.format('%I.%I', n.nspname, t.typname) FROM pg_catalog.pg_type t
                JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
                WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'lifeboat_restore') AND n.nspname !~ '^pg_(toast_)?temp_'
                UNION ALL
                SELECT 'schema ' || pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_namespace n
                WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'public', 'lifeboat_restore') AND n.nspname !~ '^pg_(toast_)?temp_'
                UNION ALL
                SELECT 'large object ' || m.oid FROM pg_catalog.pg_largeobject_metadata m
            ) AS contents LIMIT 1";
        let session = self.connect().await?;
        let found = session.rows("looking whether the database is empty", SQL, &[]).await?;
        session.close().await;
        match found.first() {
            None => Ok(()),
            Some(row) => {
                Err(PostgresError::NotEmpty { database: self.settings().database().to_owned(), example: row.get(0) })
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

    /// Whether this role can place tables and indexes in all tablespaces of the inventory. An older backup does not say which these are.
    pub async fn has_tablespaces(&self, inventory: &Inventory) -> Result<bool> {
        const SQL: &str = "
            SELECT NOT EXISTS (
                SELECT FROM pg_catalog.unnest($1::text[]) AS wanted (name)
                LEFT JOIN pg_catalog.pg_tablespace t ON t.spcname = wanted.name
                WHERE NOT COALESCE(pg_catalog.has_tablespace_privilege(t.oid, 'CREATE'), false))";
        let Some(surroundings) = &inventory.surroundings else { return Ok(false) };
        let wanted: Vec<&str> = surroundings.named_tablespaces().into_iter().collect();
        let session = self.connect().await?;
        let found = session.row("looking for tablespaces", SQL, &[&wanted]).await?.get(0);
        session.close().await;
        Ok(found)
    }

    /// Fails with [`PostgresError::RowSecurityForced`] if policies would hide rows from this role when it reads them back.
    ///
    /// No policy applies to a superuser or a role with BYPASSRLS. Another role becomes a member of every owner, so only policies
    /// of tables that force row level security on their owner apply to it.
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
        let (role, first) = (self.settings().user().to_owned(), first.identity.clone());
        Err(PostgresError::RowSecurityForced { role, count: forced.len(), first })
    }
}
