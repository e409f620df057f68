//! The users' document as its place gives it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One version of the users' document, as its place gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDocument {
    /// The document.
    pub text: String,
    /// Its number among the versions of its place.
    pub version: i64,
    /// When it was put there.
    pub modified_at: Timestamp,
    /// Who put it there, by AWS's word; absent where AWS does not say.
    pub modified_by: Option<String>,
    /// Why, in their words; absent where they did not say.
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
    /// By when it was put there, then by its number: a place that was made anew counts its versions from one.
    pub fn age(&self) -> PolicyAge {
        (self.modified_at, self.version)
    }
}

/// By which versions are ordered.
pub type PolicyAge = (Timestamp, i64);
