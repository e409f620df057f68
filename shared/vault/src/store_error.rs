//! What a store can answer instead of doing what was asked.

use std::time::Duration;

use lifeboat_model::Sha256;

/// The cause that a client library gave.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What to do about an error. Retry code asks this and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same call may succeed in a moment.
    Soon,
    /// It will not succeed again by itself; the run fails.
    No,
    /// It will not succeed, and what it says is damage or an intrusion: a person must look now.
    Page,
}

/// Why a store did not do what was asked. Each names the key.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no object of this key.
    #[error("`{key}` does not exist")]
    NotFound { key: String },
    /// A create-only write met an object.
    #[error("`{key}` exists already")]
    AlreadyExists { key: String },
    /// A compare-and-swap met another state than the one it named.
    #[error("`{key}` was changed by somebody else")]
    VersionChanged { key: String },
    /// The bucket itself is not there.
    #[error("the bucket for `{key}` does not exist")]
    NoBucket { key: String },
    /// The store knows us and says no.
    #[error("access to `{key}` was denied")]
    Denied {
        key: String,
        #[source]
        source: Cause,
    },
    /// The store could not be reached, or could not serve.
    #[error("the store did not serve the request for `{key}`")]
    Unavailable {
        key: String,
        /// Whether another try makes sense: not for a broken configuration.
        retryable: bool,
        #[source]
        source: Cause,
    },
    /// No answer in time. Whether a write took effect is not known.
    #[error("no answer for `{key}` within `{after:?}`")]
    TimedOut { key: String, after: Duration },
    /// The bytes are not the ones that were named.
    #[error("the bytes of `{key}` are not those of sha-256 `{expected}`")]
    Corrupt { key: String, expected: Sha256, actual: Option<Sha256> },
    /// The object is longer than the caller is ready to take.
    #[error("`{key}` has `{size_bytes}` bytes, the limit is `{limit_bytes}`")]
    TooLarge { key: String, size_bytes: u64, limit_bytes: u64 },
    /// The store refused the request as malformed or not allowed in its state.
    #[error("the store refused the request for `{key}` with `{code}`")]
    Rejected {
        key: String,
        code: String,
        #[source]
        source: Cause,
    },
}

impl StoreError {
    /// What to do about it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { retryable: true, .. } | Self::TimedOut { .. } | Self::VersionChanged { .. } => {
                Retry::Soon
            }
            Self::Corrupt { .. } => Retry::Page,
            Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::NoBucket { .. }
            | Self::Denied { .. }
            | Self::Unavailable { retryable: false, .. }
            | Self::TooLarge { .. }
            | Self::Rejected { .. } => Retry::No,
        }
    }

    /// One sentence on what a person can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "Run a verification: it names what is missing and heals it from the other site.",
            Self::AlreadyExists { .. } | Self::VersionChanged { .. } => {
                "Another run is writing to this repository; let it end and run again."
            }
            Self::NoBucket { .. } => "Check the bucket's name and region in the function's settings.",
            Self::Denied { .. } => {
                "Check the function's role, the bucket's policy and the policy of the bucket's key; S3 also denies a read of a \
                 missing object to a role that may not list the bucket."
            }
            Self::Unavailable { retryable: true, .. } | Self::TimedOut { .. } => {
                "Check the region's health and, in a VPC, the S3 endpoint and routes; the next run continues where this one ended."
            }
            Self::Unavailable { retryable: false, .. } => {
                "Check the credentials, the region and the endpoint of this site."
            }
            Self::Corrupt { .. } => "Run a verification of this backup: it heals the object from the other site.",
            Self::TooLarge { .. } => "The object was not written by this program, or was replaced; run a verification.",
            Self::Rejected { .. } => {
                "Look up the code in the S3 documentation; the bucket's settings may forbid the request."
            }
        }
    }

    /// Whether the store itself stands in the way, and not what is or is not in it.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::NoBucket { .. }
            | Self::Denied { .. }
            | Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Rejected { .. } => true,
            Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::VersionChanged { .. }
            | Self::Corrupt { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// The key it speaks of.
    pub fn key(&self) -> &str {
        match self {
            Self::NotFound { key }
            | Self::AlreadyExists { key }
            | Self::VersionChanged { key }
            | Self::NoBucket { key }
            | Self::Denied { key, .. }
            | Self::Unavailable { key, .. }
            | Self::TimedOut { key, .. }
            | Self::Corrupt { key, .. }
            | Self::TooLarge { key, .. }
            | Self::Rejected { key, .. } => key,
        }
    }
}
