//! Why a data key could not be made or recovered.

use std::error::Error;
use std::sync::Arc;

/// What a key service answered. Shared, because several readers may wait for the same question.
pub type DataKeyCause = Arc<dyn Error + Send + Sync + 'static>;

/// Why a data key is not available. `key` names the wrapping key (an ARN, or a name), never its value.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DataKeyError {
    #[error("none of the `{offered}` encrypted data keys could be decrypted, `{attempts}` of them were tried")]
    NoUsableKey {
        offered: usize,
        attempts: usize,
        #[source]
        cause: Option<Box<DataKeyError>>,
    },
    #[error("use of key `{key}` is denied")]
    Denied { key: String, source: DataKeyCause },
    #[error("key `{key}` is disabled, pending deletion or missing")]
    Disabled { key: String, source: DataKeyCause },
    #[error("the key service of `{key}` is not available")]
    Unavailable { key: String, source: DataKeyCause },
    #[error("key `{key}` rejects the encrypted data key: it was altered, or belongs to another context")]
    Rejected { key: String, source: DataKeyCause },
    #[error("data key is `{len}` bytes, expected `32`")]
    WrongLength { len: usize },
    #[error("wrapping key `{key}` cannot be used: {reason}")]
    WrappingKey { key: String, reason: &'static str },
    #[error("no randomness is available to make a data key")]
    Randomness,
}

impl DataKeyError {
    /// Summarizes failed attempts on several entries. The cause is one that may pass by itself, else the first.
    pub fn no_usable_key(offered: usize, attempts: Vec<DataKeyError>) -> Self {
        let count = attempts.len();
        let first = attempts.iter().position(Self::is_retryable).unwrap_or(0);
        let cause = attempts.into_iter().nth(first).map(Box::new);
        Self::NoUsableKey { offered, attempts: count, cause }
    }

    /// Whether a later attempt may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::NoUsableKey { cause, .. } => cause.as_ref().is_some_and(|cause| cause.is_retryable()),
            _ => false,
        }
    }

    /// Whether the key service answered that this caller may not use the key.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Denied { .. } => true,
            Self::NoUsableKey { cause, .. } => cause.as_ref().is_some_and(|cause| cause.is_denied()),
            _ => false,
        }
    }

    /// Whether the key service answered that it did not make the encrypted data key, or not for this context.
    pub fn is_rejected(&self) -> bool {
        match self {
            Self::Rejected { .. } => true,
            Self::NoUsableKey { cause, .. } => cause.as_ref().is_some_and(|cause| cause.is_rejected()),
            _ => false,
        }
    }

    /// What a person can do: one sentence without its full stop.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoUsableKey { cause: Some(cause), .. } => cause.hint(),
            Self::NoUsableKey { cause: None, .. } => {
                "configure one of the keys that the message names: it was sealed under keys that are not configured here"
            }
            Self::Denied { .. } => {
                "only the functions and the break-glass role may open what is stored: invoke the function, or assume the break-glass role; if a \
                 function is denied, update the site's stack; README lists the rights of operators"
            }
            Self::Disabled { .. } => "enable the key, cancel its deletion, or use the key of the other site",
            Self::Unavailable { .. } => "try again; if it persists, check the network path to the key service",
            Self::Rejected { .. } => "use the copy on the other site: this object was altered or replaced by another",
            Self::WrongLength { .. } => "check that the key service is asked for AES-256 data keys",
            Self::WrappingKey { .. } => "correct the configuration of the wrapping key",
            Self::Randomness => "start the program again: the machine's source of randomness failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause() -> DataKeyCause {
        Arc::new(std::io::Error::other("as the service said"))
    }

    #[test]
    fn one_retryable_attempt_makes_the_whole_retryable() {
        let denied = DataKeyError::Denied { key: "near".into(), source: cause() };
        let away = DataKeyError::Unavailable { key: "far".into(), source: cause() };
        assert!(DataKeyError::no_usable_key(2, vec![denied.clone(), away]).is_retryable());
        assert!(!DataKeyError::no_usable_key(2, vec![denied.clone(), denied]).is_retryable());
        assert!(!DataKeyError::no_usable_key(2, vec![]).is_retryable());
    }
}
