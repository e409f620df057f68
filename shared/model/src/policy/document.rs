//! The users' policy document as it is stored in its parameter.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One stored version of the users' policy document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDocument {
    /// The document.
    pub text: String,
    /// Its number among the versions of its place.
    pub version: i64,
    /// When it was put there.
    pub modified_at: Timestamp,
    /// Who put it there, according to AWS; absent if AWS does not name anyone.
    pub modified_by: Option<String>,
    /// Their reason; absent if they gave none.
    pub reason: Option<String>,
}

/// The versions that the place of the users' document holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersions {
    /// The version that is there now.
    pub in_place: PolicyDocument,
    /// All versions that the place still has, the oldest first and that one last; `None` when they cannot be had.
    pub history: Option<Vec<PolicyDocument>>,
}

impl PolicyDocument {
    /// Orders by time, then by number: a parameter that was created again counts its versions from one.
    pub fn age(&self) -> PolicyAge {
        (self.modified_at, self.version)
    }
}

/// The sort key of versions.
pub type PolicyAge = (Timestamp, i64);
