//! What has to happen regularly, and is looked for.

use lifeboat_model::{BACKUP, DatabaseName, TEST_RESTORE, VERIFY};

/// What is to be looked at.
#[derive(Debug, Clone)]
pub struct HealthRequest {
    /// Every database that should have backups.
    pub databases: Vec<DatabaseName>,
    /// Whether there is a server for drills.
    pub drills: bool,
}

impl HealthRequest {
    /// What has to happen regularly, as the ledger names it.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &'static str> {
        [BACKUP, VERIFY].into_iter().chain(self.drills.then_some(TEST_RESTORE))
    }
}
