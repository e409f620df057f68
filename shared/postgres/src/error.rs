//! Failures of a PostgreSQL server and of its client tools. No error carries a row value or a secret.

mod advice;
pub(crate) mod connection_limit;
pub(crate) mod server_error;

use std::io;

use self::connection_limit::ConnectionLimit;
use self::server_error::ServerError;
use crate::session::identifier::MARKS_SCHEMA;

const UNIQUE_VIOLATION: &str = "23505";

/// A failure of a request to a PostgreSQL server or of a client tool.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The connection secret cannot be used; `problem` names the field, never its value.
    #[error("the connection settings are not usable: {problem}")]
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
    /// The server answers, but a limit on connections is reached.
    #[error("`{endpoint}` accepts no further connection, because {of} has reached its limit")]
    ConnectionLimitReached {
        /// `host:port/database`.
        endpoint: String,
        /// What has the limit.
        of: Box<ConnectionLimit>,
        /// The server's error, unless a client program met it.
        #[source]
        source: Option<ServerError>,
    },
    /// The server refused the role or its password.
    #[error("`{endpoint}` refused role `{user}`")]
    AuthenticationFailed {
        /// `host:port/database`.
        endpoint: String,
        /// The role.
        user: String,
        /// The server's error.
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
    /// A limit on connections is lower than what a backup opens.
    #[error("backups open at least {needed} connections at a time, but {of} allows {most}")]
    TooFewConnections {
        /// How many are open at least, in all backups that may run at a time.
        needed: i64,
        /// What has the limit.
        of: &'static str,
        /// The limit.
        most: i64,
    },
    /// A client program is missing.
    #[error("`{tool}` was not found{}", .directory.as_ref().map(|d| format!(" in `{d}`")).unwrap_or_default())]
    ToolMissing {
        /// Its name.
        tool: &'static str,
        /// The directory that was searched, if one was configured.
        directory: Option<String>,
    },
    /// A client program could not be run, or ended with an error.
    #[error("`{tool}` failed with {status}: {stderr}")]
    ToolFailed {
        /// Its name.
        tool: &'static str,
        /// Its exit status in words.
        status: String,
        /// Its error lines, without details that can quote rows.
        stderr: String,
    },
    /// Another session kept a table locked.
    #[error("`{relation}` is locked by another session")]
    LockTimeout {
        /// `schema.name`, quoted where needed.
        relation: String,
    },
    /// Another session waited too long for a table that the snapshot holds.
    #[error("another session is waiting for `{relation}`, so the backup stopped")]
    GaveWay {
        /// `schema.name`, quoted where needed.
        relation: String,
    },
    /// The snapshot reached its age limit: it holds back the server's cleanup.
    #[error("the snapshot reached its age limit of {minutes} minutes")]
    SnapshotTooOld {
        /// The limit.
        minutes: u64,
    },
    /// The restore server lacks extensions that the backup needs.
    #[error("the restore server lacks the extension(s) `{}`", .names.join("`, `"))]
    ExtensionsMissing {
        /// All of them, by name.
        names: Vec<String>,
    },
    /// Policies would hide restored rows from the role that must read them back.
    #[error(
        "role `{role}` lacks BYPASSRLS, but {count} table(s) of the backup force row level security, such as `{first}`"
    )]
    RowSecurityForced {
        /// The role that restores.
        role: String,
        /// How many tables.
        count: usize,
        /// The first by name.
        first: String,
    },
    /// A relation was truncated, rewritten, altered or dropped between the snapshot and its lock. Another snapshot may succeed at once.
    #[error("`{relation}` was rewritten, altered or dropped while the backup began")]
    RewrittenDuringSnapshot {
        /// `schema.name`, quoted where needed.
        relation: String,
    },
    /// A relation cannot be read by this role.
    #[error("`{relation}` cannot be read: {reason}")]
    Unreadable {
        /// `schema.name`, quoted where needed.
        relation: String,
        /// Why.
        reason: String,
    },
    /// Rows of a relation are left out, but rows that are kept refer to them. The foreign key could not be restored.
    #[error("the rows of `{relation}` are left out, and rows of `{by}` refer to them")]
    LeftOutIsReferenced {
        /// What is left out: `schema.name`, quoted where needed.
        relation: String,
        /// What is kept.
        by: String,
    },
    /// The definition of a relation that is left out cannot be read, but an object that is kept needs it.
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
        /// How many cannot be read.
        unreadable: u64,
        /// How many there are.
        all: u64,
    },
    /// The exported snapshot ended with its first session.
    #[error("the snapshot has ended")]
    SnapshotLost,
    /// The connection ended during a request.
    #[error("the server closed the connection while {step}")]
    ServerClosed {
        /// The step, to complete "while …".
        step: String,
        /// Why, where it is known.
        #[source]
        source: Option<ServerError>,
    },
    /// The server sent an answer that its protocol or catalog does not allow.
    #[error("unexpected answer while {step}: {fact}")]
    UnexpectedAnswer {
        /// The step, to complete "while …".
        step: String,
        /// What was unexpected, without values.
        fact: String,
    },
    /// The database to restore into is not empty.
    #[error("database `{database}` is not empty: it holds `{example}`")]
    NotEmpty {
        /// The database.
        database: String,
        /// One object of it.
        example: String,
    },
    /// The database holds an unfinished restore of another backup.
    #[error("database `{database}` holds an unfinished restore of backup `{backup_id}`")]
    UnfinishedRestore {
        /// The database.
        database: String,
        /// The backup that it holds a part of.
        backup_id: String,
    },
    /// The database holds an unfinished restore whose marks this version or its client programs cannot go on with.
    #[error("database `{database}` holds an unfinished restore of another version ({form})")]
    UnfinishedByAnotherVersion {
        /// The database.
        database: String,
        /// The form of its marks, and the client programs that it began with.
        form: String,
    },
    /// Another process restores into the database at this time.
    #[error("another restore is writing to database `{database}`")]
    RestoreUnderWay {
        /// The database.
        database: String,
    },
    /// An earlier attempt of the same restore has ended a unit of work, after it was killed.
    #[error("an earlier attempt of this restore has ended its work while {step}")]
    DoneBefore {
        /// The step, to complete "while …".
        step: String,
    },
    /// The server refused a statement.
    #[error("the server returned an error while {step}")]
    Query {
        /// The step, to complete "while …".
        step: String,
        /// The server's error.
        #[source]
        source: ServerError,
    },
    /// A local file could not be read or written.
    #[error("file `{path}` could not be read or written")]
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
            Some(_) if is_marked(&error) => Self::DoneBefore { step },
            Some(source) if source.ends_the_session() => Self::ServerClosed { step, source: Some(source) },
            Some(source) => Self::Query { step, source },
            None if error.is_closed() || is_io(&error) => Self::ServerClosed { step, source: None },
            None => Self::UnexpectedAnswer { step, fact: error.to_string() },
        }
    }

    /// Whether the server took the connection and refused what it was sent, which says nothing about the next statement. A full disk or a lost
    /// connection is no refusal.
    pub fn is_a_refusal(&self) -> bool {
        matches!(self, Self::Query { source, .. } if !source.ends_a_restore())
    }

    /// The SQLSTATE that the server refused with, if it did.
    pub(crate) fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Query { source, .. } => Some(source.sqlstate()),
            _ => None,
        }
    }
}

/// Whether the mark of a unit of work is there already.
fn is_marked(error: &tokio_postgres::Error) -> bool {
    error
        .as_db_error()
        .is_some_and(|error| error.code().code() == UNIQUE_VIOLATION && error.schema() == Some(MARKS_SCHEMA))
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<io::Error>())
}

/// The result of a request to a server or of a client tool.
pub type PostgresResult<T, E = PostgresError> = std::result::Result<T, E>;
