//! A server that drills restore into. A run drops its database; if it is killed, the next run does.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::Source;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::drill_roles::{SHARE_ROLES, drop_roles};
use crate::restore::locale::create_like;
use crate::restore::target::RestoreTarget;
use crate::session::Session;
use crate::session::identifier::{quote_identifier, quote_literal};
use crate::session::settings::ConnectionSettings;
use crate::session::system::ServerIdentity;

/// The beginning of a scratch database's comment. Databases with another comment are never dropped as leftovers.
const COMMENT: &str = "lifeboat scratch database, created at ";

/// Databases examined by one search for leftovers, those on record first. The next run examines the others.
const MAX_LEFTOVERS: i64 = 100;

const APPLICATION: &str = "lifeboat scratch";

/// Why a database of a recorded name stays that does not look like a leftover.
const NOT_OURS: &str = "it has neither a drill's comment nor the role of the scratch server as its owner: drop it by hand if it holds restored rows";

const SWEEPING: &str = "looking for leftover scratch databases";

/// The server that drills restore into.
#[derive(Debug, Clone)]
pub struct ScratchServer {
    settings: ConnectionSettings,
}

/// A name on the scratch server that no other run uses. It ends with this value.
#[derive(Debug)]
pub struct ScratchClaim {
    name: String,
    settings: ConnectionSettings,
    /// Holds the advisory lock that says "in use".
    holder: Session,
}

/// A database made for one run. While this lives, no other run takes the database for a leftover.
#[derive(Debug)]
pub struct ScratchDatabase {
    claim: ScratchClaim,
    notes: Vec<String>,
}

/// What a search for leftovers found.
#[derive(Debug, Default)]
pub struct Swept {
    /// Leftovers that it dropped.
    pub dropped: Vec<String>,
    /// Leftovers that it could not drop, each with the reason.
    pub refused: Vec<(String, String)>,
    /// Names that were asked about, and that neither a database nor a run has.
    pub gone: Vec<String>,
}

impl ScratchServer {
    /// The server of these settings; their database is the one that databases are created from, such as `postgres`.
    pub fn new(settings: ConnectionSettings) -> Self {
        Self { settings }
    }

    /// `host:port`, for records and messages.
    pub fn address(&self) -> String {
        self.settings.address()
    }

    /// Which server it is: [`ConnectionSettings::server_identity`].
    pub async fn identity(&self) -> Result<ServerIdentity> {
        self.settings.server_identity().await
    }

    /// Claims a name for [`ScratchClaim::create`]. Fails when another run has it.
    pub async fn claim(&self, name: &str) -> Result<ScratchClaim> {
        let holder = Session::connect(&self.settings, APPLICATION).await?;
        if !try_claim(&holder, name).await? {
            let step = format!("creating database `{name}`");
            return Err(PostgresError::UnexpectedAnswer { step, fact: "another run uses this name".to_owned() });
        }
        let claim = ScratchClaim { name: name.to_owned(), settings: self.settings.with_database(name), holder };
        claim.holder.run("claiming roles", SHARE_ROLES).await?;
        Ok(claim)
    }

    /// Claims the name and creates its database: [`ScratchClaim::create`].
    pub async fn create_database(&self, name: &str, source: &Source) -> Result<ScratchDatabase> {
        self.claim(name).await?.create(source).await
    }

    /// A name for a scratch database: `prefix`, `_` and eight hexadecimal digits of `number`.
    pub fn database_name(prefix: &str, number: u32) -> String {
        format!("{prefix}_{number:08x}")
    }

    /// Drops the database of this name, which the caller's own run created, and ends whatever is still connected to it.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        const WAIT: &str =
            "SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended('lifeboat scratch ' || $1, 0))";
        let session = Session::connect(&self.settings, APPLICATION).await?;
        // The server may not have noticed yet that the session is gone that created it.
        session.rows(&format!("claiming database `{name}`"), WAIT, &[&name]).await?;
        let dropped = force_drop(&session, name).await;
        session.close().await;
        dropped
    }

    /// Drops the scratch databases whose name begins with `prefix`, that are older than `older_than` and that no live run uses. Says which of
    /// the `recorded` names are gone. When no drill runs on the server, it also drops the roles that drills created.
    ///
    /// A run that is killed right after creating its database leaves one without a comment, so its age is unknown. It is dropped
    /// too if this role owns it, its name is one of [`database_name`](Self::database_name), and no run claims it.
    pub async fn sweep(&self, prefix: &str, older_than: SignedDuration, recorded: &[String]) -> Result<Swept> {
        const SQL: &str = "
            SELECT d.datname::text, pg_catalog.shobj_description(d.oid, 'pg_database'),
                   d.datdba = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER)
            FROM pg_catalog.pg_database d
            WHERE pg_catalog.starts_with(d.datname::text, $1)
            ORDER BY d.datname::text = ANY ($3) DESC, d.datname LIMIT $2";
        let session = Session::connect(&self.settings, APPLICATION).await?;
        let border = Timestamp::now() - older_than;
        let mut swept = Swept::default();
        for row in session.rows(SWEEPING, SQL, &[&prefix, &MAX_LEFTOVERS, &recorded]).await? {
            let (name, comment, is_ours): (String, Option<String>, bool) = (row.get(0), row.get(1), row.get(2));
            let is_leftover = match comment {
                Some(comment) => comment
                    .strip_prefix(COMMENT)
                    .and_then(|created_at| created_at.parse::<Timestamp>().ok())
                    .is_some_and(|created_at| created_at <= border),
                None => is_ours && is_generated(&name, prefix),
            };
            if is_leftover && try_claim(&session, &name).await? {
                swept.drop_one(&session, name).await?;
            }
        }
        for name in recorded {
            if swept.names(name) {
                continue;
            }
            // The claim comes first: a run that has the name may be creating its database.
            if !try_claim(&session, name).await? {
                swept.refused.push((name.clone(), "a run still uses it".to_owned()));
            } else if exists(&session, name).await? {
                swept.refused.push((name.clone(), NOT_OURS.to_owned()));
            } else {
                swept.gone.push(name.clone());
            }
        }
        drop_roles(&session).await?;
        session.close().await;
        Ok(swept)
    }
}

impl Swept {
    fn names(&self, name: &str) -> bool {
        self.dropped.iter().any(|one| one == name) || self.refused.iter().any(|(one, _)| one == name)
    }

    /// One leftover that cannot be dropped must not keep the others, or the next drill.
    async fn drop_one(&mut self, session: &Session, name: String) -> Result<()> {
        // Without FORCE, a session that uses the database keeps it. The server itself ends an autovacuum worker.
        match session.run(SWEEPING, &format!("DROP DATABASE IF EXISTS {}", quote_identifier(&name))).await {
            Ok(()) => self.dropped.push(name),
            Err(PostgresError::Query { source, .. }) => self.refused.push((name, source.to_string())),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl ScratchClaim {
    /// Creates the empty database with the encoding and locale of the source. Where the server does not have that locale, it
    /// gets another one that can hold the encoding, and [`ScratchDatabase::notes`] says so.
    pub async fn create(self, source: &Source) -> Result<ScratchDatabase> {
        let Self { name, holder, .. } = &self;
        let step = format!("creating database `{name}`");
        let note = create_like(holder, &step, name, source).await?;
        let comment = quote_literal(&format!("{COMMENT}{}", Timestamp::now()));
        holder.run(&step, &format!("COMMENT ON DATABASE {} IS {comment}", quote_identifier(name))).await?;
        Ok(ScratchDatabase { notes: note.into_iter().collect(), claim: self })
    }
}

impl ScratchDatabase {
    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.claim.name
    }

    /// Differences from the source's database, one sentence each, for the report of a drill.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The database as something to restore into.
    pub fn target(&self) -> RestoreTarget {
        RestoreTarget::new(self.claim.settings.clone())
    }

    /// Drops it, and ends whatever is still connected to it. When no other drill runs on the server, it also drops the roles that drills
    /// created.
    pub async fn drop_database(self) -> Result<()> {
        let ScratchClaim { name, holder, .. } = self.claim;
        let dropped = force_drop(&holder, &name).await;
        if dropped.is_ok()
            && let Err(error) = drop_roles(&holder).await
        {
            tracing::warn!(%error, "the roles that drills created could not be dropped; the next drill drops them");
        }
        holder.close().await;
        dropped
    }
}

async fn force_drop(session: &Session, name: &str) -> Result<()> {
    let step = format!("dropping database `{name}`");
    let drop = format!("DROP DATABASE IF EXISTS {}", quote_identifier(name));
    match session.run(&step, &format!("{drop} WITH (FORCE)")).await {
        // This role may not terminate an autovacuum worker or a superuser's session. A plain DROP ends the worker and waits
        // some seconds for the session.
        Err(error) if error.sqlstate() == Some("42501") => session.run(&step, &drop).await,
        other => other,
    }
}

async fn exists(session: &Session, name: &str) -> Result<bool> {
    const SQL: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_database d WHERE d.datname = $1::text)";
    Ok(session.row(SWEEPING, SQL, &[&name]).await?.get(0))
}

/// Whether this is a name of [`ScratchServer::database_name`].
fn is_generated(name: &str, prefix: &str) -> bool {
    let digits = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// An advisory lock on the name, in the database of the server's settings, for as long as the session lives.
async fn try_claim(session: &Session, name: &str) -> Result<bool> {
    const SQL: &str =
        "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('lifeboat scratch ' || $1, 0))";
    Ok(session.row("claiming a scratch database", SQL, &[&name]).await?.get(0))
}
