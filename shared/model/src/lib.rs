//! The words of Lifeboat as types, and every document the repository stores.
//!
//! This crate owns names (`BackupId`, `DatabaseName`, `ChunkId`), the stored documents (`Manifest`, `ChunkEntry`,
//! `RepositoryDocument`, `Lease`, `LedgerEntry`, `Finding`, reports) and the events that leave the system. It does no
//! I/O and knows no service, no server and no verb. Every other crate may depend on it; it depends on none of them.

mod act;
mod advice;
mod alert;
mod backoff;
mod checkup;
mod chunk;
mod digest;
mod drill;
mod event;
mod fact;
mod finding;
mod globals;
mod health;
mod history;
mod identity;
mod incident;
mod inventory;
mod lease;
mod ledger;
mod listing;
mod mandate;
mod manifest;
mod meter;
mod name_error;
mod names;
mod phase;
mod plan;
mod policy;
mod repository;
mod restore;
mod rotation;
mod scratch;
mod set_aside;
mod slice;
mod status;
mod usage;
mod verification;

pub use act::{Act, ActProfile};
pub use advice::{Advice, Response, story};
pub use alert::{Alert, AlertKind, AlertRule, AlertState, Channel, Escalation, Severity};
pub use backoff::Backoff;
pub use checkup::{Diagnosis, Verdict};
pub use chunk::{ChunkAddress, ChunkEntry, Origin, StoredChunk, Stream};
pub use digest::{ChunkId, ChunkKey, PublicKey, RowDigest, RowHasher, Sha256};
pub use drill::{DrillReport, TableProof};
pub use event::Event;
pub use fact::{Fact, Facts};
pub use finding::{Finding, FindingKind, FindingSubject};
pub use globals::{DatabaseGrant, DatabaseProperties, Globals, Membership, Role, Setting};
pub use health::{HealthReport, Probe, Wrong};
pub use history::{DatabaseHistory, History, PastRun, RUNS_KEPT};
pub use identity::{BackupId, DatabaseName, EpochNumber, Site};
pub use incident::{
    Accepted, Acknowledgement, Claim, Cleared, DamagedObjects, Incident, IncidentName, IncidentState, IncidentSubject,
    ObjectRefusal, Owed, Part, Sighting,
};
pub use inventory::{Difference, Inventory, InventoryObject, ObjectKind, Surroundings};
pub use lease::Lease;
pub use ledger::{LEDGER_FORMAT, LedgerAct, LedgerEntry, LedgerLink, Outcome};
pub use listing::{BackupPage, ListedBackup, PAGE_BACKUPS, Presence, ShownBackup, UnusableBackup};
pub use mandate::{LONGEST_NAME, LONGEST_REASON, Mandate, SCHEDULE, recordable};
pub use manifest::{
    BackupState, ChunkList, ChunkListPart, CopyFormat, Coverage, MANIFEST_FORMAT, Manifest, RelationEntry,
    RelationKind, RelationStatus, Source, TableData, Totals,
};
pub use meter::Meter;
pub use name_error::NameError;
pub use phase::Phases;
pub use plan::{Plan, PlanHash};
pub use policy::{
    Alerts, BusinessHours, Freshness, LeftOut, POLICY_LIMIT_BYTES, POLICY_VERSION, Policy, PolicyAge, PolicyDifference,
    PolicyDocument, PolicyFault, PolicyVersions, Prices, Retention,
};
pub use repository::{Epoch, EpochCause, REPOSITORY_FORMAT, RepositoryDocument};
pub use restore::{Destination, PlanFinding, PlannedRestore, RestoreEstimate, RestorePlan, RestoreReport, TargetState};
pub use rotation::{READ_IN_ONE_DAY, Rotation};
pub use scratch::{CleanupReport, ScratchEntry, ScratchList};
pub use set_aside::{RestoreOutcome, SetAside};
pub use slice::{CHUNK_BYTES, LONG_CHUNK_BYTES, SLICE_BLOCKS, Slice, slices};
pub use status::{
    BackupsStatus, Component, ComponentsStatus, Costs, DatabaseStatus, LastBackup, ScheduleStatus, SiteStatus,
    Standing, Status,
};
pub use usage::{Cost, Usage};
pub use verification::{ScopeKind, VerificationReport, VerificationScope};
