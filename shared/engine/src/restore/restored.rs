//! What a restore did, for the proofs.

use std::collections::BTreeSet;

use lifeboat_model::SetAside;
use lifeboat_postgres::{RelationName, RestoredRoles};

use super::definitions::Definitions;

/// What was restored, for the proofs.
pub(super) struct Restored {
    pub(super) definitions: Definitions,
    /// What became of the roles. The restoring role is a member of some of them.
    pub(super) roles: RestoredRoles,
    /// One sentence for each property of the server, a role or the database that the server refused.
    pub(super) refused: Vec<String>,
    /// What is missing or weaker than on the source.
    pub(super) set_aside: Vec<SetAside>,
    /// Tables whose rows went through the root of their partitions, and may be in any of them.
    pub(super) routed: BTreeSet<RelationName>,
}
