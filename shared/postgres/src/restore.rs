//! Restoring: a database is made, filled in steps, and read back.

mod database_properties;
mod drill_roles;
pub(crate) mod loader;
mod locale;
mod preconditions;
pub(crate) mod proof;
mod refusal;
pub(crate) mod roles;
pub(crate) mod scratch;
pub(crate) mod sections;
mod statement;
pub(crate) mod target;
