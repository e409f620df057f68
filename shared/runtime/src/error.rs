//! Errors of an invocation, before or in its verb, and their form for Lambda.

use std::fmt;

use lambda_runtime::Diagnostic;
use lifeboat_aws::AwsError;
use lifeboat_engine::EngineError;
use lifeboat_model::DatabaseName;
use lifeboat_postgres::PostgresError;

/// Where a connection was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionOrigin {
    /// In the secret of this database or server.
    Secret(String),
    /// In this option of the command line.
    Option(&'static str),
}

impl fmt::Display for ConnectionOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(name) => write!(f, "the secret of `{name}`"),
            Self::Option(option) => write!(f, "`{option}`"),
        }
    }
}

/// An invocation's failure.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Every missing or invalid environment variable.
    #[error("settings are incomplete: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// The function or command does not accept the input.
    #[error("the input is invalid: {0}")]
    Input(String),
    /// The input must name one of several configured databases, and names none.
    #[error("the input is invalid: {0} databases are configured, and none is named")]
    SeveralDatabases(usize),
    /// No such database is configured.
    #[error("the database `{0}` is not configured")]
    UnknownDatabase(DatabaseName),
    /// A secret could not be fetched.
    #[error("the secret of `{name}` could not be fetched")]
    Secret {
        /// The database or server that the secret belongs to.
        name: String,
        /// The client's error; it never contains the secret's value.
        #[source]
        source: AwsError,
    },
    /// A secret or an option is not a connection.
    #[error("{origin} is not a connection: {source}")]
    Connection {
        /// Where it was given.
        origin: ConnectionOrigin,
        /// The fault, without the value.
        #[source]
        source: PostgresError,
    },
    /// The policy's parameter.
    #[error("the policy parameter `{name}` is unavailable")]
    Policy {
        /// The parameter's name.
        name: String,
        /// The client's error.
        #[source]
        source: AwsError,
    },
    /// AWS does not say whose the credentials are.
    #[error("AWS does not say whose the credentials are")]
    Caller(#[source] AwsError),
    /// The verb failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl RuntimeError {
    /// A hint for a person: one sentence.
    pub fn hint(&self) -> String {
        match self {
            Self::Settings(_) => "set the missing values in the stack's parameters and deploy again".to_owned(),
            Self::Input(_) => "see events/ for an example of each input".to_owned(),
            Self::SeveralDatabases(_) => "name one in `database`: an invocation works on one database".to_owned(),
            Self::UnknownDatabase(_) => {
                "use a name from the stack's parameter `DatabaseNames`, or add this database to it and deploy".to_owned()
            }
            Self::Secret { .. } => {
                "check that the secret exists, that the function's role may read it, and that its network reaches Secrets Manager".to_owned()
            }
            Self::Policy { .. } => {
                "check that the parameter exists and that this role may read it; `lifeboat policy push` must also write it".to_owned()
            }
            Self::Caller(_) => {
                "check the credentials with `aws sts get-caller-identity`; the keys of their account open the repository".to_owned()
            }
            Self::Connection { source, .. } => source.advice().hint.into_owned(),
            Self::Engine(error) => error.hint(),
        }
    }

    /// Whether the verb has announced this failure itself.
    pub(crate) fn is_announced(&self) -> bool {
        matches!(self, Self::Engine(_))
    }

    /// A word for dashboards: Lambda's `errorType`.
    fn name(&self) -> &'static str {
        match self {
            Self::Settings(_) => "Settings",
            Self::Input(_) | Self::SeveralDatabases(_) => "Input",
            Self::UnknownDatabase(_) => "UnknownDatabase",
            Self::Secret { .. } | Self::Connection { .. } => "Secret",
            Self::Policy { .. } => "Policy",
            Self::Caller(_) => "Caller",
            Self::Engine(error) => engine_name(error),
        }
    }

    /// The error and its causes in one line.
    pub fn story(&self) -> String {
        lifeboat_model::story(self)
    }
}

impl From<&RuntimeError> for Diagnostic {
    fn from(error: &RuntimeError) -> Self {
        Self { error_type: error.name().to_owned(), error_message: format!("{}. {}.", error.story(), error.hint()) }
    }
}

/// Several databases that failed alike fail as one of them does.
fn engine_name(error: &EngineError) -> &'static str {
    match error {
        EngineError::Postgres(_) => "Postgres",
        EngineError::Vault(_) => "Vault",
        EngineError::DeadlineNear { .. } => "DeadlineNear",
        EngineError::SomeFailed { failures, .. } => {
            let mut names = failures.iter().map(|(_, error)| engine_name(error));
            let first = names.next().unwrap_or("Engine");
            if names.all(|name| name == first) { first } else { "Engine" }
        }
        _ => "Engine",
    }
}
