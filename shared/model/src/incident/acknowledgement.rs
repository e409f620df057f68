//! Who took an incident on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who acknowledged an incident, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Their reason.
    pub reason: String,
}
