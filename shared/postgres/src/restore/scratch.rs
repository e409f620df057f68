//! A server that drills restore into. A run drops its database; if it is killed, the next run does.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::Source;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::locale::{self, Locale};
use crate::restore::target::RestoreTarget;
use crate::session::Session;
use crate::session::identifier::{quote_identifier, quote_literal};
use crate::session::settings::ConnectionSettings;

/// The beginning of a scratch database's comment. Databases with another comment are never dropped as leftovers.
const COMMENT: &str = "lifeboat scratch database, created at ";

/// Databases examined by one search for leftovers. The next run examines the others.
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
    notes: Vec<String>,
}

impl ScratchServer {
    /// The server of these settings; their database is the one that databases are created from, such as `postgres`.
    pub fn new(settings: ConnectionSettings) -> Self {
        Self { settings }
    }

    /// Creates an empty database with the encoding and locale of the source. Where the server does not have that locale, it
    /// gets another one that can hold the encoding, and [`ScratchDatabase::notes`] says so.
    pub async fn create_database(&self, name: &str, source: &Source) -> Result<ScratchDatabase> {
        let holder = Session::connect(&self.settings, "lifeboat scratch").await?;
        let step = format!("creating database `{name}`");
        if !try_claim(&holder, name).await? {
            return Err(PostgresError::UnexpectedAnswer { step, fact: "another run uses this name".to_owned() });
        }
        let note = create_like(&holder, &step, name, source).await?;
        let comment = quote_literal(&format!("{COMMENT}{}", Timestamp::now()));
        holder.run(&step, &format!("COMMENT ON DATABASE {} IS {comment}", quote_identifier(name))).await?;
        let notes = note.into_iter().collect();
        Ok(ScratchDatabase { name: name.to_owned(), settings: self.settings.with_database(name), holder, notes })
    }

    /// A name for [`create_database`](Self::create_database): `prefix`, `_` and eight hexadecimal digits of `number`.
    pub fn database_name(prefix: &str, number: u32) -> String {
        format!("{prefix}_{number:08x}")
    }

    /// Drops the scratch databases whose name begins with `prefix`, that are older than `older_than` and that no live run uses.
    /// Returns their names.
    ///
    /// A run that is killed right after creating its database leaves one without a comment, so its age is unknown. It is dropped
    /// too if this role owns it, its name is one of [`database_name`](Self::database_name), and no run claims it.
    pub async fn drop_leftovers(&self, prefix: &str, older_than: SignedDuration) -> Result<Vec<String>> {
        const STEP: &str = "looking for leftover scratch databases";
        const SQL: &str = "
            SELECT d.datname::text, pg_catalog.shobj_description(d.oid, 'pg_database'),
                   d.datdba = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER)
            FROM pg_catalog.pg_database d
            WHERE pg_catalog.starts_with(d.datname::text, $1)
            ORDER BY d.datname LIMIT $2";
        let session = Session::connect(&self.settings, "lifeboat scratch").await?;
        let border = Timestamp::now() - older_than;
        let mut dropped = Vec::new();
        for row in session.rows(STEP, SQL, &[&prefix, &MAX_LEFTOVERS]).await? {
            let (name, comment, is_ours): (String, Option<String>, bool) = (row.get(0), row.get(1), row.get(2));
            let is_leftover = match comment {
                Some(comment) => comment
                    .strip_prefix(COMMENT)
                    .and_then(|created_at| created_at.parse::<Timestamp>().ok())
                    .is_some_and(|created_at| created_at <= border),
                None => is_ours && is_generated(&name, prefix),
            };
            if !is_leftover || !try_claim(&session, &name).await? {
                continue;
            }
            // Without FORCE, a session that uses the database keeps it. The server itself ends an autovacuum worker.
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

    /// Differences from the source's database, one sentence each, for the report of a drill.
    pub fn notes(&self) -> &[String] {
        &self.notes
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
            // This role may not terminate an autovacuum worker or a superuser's session. A plain DROP ends the worker and waits
            // some seconds for the session.
            Err(error) if error.sqlstate() == Some("42501") => self.holder.run(&step, &drop).await,
            other => other,
        };
        self.holder.close().await;
        dropped
    }
}

/// Whether this is a name of [`ScratchServer::database_name`].
fn is_generated(name: &str, prefix: &str) -> bool {
    let digits = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Creates the database with the first locale that the server has, and returns the note on it.
async fn create_like(session: &Session, step: &str, name: &str, source: &Source) -> Result<Option<String>> {
    const MAJOR: &str = "SELECT pg_catalog.current_setting('server_version_num')::int4 / 10000";
    let major: i32 = session.row(step, MAJOR, &[]).await?.get(0);
    let (name, encoding) = (quote_identifier(name), quote_literal(&source.encoding));
    let mut refused = None;
    for Locale { options, note } in locale::candidates(source, major.unsigned_abs()) {
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING {encoding} {options}");
        match session.run(step, &create).await {
            Ok(()) => return Ok(note),
            Err(error) if error.sqlstate().is_some_and(locale::is_not_available) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| PostgresError::UnexpectedAnswer {
        step: step.to_owned(),
        fact: "there is no locale to try".to_owned(),
    }))
}

/// An advisory lock on the name, in the database of the server's settings, for as long as the session lives.
async fn try_claim(session: &Session, name: &str) -> Result<bool> {
    const SQL: &str =
        "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('lifeboat scratch ' || $1, 0))";
    Ok(session.row("claiming a scratch database", SQL, &[&name]).await?.get(0))
}
