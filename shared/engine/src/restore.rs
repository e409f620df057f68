//! `restore`: brings a backup back into a database that stays. A drill uses the same steps in a scratch database.

mod definitions;
mod ending;
mod estimate;
mod inputs;
mod plan;
mod plan_findings;
mod proof;
mod request;
mod restored;
mod row_proof;
mod rows;
mod verb;
mod whole;

pub(crate) use inputs::Restore;
pub(crate) use proof::Proofs;

pub use plan::plan_restore;
pub use request::RestoreRequest;
pub use verb::restore;
