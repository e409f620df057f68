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
    /// A look at what did not happen.
    Health,
}

impl Verb {
    /// The name of its function.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::TestRestore => "test-restore",
            Self::Health => "health",
        }
    }
}

/// Tells ledger, bus and subscribers that `verb` did not begin, and why: like any other failure of the verb. Nothing else of
/// the repository changes. The incident of a database that `is_known` is its own; of any other name no backup would ever say
/// that it is over, so it is that of orders without one.
///
/// # Errors
/// [`EngineError::Unannounced`] when the event or the alert did not leave.
pub async fn refuse(
    lifeboat: &Lifeboat,
    verb: Verb,
    database: Option<&DatabaseName>,
    is_known: bool,
    source: Arc<dyn Error + Send + Sync>,
    hint: String,
) -> Result<(), EngineError> {
    outcome::of_not_begun(lifeboat, verb, database, is_known, &EngineError::NotBegun { source, hint }).await
}
