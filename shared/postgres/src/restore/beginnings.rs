//! What every new database has, and the source may lack: the schema `public` and the language PL/pgSQL. An archive says nothing about them.

use lifeboat_model::{Inventory, ObjectKind};

use crate::error::PostgresResult as Result;
use crate::restore::refusal::Refusals;
use crate::restore::statement::is_word;
use crate::restore::target::RestoreTarget;
use crate::schema::inventory;
use crate::session::identifier::quote_identifier;

impl RestoreTarget {
    /// Drops the schema `public` and the extension `plpgsql` of a new database if the source has none: it was dropped or renamed there. Returns
    /// one sentence for each that the server keeps.
    pub async fn drop_what_the_source_lacks(&self, source: &Inventory) -> Result<Vec<String>> {
        const BEGINNINGS: [(ObjectKind, &str, &str); 2] =
            [(ObjectKind::Schema, "public", "SCHEMA"), (ObjectKind::Extension, "plpgsql", "EXTENSION")];
        let mut refusals = Refusals::default();
        let session = self.connect().await?;
        for (kind, name, sql) in BEGINNINGS {
            if !source.objects.iter().any(|object| object.kind == kind && object.identity == name) {
                // Without CASCADE: something in it would be somebody's.
                let what = format!("the source has no {kind} `{name}`, and it could not be dropped here");
                refusals.attempt(&session, &what, &format!("DROP {sql} IF EXISTS {name}")).await?;
            }
        }
        session.close().await;
        Ok(refusals.notes())
    }

    /// Gives schemas the grants that they lack. The archive has none for a schema that was once `public`: `pg_dump` compares them with those that
    /// the server began with. Returns one sentence for each refusal.
    pub async fn grant_on_schemas(&self, source: &Inventory) -> Result<Vec<String>> {
        let session = self.connect().await?;
        let restored = inventory::read_schemas(&session).await?;
        let mut refusals = Refusals::default();
        for schema in source.objects.iter().filter(|object| object.kind == ObjectKind::Schema) {
            let present = restored.iter().find(|object| object.identity == schema.identity);
            let Some(present) = present.filter(|present| present.definition != schema.definition) else { continue };
            let there = grants(&present.definition);
            for (grantee, privilege, option) in
                grants(&schema.definition).into_iter().filter(|one| !there.contains(one))
            {
                let role = if grantee == "PUBLIC" { grantee.to_owned() } else { quote_identifier(grantee) };
                let option = if option { " WITH GRANT OPTION" } else { "" };
                let sql =
                    format!("GRANT {privilege} ON SCHEMA {} TO {role}{option}", quote_identifier(&schema.identity));
                let what = format!(
                    "the grant of {privilege} on schema `{}` to `{grantee}` could not be restored",
                    schema.identity
                );
                refusals.attempt(&session, &what, &sql).await?;
            }
        }
        session.close().await;
        Ok(refusals.notes())
    }
}

/// The grants in `owner o; grants PUBLIC USAGE, app CREATE grantable`: role, privilege, and whether it may be handed on.
fn grants(definition: &str) -> Vec<(&str, &str, bool)> {
    let list = definition.rsplit_once("grants ").map_or("", |(_, list)| list);
    let one = |text| {
        let (text, option) = match str::strip_suffix(text, " grantable") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (role, privilege) = text.rsplit_once(' ')?;
        is_word(privilege).then_some((role, privilege, option))
    };
    list.split(", ").filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_from_the_words_of_an_inventory() {
        assert_eq!(
            grants("owner grants x; grants PUBLIC USAGE, an app CREATE grantable"),
            [("PUBLIC", "USAGE", false), ("an app", "CREATE", true)]
        );
        assert_eq!(grants("owner x; grants "), []);
    }
}
