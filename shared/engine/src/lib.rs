//! The verbs of Lifeboat, one file each, told as stories: `backup`, `verify`, `drill`, `doctor`.
//!
//! This crate owns what happens and in which order, what counts as complete, and how an end is told. It must never know
//! S3, KMS, SNS or SQL by name: it speaks to the repository through `lifeboat-vault`, to servers through
//! `lifeboat-postgres`, to the world through `lifeboat-signals`.

mod backup;
mod catalog;
mod deadline;
mod doctor;
mod drill;
mod error;
mod expected;
mod freshness;
mod health;
mod history;
mod incidents;
mod lease;
mod ledger;
mod lifeboat;
mod outcome;
mod policy;
mod progress;
mod refuse;
mod request;
mod status;
mod stopwatch;
mod tally;
mod verify;

pub use backup::{BackupPlan, BackupRequest, backup, plan_backup};
pub use catalog::{backups, show};
pub use deadline::Deadline;
pub use doctor::doctor;
pub use drill::{BackupChoice, DrillRequest, DrillTarget, drill};
pub use error::EngineError;
pub use expected::HealthRequest;
pub use health::{check_health, look_at_health};
pub use incidents::{acknowledge, incidents};
pub use ledger::{TrailRequest, ledger_entries, restore_ledger, verify_ledger};
pub use lifeboat::Lifeboat;
pub use lifeboat_vault::{ChainReport, LedgerFilter};
pub use policy::{Adopted, adopt_policy, policy_in_force};
pub use progress::{Progress, Unwatched};
pub use refuse::{Verb, refuse};
pub use request::request_backups;
pub use status::status;
pub use tally::Tally;
pub use verify::{VerifyRequest, verify};
