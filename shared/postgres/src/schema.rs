//! The definitions of a database: `pg_dump`'s archive of them, the roles beside it, and the inventory that drills compare.

pub(crate) mod archive;
pub(crate) mod globals;
pub(crate) mod inventory;
pub(crate) mod stderr;
pub(crate) mod tools;
