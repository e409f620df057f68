//! Why a service did not answer as asked. Stores, keys and the outbox have the errors of their ports.

/// A question to Systems Manager, Secrets Manager or STS that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The service refused, or could not be reached.
    #[error(transparent)]
    Service(Box<dyn std::error::Error + Send + Sync>),
    /// The service answered, and left out what was asked for.
    #[error("the answer has no {0}")]
    Absent(&'static str),
    /// A secret that is not text.
    #[error("the secret is binary")]
    Binary,
    /// No answer in time.
    #[error("no answer within {seconds} s")]
    TimedOut {
        /// The time limit.
        seconds: u64,
    },
    /// A listing that does not end.
    #[error("the history of the parameter has more than {limit} pages")]
    TooManyPages {
        /// Pages that are read at most.
        limit: usize,
    },
}

impl AwsError {
    pub(crate) fn service(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Service(error.into())
    }
}
