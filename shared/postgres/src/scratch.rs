//! A server to restore into for a drill: databases made for one run and dropped by it, or by the next when it was killed.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::Source;

use crate::error::{PostgresError, Result};
use crate::identifier::{quote_identifier, quote_literal};
use crate::session::Session;
use crate::settings::ConnectionSettings;
use crate::target::RestoreTarget;

/// What a scratch database's comment begins with; only databases that carry it are ever dropped as leftovers.
const COMMENT: &str = "lifeboat scratch database, created at ";

/// Databases looked at by one search for leftovers; more than that are left for the next run.
const MAX_LEFTOVERS: i64 = 100;

/// The server that drills restore into.
#[derive(Debug, Clone)]
pub struct ScratchServer {
    settings: ConnectionSettings,
}

/// A database made for one run. While this lives, no other run takes the database for a leftover.
#[derive(Debug)]
pub struct ScratchDatabase {
    name: String,
    settings: ConnectionSettings,
    /// Holds the advisory lock that says "in use".
    holder: Session,
}

impl ScratchServer {
    /// The server of these settings; their database is the one that databases are created from, such as `postgres`.
    pub fn new(settings: ConnectionSettings) -> Self {
        Self { settings }
    }

    /// Creates an empty database with the encoding and locale of the source.
    pub async fn create_database(&self, name: &str, source: &Source) -> Result<ScratchDatabase> {
        let holder = Session::connect(&self.settings, "lifeboat scratch").await?;
        let step = format!("creating database `{name}`");
        if !try_claim(&holder, name).await? {
            return Err(PostgresError::UnexpectedAnswer { step, fact: "another run uses this name".to_owned() });
        }
        let create = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            quote_identifier(name),
            quote_literal(&source.encoding),
            quote_literal(&source.collate),
            quote_literal(&source.ctype),
        );
        holder.run(&step, &create).await?;
        let comment = quote_literal(&format!("{COMMENT}{}", Timestamp::now()));
        holder.run(&step, &format!("COMMENT ON DATABASE {} IS {comment}", quote_identifier(name))).await?;
        Ok(ScratchDatabase { name: name.to_owned(), settings: self.settings.with_database(name), holder })
    }

    /// Drops the scratch databases whose name begins with `prefix`, that are older than `older_than` and that no live run uses.
    /// Returns their names.
    pub async fn drop_leftovers(&self, prefix: &str, older_than: SignedDuration) -> Result<Vec<String>> {
        const STEP: &str = "looking for leftover scratch databases";
        const SQL: &str = "
            SELECT d.datname::text, pg_catalog.shobj_description(d.oid, 'pg_database') FROM pg_catalog.pg_database d
            WHERE pg_catalog.starts_with(d.datname::text, $1)
              AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)
            ORDER BY d.datname LIMIT $2";
        let session = Session::connect(&self.settings, "lifeboat scratch").await?;
        let border = Timestamp::now() - older_than;
        let mut dropped = Vec::new();
        for row in session.rows(STEP, SQL, &[&prefix, &MAX_LEFTOVERS]).await? {
            let (name, comment): (String, Option<String>) = (row.get(0), row.get(1));
            let created_at = comment.as_deref().and_then(|c| c.strip_prefix(COMMENT)?.parse::<Timestamp>().ok());
            if created_at.is_none_or(|created_at| created_at > border) || !try_claim(&session, &name).await? {
                continue;
            }
            // Without FORCE: whoever connected in the meantime keeps it.
            match session.run(STEP, &format!("DROP DATABASE IF EXISTS {}", quote_identifier(&name))).await {
                Ok(()) => dropped.push(name),
                Err(error) if error.sqlstate() == Some("55006") => {}
                Err(error) => return Err(error),
            }
        }
        session.close().await;
        Ok(dropped)
    }
}

impl ScratchDatabase {
    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The database as something to restore into.
    pub fn target(&self) -> RestoreTarget {
        RestoreTarget::new(self.settings.clone())
    }

    /// Drops it, and ends whatever is still connected to it.
    pub async fn drop_database(self) -> Result<()> {
        let step = format!("dropping database `{}`", self.name);
        let drop = format!("DROP DATABASE IF EXISTS {}", quote_identifier(&self.name));
        let dropped = match self.holder.run(&step, &format!("{drop} WITH (FORCE)")).await {
            // Not ours to end by force: an autovacuum worker, which a plain DROP ends, or a superuser's session, which is given
            // some seconds to leave.
            Err(error) if error.sqlstate() == Some("42501") => self.holder.run(&step, &drop).await,
            other => other,
        };
        self.holder.close().await;
        dropped
    }

    /// Leaves it on the server and gives up the claim on it.
    pub async fn keep(self) -> ConnectionSettings {
        let comment = format!("COMMENT ON DATABASE {} IS NULL", quote_identifier(&self.name));
        // Without our comment it is nobody's leftover. If that fails, a later run may drop what nobody looked at.
        let _ = self.holder.run("keeping the database", &comment).await;
        self.holder.close().await;
        self.settings
    }
}

/// An advisory lock on the name, in the database of the server's settings, for as long as the session lives.
async fn try_claim(session: &Session, name: &str) -> Result<bool> {
    const SQL: &str =
        "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('lifeboat scratch ' || $1, 0))";
    Ok(session.row("claiming a scratch database", SQL, &[&name]).await?.get(0))
}
