//! An order that no verb can begin with: what is asked is not understood, or the connection cannot be had.

use std::error::Error;
use std::sync::Arc;

use lifeboat_model::DatabaseName;

use crate::error::EngineError;
use crate::lifeboat::Lifeboat;
use crate::outcome;

/// What was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// A backup, or requests for backups.
    Backup,
    /// A verification.
    Verify,
    /// A drill.
    TestRestore,
}

impl Verb {
    /// The name of its function.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::TestRestore => "test-restore",
        }
    }
}

/// Tells ledger, bus and subscribers that `verb` did not begin, and why: like any other failure of the verb. Nothing else of
/// the repository changes.
///
/// # Errors
/// [`EngineError::Unannounced`] when the event or the alert did not leave.
pub async fn refuse(
    lifeboat: &Lifeboat,
    verb: Verb,
    database: Option<&DatabaseName>,
    source: Arc<dyn Error + Send + Sync>,
    hint: String,
) -> Result<(), EngineError> {
    outcome::of_not_begun(lifeboat, verb, database, &EngineError::NotBegun { source, hint }).await
}
