//! What can go wrong with a PostgreSQL server and its tools, as facts that carry no row value and no secret.

mod advice;
pub(crate) mod server_error;

use std::io;

use self::server_error::ServerError;

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
            Self::Query { source, .. } => Some(source.sqlstate()),
            _ => None,
        }
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<io::Error>())
}

/// The result of anything said to a server.
pub type Result<T, E = PostgresError> = std::result::Result<T, E>;
