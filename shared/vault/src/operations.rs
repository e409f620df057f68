//! What keeps the operation of a repository going: leases, states, incidents, scratch databases, reports, and the checks before a backup.

pub(crate) mod checkup;
pub(crate) mod incidents;
pub(crate) mod leases;
pub(crate) mod protection;
pub(crate) mod reports;
pub(crate) mod scratch;
pub(crate) mod states;
pub(crate) mod stored_keys;
