//! The verbs of Lifeboat, one folder each: `backup`, `verify`, `restore`, `drill`, `health`.
//!
//! This crate owns what happens in which order, what counts as complete, and how the end of a run is announced. It must never know S3,
//! KMS, SNS or SQL by name. It reaches the repository through `lifeboat-vault`, servers through `lifeboat-postgres`, and people through
//! `lifeboat-notify`.

mod announcement;
mod backup;
mod deadline;
mod doctor;
mod drill;
mod error;
mod health;
mod incidents;
mod lease;
mod listing;
mod policy;
mod pool;
mod ports;
mod progress;
mod refusal;
mod requests;
mod restore;
mod run;
mod scratch;
mod several;
mod status;
mod stopwatch;
mod trail;
mod verify;

pub use backup::{Asked, BackupPlan, BackupRequest, backup, plan_backup};
pub use deadline::Deadline;
pub use doctor::doctor;
pub use drill::{BackupChoice, DrillRequest, drill, drill_in_turn};
pub use error::EngineError;
pub use health::{HealthRequest, check_health, look_at_health};
pub use incidents::{acknowledge, incidents};
pub use lifeboat_vault::{ChainReport, LedgerFilter};
pub use listing::{ListRequest, backups, show, stored_databases};
pub use policy::{Adopted, adopt_policy, policy_in_force};
pub use ports::Ports;
pub use progress::{Progress, Unwatched};
pub use refusal::refuse;
pub use requests::{Requestable, request_again, request_each};
pub use restore::{RestoreRequest, plan_restore, restore};
pub use run::{Order, Run};
pub use scratch::{clean_scratch, clean_scratch_on_request, forget_scratch};
pub use several::Several;
pub use status::status;
pub use trail::{TrailRequest, ledger_entries, restore_ledger, verify_ledger};
pub use verify::{VerifyRequest, verify, verify_due};
