//! What is known about a database and its server before a restore writes to it.

use lifeboat_model::{Inventory, Source};

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::locale::create_like;
use crate::restore::target::RestoreTarget;
use crate::schema::archive;

/// SQLSTATE of a connection to a database that does not exist.
const NO_SUCH_DATABASE: &str = "3D000";

/// Databases that a server has beside those of users, for a session that creates another one. A managed server may lack the first.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// A database and its server as a restore finds them.
#[derive(Debug)]
pub struct TargetFacts {
    /// What the database holds.
    pub contents: TargetContents,
    /// The server's major version.
    pub major: u32,
    /// What the backup needs and the server or the role does not have. The restore goes on without it.
    pub missing: Vec<PostgresError>,
    /// Roles of the backup that the server lacks.
    pub roles_missing: Vec<String>,
    /// Whether the role may create them.
    pub may_create_roles: bool,
    /// Whether the role may create databases, which matters where there is none yet.
    pub may_create: bool,
}

/// What a database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetContents {
    /// There is no such database.
    Absent,
    /// Nothing of a user's.
    Nothing,
    /// An unfinished restore of this backup.
    Unfinished(String),
    /// Something: this is one object of it.
    Something(String),
}

impl RestoreTarget {
    /// Looks at the database and its server. `roles_sql` and `inventory` are those of the backup. Writes nothing.
    ///
    /// # Errors
    /// What keeps a session from being opened: [`PostgresError::Unreachable`] and its kin.
    pub async fn facts(&self, roles_sql: &str, inventory: &Inventory) -> Result<TargetFacts> {
        let contents = match self.unfinished_backup().await {
            Ok(Some(backup_id)) => TargetContents::Unfinished(backup_id),
            Ok(None) => match self.require_empty().await {
                Ok(()) => TargetContents::Nothing,
                Err(PostgresError::NotEmpty { example, .. }) => TargetContents::Something(example),
                Err(error) => return Err(error),
            },
            Err(PostgresError::NotEmpty { example, .. }) => TargetContents::Something(example),
            Err(error) if error.sqlstate() == Some(NO_SUCH_DATABASE) => TargetContents::Absent,
            Err(error) => return Err(error),
        };
        let beside = match contents {
            TargetContents::Absent => Some(self.maintenance().await?),
            _ => None,
        };
        let at = beside.as_ref().unwrap_or(self);
        let mut missing = Vec::new();
        for found in [at.require_extensions(inventory).await, at.require_row_access(inventory).await] {
            match found {
                Ok(()) => {}
                Err(error @ (PostgresError::ExtensionsMissing { .. } | PostgresError::RowSecurityForced { .. })) => {
                    missing.push(error)
                }
                Err(error) => return Err(error),
            }
        }
        at.look_at_role(roles_sql, contents, missing).await
    }

    /// The facts, completed by those of the server's version and the role.
    async fn look_at_role(
        &self,
        roles_sql: &str,
        contents: TargetContents,
        missing: Vec<PostgresError>,
    ) -> Result<TargetFacts> {
        const SQL: &str = "
            SELECT pg_catalog.current_setting('server_version_num')::int4 / 10000, r.rolsuper OR r.rolcreatedb,
                   r.rolsuper OR r.rolcreaterole,
                   ARRAY (SELECT name FROM pg_catalog.unnest($1::text[]) AS wanted (name)
                          WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles o WHERE o.rolname = wanted.name))
            FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER";
        let wanted = archive::role_names(roles_sql);
        let session = self.connect().await?;
        let row = session.row("looking at the role", SQL, &[&wanted]).await?;
        session.close().await;
        Ok(TargetFacts {
            contents,
            major: row.get::<_, i32>(0).unsigned_abs(),
            missing,
            roles_missing: row.get(3),
            may_create_roles: row.get(2),
            may_create: row.get(1),
        })
    }

    /// Creates the database with the encoding and locale of the source. Returns how its locale differs, as a sentence.
    ///
    /// # Errors
    /// [`PostgresError::Query`] when the role may not, or when somebody else has created it meanwhile.
    pub async fn create_database(&self, source: &Source) -> Result<Option<String>> {
        let name = self.settings().database();
        let session = self.maintenance().await?.connect().await?;
        let note = create_like(&session, &format!("creating database `{name}`"), name, source).await;
        session.close().await;
        note
    }

    /// A database of the same server that can be connected to.
    async fn maintenance(&self) -> Result<Self> {
        let [first, second] = MAINTENANCE.map(|name| Self::new(self.settings().with_database(name)));
        match first.connect().await {
            Ok(session) => {
                session.close().await;
                Ok(first)
            }
            Err(error) if error.sqlstate().is_some() => second.connect().await.map(|_| second),
            Err(error) => Err(error),
        }
    }
}
