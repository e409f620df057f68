//! The database's own properties: settings, grants, limits, comment and owner.

use lifeboat_model::DatabaseProperties;

use crate::error::PostgresResult as Result;
use crate::restore::refusal::Refusals;
use crate::restore::statement::{assignment, is_word};
use crate::restore::target::RestoreTarget;
use crate::schema::globals::read_database;
use crate::session::identifier::{quote_identifier, quote_literal};

impl RestoreTarget {
    /// Gives the database the settings and grants of the source's and, if `whole`, its owner, connection limit and comment.
    /// Returns one sentence for each refusal.
    ///
    /// The last step of a restore: a setting may make every later session read-only.
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

/// The statements that make `present` equal `source`, each with the property's name. The owner comes last, because a role that
/// is no superuser may lose its rights with it.
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
