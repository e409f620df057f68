//! Restoring a backup: what a drill and `restore` have in common.

mod definitions;
mod inputs;
mod proof;
mod row_proof;
mod rows;
mod whole;

pub(crate) use inputs::Restore;
pub(crate) use proof::{Proofs, prove};
pub(crate) use whole::finish;
