//! Why a store did not do what it was asked.

use std::time::Duration;

use lifeboat_model::{Advice, Sha256};

/// The cause that a client library gave.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a store did not do what was asked. Each names the key.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no object of this key.
    #[error("`{key}` does not exist")]
    NotFound { key: String },
    /// A create-only write found an object.
    #[error("`{key}` already exists")]
    AlreadyExists { key: String },
    /// A compare-and-swap found another state than the one it named.
    #[error("`{key}` was changed by another writer")]
    VersionChanged { key: String },
    /// The bucket itself is not there.
    #[error("the bucket for `{key}` does not exist")]
    NoBucket { key: String },
    /// The caller has no right to do it.
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
        /// Whether a retry can help: not with a broken configuration.
        retryable: bool,
        #[source]
        source: Cause,
    },
    /// No answer in time. Whether a write took effect is not known.
    #[error("no answer for `{key}` within `{after:?}`")]
    TimedOut { key: String, after: Duration },
    /// The bytes are not those of the checksum.
    #[error("the bytes of `{key}` do not have the sha-256 `{expected}`")]
    Corrupt { key: String, expected: Sha256, actual: Option<Sha256> },
    /// The object is longer than the caller accepts.
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
    pub fn advice(&self) -> Advice {
        match self {
            Self::NotFound { .. } => {
                Advice::fail("run `lifeboat verify`: it names what is missing and heals it from the other site")
            }
            Self::AlreadyExists { .. } => {
                Advice::fail("another run is writing to this repository: wait until it ends, then run again")
            }
            Self::VersionChanged { .. } => {
                Advice::retry("another run is writing to this repository: wait until it ends, then run again")
            }
            Self::NoBucket { .. } => Advice::fail("check the bucket's name and region in the function's settings"),
            Self::Denied { .. } => Advice::fail(
                "check the function's role, the bucket's policy and the policy of the bucket's key; S3 also denies a read of a \
                 missing object to a role that may not list the bucket",
            ),
            Self::Unavailable { retryable: true, .. } | Self::TimedOut { .. } => Advice::retry(
                "check the region's health and, in a VPC, the S3 endpoint and routes; the next run continues where this one ended",
            ),
            Self::Unavailable { retryable: false, .. } => {
                Advice::fail("check the credentials, the region and the endpoint of this site")
            }
            Self::Corrupt { .. } => {
                Advice::page("run `lifeboat verify` on this backup: it heals the object from the other site")
            }
            Self::TooLarge { .. } => {
                Advice::fail("Lifeboat did not write this object, or it was replaced: run `lifeboat verify`")
            }
            Self::Rejected { .. } => {
                Advice::fail("look up the code in the S3 documentation; the bucket's settings may forbid the request")
            }
        }
    }

    /// Whether the store itself fails, whatever it holds.
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

    /// Whether the store served, and what it holds under the key is not what was written.
    pub(crate) fn is_about_the_object(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Corrupt { .. } | Self::TooLarge { .. })
    }

    /// Whether another writer of the same key was faster.
    pub(crate) fn is_lost_race(&self) -> bool {
        matches!(self, Self::AlreadyExists { .. } | Self::VersionChanged { .. })
    }

    /// The key of the object.
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
