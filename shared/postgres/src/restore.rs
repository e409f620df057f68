//! Restoring: a database is made, filled in steps, and read back.

pub(crate) mod archive_restore;
mod bare_table;
mod beginnings;
mod chunk_rows;
mod database_properties;
mod drill_roles;
mod entry;
mod last_rows;
pub(crate) mod loader;
mod locale;
pub(crate) mod obstacles;
mod outstanding;
mod preconditions;
pub(crate) mod proof;
mod refusal;
pub(crate) mod refused_rows;
mod relaxed;
pub(crate) mod roles;
mod schedule;
pub(crate) mod scratch;
mod script;
pub(crate) mod search_path;
mod set_aside;
mod statement;
pub(crate) mod table_target;
pub(crate) mod target;
pub(crate) mod target_facts;
