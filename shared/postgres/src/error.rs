//! What can go wrong with a PostgreSQL server and its tools, as facts that carry no row value and no secret.

use std::fmt;
use std::io;

/// Whether it makes sense to try again without a person doing anything first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The cause passes by itself: the next scheduled run may succeed.
    Later,
    /// Somebody has to change something first.
    Never,
}

/// A failure of something said to a PostgreSQL server.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The connection secret cannot be used; `problem` names the field, never its value.
    #[error("the connection settings cannot be used: {problem}")]
    InvalidSettings {
        /// What is wrong.
        problem: String,
    },
    /// No connection could be made.
    #[error("no connection to `{endpoint}`")]
    Unreachable {
        /// `host:port/database`.
        endpoint: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server did not answer within the connect timeout.
    #[error("`{endpoint}` did not answer within {seconds} s")]
    ConnectTimeout {
        /// `host:port/database`.
        endpoint: String,
        /// The limit.
        seconds: u64,
    },
    /// The server refused the role or its password.
    #[error("`{endpoint}` refused role `{user}`")]
    AuthenticationFailed {
        /// `host:port/database`.
        endpoint: String,
        /// The role.
        user: String,
        /// What the server said.
        #[source]
        source: ServerError,
    },
    /// TLS could not be established or the certificate was not accepted.
    #[error("no trusted TLS connection to `{endpoint}`")]
    TlsFailed {
        /// `host:port/database`.
        endpoint: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address is a connection pooler that hands out a server connection per transaction.
    #[error("`{endpoint}` is a connection pooler in transaction mode")]
    PoolerInTransactionMode {
        /// `host:port/database`.
        endpoint: String,
    },
    /// The server is older or newer than what is supported.
    #[error("PostgreSQL {major} is not supported")]
    UnsupportedVersion {
        /// The server's major version.
        major: u32,
    },
    /// `pg_dump` refuses a server newer than itself.
    #[error("`pg_dump` is of major version {tools}, the server of {server}")]
    ToolsTooOld {
        /// The tools' major version.
        tools: u32,
        /// The server's.
        server: u32,
    },
    /// A client program is not there.
    #[error("`{tool}` was not found{}", .directory.as_ref().map(|d| format!(" in `{d}`")).unwrap_or_default())]
    ToolMissing {
        /// Its name.
        tool: &'static str,
        /// Where it was looked for, when one place was named.
        directory: Option<String>,
    },
    /// A client program could not be run, or ended with an error.
    #[error("`{tool}` failed with {status}: {stderr}")]
    ToolFailed {
        /// Its name.
        tool: &'static str,
        /// Its exit status in words.
        status: String,
        /// The end of what it said, without details that can quote rows.
        stderr: String,
    },
    /// A table stayed locked by somebody else.
    #[error("`{relation}` is locked by another session")]
    LockTimeout {
        /// `schema.name`, quoted where needed.
        relation: String,
    },
    /// Somebody waited too long for a table that the snapshot holds.
    #[error("another session waits for `{relation}`; the backup gave way")]
    GaveWay {
        /// `schema.name`, quoted where needed.
        relation: String,
    },
    /// The snapshot held back the server's cleanup for as long as it may.
    #[error("the snapshot was held for {minutes} minutes, and no longer is allowed")]
    SnapshotTooOld {
        /// The limit.
        minutes: u64,
    },
    /// The server to restore on does not have extensions that the backup needs.
    #[error("the server to restore on does not have the extension(s) `{}`", .names.join("`, `"))]
    ExtensionsMissing {
        /// All of them, by name.
        names: Vec<String>,
    },
    /// Policies would hide restored rows from the role that must read them back.
    #[error(
        "role `{role}` has no BYPASSRLS, and row level security is forced on {count} table(s) of the backup, first `{first}`"
    )]
    RowSecurityForced {
        /// The role that restores.
        role: String,
        /// How many tables.
        count: usize,
        /// The first by name.
        first: String,
    },
    /// Tables kept being truncated, rewritten or altered between the snapshot and the locks.
    #[error("`{relation}` was rewritten or altered while the snapshot was taken, {attempts} times")]
    RewrittenDuringSnapshot {
        /// One of them.
        relation: String,
        /// How often a snapshot was tried.
        attempts: u32,
    },
    /// A relation cannot be read by this role.
    #[error("`{relation}` cannot be read: {reason}")]
    Unreadable {
        /// `schema.name`, quoted where needed.
        relation: String,
        /// Why.
        reason: String,
    },
    /// The rows of a relation are left out, and others that are kept refer to them: their foreign key could not be restored.
    #[error("the rows of `{relation}` are left out, and rows of `{by}` refer to them")]
    LeftOutIsReferenced {
        /// What is left out: `schema.name`, quoted where needed.
        relation: String,
        /// What is kept.
        by: String,
    },
    /// A relation is left out, its definition cannot be read either, and something that is kept needs that.
    #[error("the definition of `{relation}` cannot be read, and {by} needs it")]
    DefinitionIsNeeded {
        /// What is left out: `schema.name`, quoted where needed.
        relation: String,
        /// What is kept, as PostgreSQL describes it.
        by: String,
    },
    /// Large objects have grants of their own, which `pg_read_all_data` does not reach.
    #[error("{unreadable} of {all} large objects cannot be read")]
    LargeObjectsUnreadable {
        /// How many.
        unreadable: u64,
        /// Of how many.
        all: u64,
    },
    /// The exported snapshot is no longer there: its first session ended.
    #[error("the snapshot has ended")]
    SnapshotLost,
    /// The connection ended in the middle of something.
    #[error("the server closed the connection while {step}")]
    ServerClosed {
        /// What was being done.
        step: String,
        /// Why, where it is known.
        #[source]
        source: Option<ServerError>,
    },
    /// The server answered something that its protocol or catalog does not promise.
    #[error("unexpected answer while {step}: {fact}")]
    UnexpectedAnswer {
        /// What was being done.
        step: String,
        /// What was unexpected, without values.
        fact: String,
    },
    /// A database to restore into already holds something.
    #[error("database `{database}` is not empty: it holds `{example}`")]
    NotEmpty {
        /// The database.
        database: String,
        /// One object of it.
        example: String,
    },
    /// The server refused a statement.
    #[error("the server refused while {step}")]
    Query {
        /// What was being done.
        step: String,
        /// What the server said.
        #[source]
        source: ServerError,
    },
    /// A local file could not be read or written.
    #[error("`{path}` could not be used")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl PostgresError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::InvalidSettings { .. } => {
                "put a `postgres://` URL or the JSON form of an RDS secret into the database's secret"
            }
            Self::Unreachable { .. } | Self::ConnectTimeout { .. } => {
                "check host and port, the function's subnets and security groups, and that the server is running"
            }
            Self::AuthenticationFailed { .. } => "check user, password and database in the secret, and `pg_hba.conf`",
            Self::TlsFailed { source, .. } if source.to_string().contains("not valid for name") => {
                "connect by a name that the certificate has, or name the weaker `sslmode=verify-ca` in the secret"
            }
            Self::TlsFailed { .. } => {
                "put the server's CA certificate into the secret as `ca_certificate`, or name a weaker `sslmode` there"
            }
            Self::PoolerInTransactionMode { .. } => {
                "use the direct connection or the pooler's session mode (Supabase: port 5432 instead of 6543)"
            }
            Self::UnsupportedVersion { .. } => "supported are PostgreSQL 14 to 18",
            Self::ToolsTooOld { .. } => "install client tools of the server's major version or a newer one",
            Self::ToolMissing { .. } => "install the PostgreSQL client programs (Debian: `postgresql-client`)",
            Self::LockTimeout { .. } => "a migration or maintenance job holds the table; the next run will try again",
            Self::RewrittenDuringSnapshot { .. } => "do not schedule backups while tables are truncated or rewritten",
            Self::GaveWay { .. } => {
                "nothing is lost: the next run reuses what was stored; run migrations outside the hours of backups"
            }
            Self::SnapshotTooOld { .. } => {
                "the next run reuses what was stored; allow more sessions or more memory if every run ends like this"
            }
            Self::ExtensionsMissing { .. } => {
                "install their packages on that server, or name a server that has them; the source's kind is the best"
            }
            Self::RowSecurityForced { .. } => {
                "grant it BYPASSRLS (`ALTER ROLE … BYPASSRLS`), or restore with a superuser"
            }
            Self::Unreadable { .. } => {
                "grant `pg_read_all_data` and BYPASSRLS to the backup role, or leave out its rows by policy (`backup.leave_out`): nothing is left out silently"
            }
            Self::LeftOutIsReferenced { .. } => {
                "leave out the rows of both or of none, in `backup.leave_out` of the policy: a foreign key without them cannot be restored"
            }
            Self::DefinitionIsNeeded { .. } => "grant the backup role SELECT on it: its rows are left out all the same",
            Self::LargeObjectsUnreadable { .. } => {
                "grant the backup role the roles that own them, or `SELECT ON LARGE OBJECT` for each"
            }
            Self::ServerClosed { .. } | Self::SnapshotLost => {
                "look into the server's log: a restart, a failover or a terminated session"
            }
            Self::NotEmpty { .. } => "name an empty database, or drop what is in it",
            Self::Query { source, .. } => source.hint()?,
            Self::ToolFailed { stderr, .. } if stderr.contains("No space left on device") => {
                "the work folder is full: raise the function's ephemeral storage"
            }
            Self::ToolFailed { .. } | Self::UnexpectedAnswer { .. } | Self::File { .. } => return None,
        })
    }

    /// Whether a later run may succeed although nobody changed anything.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. }
            | Self::ConnectTimeout { .. }
            | Self::LockTimeout { .. }
            | Self::GaveWay { .. }
            | Self::SnapshotTooOld { .. }
            | Self::RewrittenDuringSnapshot { .. }
            | Self::SnapshotLost
            | Self::ServerClosed { .. } => Retry::Later,
            Self::Query { source, .. } => source.retry(),
            _ => Retry::Never,
        }
    }

    /// Turns the driver's error into a fact; `step` completes "while …".
    pub(crate) fn query(step: impl Into<String>, error: tokio_postgres::Error) -> Self {
        let step = step.into();
        match ServerError::of(&error) {
            Some(source) if source.ends_the_session() => Self::ServerClosed { step, source: Some(source) },
            Some(source) => Self::Query { step, source },
            None if error.is_closed() || is_io(&error) => Self::ServerClosed { step, source: None },
            None => Self::UnexpectedAnswer { step, fact: error.to_string() },
        }
    }

    /// The SQLSTATE that the server refused with, if it did.
    pub(crate) fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Query { source, .. } => Some(&source.sqlstate),
            _ => None,
        }
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<io::Error>())
}

/// What a server said: its SQLSTATE and, where that cannot quote a row, its primary message. Never DETAIL, HINT or CONTEXT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    sqlstate: String,
    message: Option<String>,
}

/// Classes of SQLSTATE whose primary messages name objects, limits and settings but no values: connection, feature not
/// supported, integrity constraint, transaction state, authorization, catalog, rollback, syntax and access rule,
/// resources, limits, prerequisites, intervention, system. Others (22 data exception, P0 raised by user code) can quote rows.
const CLASSES_WITHOUT_VALUES: [&str; 16] =
    ["08", "0A", "0L", "23", "25", "28", "2B", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"];

impl ServerError {
    pub(crate) fn of(error: &tokio_postgres::Error) -> Option<Self> {
        error.as_db_error().map(|db| Self::new(db.code().code(), db.message()))
    }

    pub(crate) fn new(sqlstate: &str, message: &str) -> Self {
        let safe = sqlstate.get(..2).is_some_and(|class| CLASSES_WITHOUT_VALUES.contains(&class));
        Self { sqlstate: sqlstate.to_owned(), message: safe.then(|| message.to_owned()) }
    }

    /// Five characters, such as `42501`.
    pub fn sqlstate(&self) -> &str {
        &self.sqlstate
    }

    fn class(&self) -> &str {
        self.sqlstate.get(..2).unwrap_or_default()
    }

    /// `57P01` and its kin (administrator, crash, starting up) and the 08 class end the session.
    fn ends_the_session(&self) -> bool {
        self.class() == "08" || matches!(self.sqlstate.as_str(), "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
    }

    fn hint(&self) -> Option<&'static str> {
        match self.sqlstate.as_str() {
            "42501" => Some("grant the missing privilege to the backup role"),
            "53300" => Some("raise `max_connections` or lower the number of sessions per backup"),
            "53200" => Some("raise `max_locks_per_transaction` or the server's memory"),
            "53100" => Some("the server's disk is full"),
            "3D000" => Some("check the database's name in the secret, or create the database"),
            "55P03" => Some("another session holds the lock; the next run will try again"),
            "22021" => Some("a name in a SQL_ASCII database is not UTF-8: rename it"),
            "57014" => Some("somebody or a timeout cancelled the statement"),
            _ => None,
        }
    }

    fn retry(&self) -> Retry {
        let passing = matches!(self.class(), "08" | "40" | "53" | "57" | "58") || self.sqlstate == "55P03";
        if passing { Retry::Later } else { Retry::Never }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message} (SQLSTATE {})", self.sqlstate),
            None => write!(f, "SQLSTATE {}", self.sqlstate),
        }
    }
}

impl std::error::Error for ServerError {}

/// The result of anything said to a server.
pub type Result<T, E = PostgresError> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_can_quote_a_row_is_left_out() {
        let quoted = ServerError::new("22P02", "invalid input syntax for type integer: \"Jane Doe\"");
        assert_eq!(quoted.to_string(), "SQLSTATE 22P02");
        let raised = ServerError::new("P0001", "patient Jane Doe is locked");
        assert_eq!(raised.to_string(), "SQLSTATE P0001");
        let named = ServerError::new("42501", "permission denied for table patient");
        assert_eq!(named.to_string(), "permission denied for table patient (SQLSTATE 42501)");
    }

    #[test]
    fn a_lock_and_a_full_server_are_retried_later_and_a_missing_privilege_is_not() {
        let query = |sqlstate| PostgresError::Query { step: "x".into(), source: ServerError::new(sqlstate, "") };
        assert_eq!(query("55P03").retry(), Retry::Later);
        assert_eq!(query("53300").retry(), Retry::Later);
        assert_eq!(query("42501").retry(), Retry::Never);
        assert!(query("42501").hint().is_some());
    }
}
