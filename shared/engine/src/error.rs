//! Why a verb failed, in words for the person who must act.

use std::sync::Arc;

use lifeboat_model::{Advice, BackupId, DatabaseName, IncidentName, ObjectRefusal, PlanHash, Site};
use lifeboat_notify::SignalError;
use lifeboat_postgres::PostgresError;
use lifeboat_vault::VaultError;

/// Why a verb failed. [`EngineError::hint`] says what to do about it. The repository is as it was before the run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The server or one of its tools.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The repository.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Objects cannot be read, and the policy does not leave them out.
    #[error("{count} object(s) of the database cannot be read, first `{first}`: {reason}")]
    Unreadable {
        /// How many.
        count: usize,
        /// The first by name.
        first: String,
        /// Why it cannot be read.
        reason: String,
    },
    /// A backup stopped itself before the platform ended it.
    #[error("the run stopped shortly before its time limit, after {done} of {total} slices; the next run reuses them")]
    DeadlineNear {
        /// Slices stored.
        done: u64,
        /// Slices planned.
        total: u64,
    },
    /// A run stopped itself in the middle of a step, before the platform ended it.
    #[error("the run stopped after {seconds} s, shortly before its time limit")]
    OutOfTime {
        /// How long it had.
        seconds: u64,
    },
    /// A service did not answer in time.
    #[error("there was no answer within {seconds} s")]
    NoAnswer {
        /// How long it had.
        seconds: u64,
    },
    /// A verification stopped itself before the platform ended it.
    #[error(
        "the verification stopped shortly before its time limit, after {objects} objects; it did not read the others"
    )]
    VerificationUnfinished {
        /// Objects read.
        objects: u64,
    },
    /// The request was not understood, or the connection to the database is unavailable. Nothing began.
    #[error("{source}")]
    NotBegun {
        /// The cause, without the connection string.
        source: Arc<dyn std::error::Error + Send + Sync>,
        /// What an operator can do about it.
        hint: String,
    },
    /// The database has no backup to work on.
    #[error("there is no complete backup of `{database}` on {site}")]
    NoBackup {
        /// The database.
        database: DatabaseName,
        /// The site that was searched.
        site: Site,
    },
    /// No configured database has a backup of this id.
    #[error("there is no backup `{backup_id}` on {site}")]
    UnknownBackup {
        /// The id.
        backup_id: BackupId,
        /// The site that was searched.
        site: Site,
    },
    /// A backup claims to have begun in the future.
    #[error("backup `{backup_id}` on {site} is dated in the future, and counts as absent")]
    Misdated {
        /// The backup.
        backup_id: BackupId,
        /// The site that has it.
        site: Site,
    },
    /// No open incident has this name.
    #[error("there is no open incident `{name}`")]
    NoIncident {
        /// Its name.
        name: IncidentName,
    },
    /// An object cannot be accepted by name.
    #[error("`{object}` cannot be accepted for `{name}`: {refusal}")]
    NotAccepted {
        /// The incident.
        name: IncidentName,
        /// The name of the object.
        object: String,
        /// Why not.
        refusal: ObjectRefusal,
    },
    /// The backup cannot prove the requested part of the audit trail.
    #[error("backup `{backup_id}` cannot prove the audit trail: {reason}")]
    NoTrail {
        /// The backup.
        backup_id: BackupId,
        /// Why not.
        reason: &'static str,
    },
    /// Other backups of databases on the same server had every turn until the run's patience was over.
    #[error(
        "the server had no turn for this backup within {seconds} s: policy allows {turns} backup(s) of a server at a time"
    )]
    ServerBusy {
        /// How many run at a time.
        turns: u32,
        /// How long the run waited.
        seconds: u64,
    },
    /// The server for drills is the server of a database that is backed up.
    #[error(
        "the scratch server `{server}` is the server of `{database}` by its system identifier{}",
        if *.is_certain { " and its start" } else { "" }
    )]
    ScratchIsSource {
        /// Its `host:port`.
        server: String,
        /// The database.
        database: DatabaseName,
        /// Whether it also started when that server did, which a clone made from the same image did not.
        is_certain: bool,
    },
    /// The server for drills may be the server of a database that is backed up, restarted since its newest backup.
    #[error(
        "the scratch server `{server}` has the system identifier of the server of `{database}`, and no backup proves that it is a clone of it"
    )]
    ScratchMayBeSource {
        /// Its `host:port`.
        server: String,
        /// The database.
        database: DatabaseName,
    },
    /// No scratch database of this name is on record.
    #[error("no scratch database `{name}` is on record")]
    NoScratch {
        /// Its name.
        name: String,
    },
    /// A drill that is running uses the scratch database.
    #[error("a drill that is running uses the scratch database `{name}`")]
    ScratchInUse {
        /// Its name.
        name: String,
    },
    /// The site is not configured.
    #[error("no {0} site is configured")]
    NoSite(Site),
    /// A backup's documents contradict each other.
    #[error("backup `{backup_id}` is inconsistent: {what}")]
    Inconsistent {
        /// The backup.
        backup_id: BackupId,
        /// The contradiction.
        what: String,
    },
    /// A finding of the plan keeps a restore from beginning.
    #[error("the restore cannot begin: {what}")]
    CannotRestore {
        /// The finding.
        what: String,
        /// What an operator can do about it.
        hint: String,
    },
    /// The restore that was approved is not the one that would be done now.
    #[error("the plan has changed: `{approved}` was approved, and it is `{now}` now")]
    PlanChanged {
        /// The approved plan.
        approved: PlanHash,
        /// The plan now.
        now: PlanHash,
    },
    /// A file in the work folder could not be used.
    #[error("could not use the work folder `{path}`")]
    WorkFolder {
        /// The folder or file.
        path: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The manifest is on the primary, but could not be written to the off-site.
    #[error("backup `{backup_id}` is complete on the primary, but not yet on the off-site")]
    OffsiteBehind {
        /// The backup.
        backup_id: BackupId,
        /// What the off-site answered.
        #[source]
        source: Arc<VaultError>,
    },
    /// A scheduled request could not be sent to the event bus. It is not made again before the schedule's next run.
    #[error("the {noun} of `{database}` could not be requested")]
    Unrequested {
        /// What was requested.
        noun: &'static str,
        /// The database.
        database: DatabaseName,
        /// What the bus answered.
        #[source]
        source: SignalError,
    },
    /// Some databases failed. The reports of the others are kept.
    #[error("{} of {total} databases failed: {}", failures.len(), stories(failures))]
    SomeFailed {
        /// How many databases were tried.
        total: usize,
        /// Each that failed, and why.
        failures: Vec<(DatabaseName, EngineError)>,
    },
    /// The run succeeded, but its event or alert could not be sent.
    #[error("the run succeeded, but its result could not be announced")]
    Unannounced(#[source] SignalError),
    /// A task of this process panicked or was cancelled.
    #[error("a worker task of this run ended unexpectedly")]
    Worker(#[source] tokio::task::JoinError),
}

impl EngineError {
    /// Whether another run holds the lease.
    pub fn is_lease_held(&self) -> bool {
        matches!(self, Self::Vault(VaultError::LeaseHeld { .. }))
    }

    /// Whether the run took no backup because other backups of the server had their turns.
    pub fn is_server_busy(&self) -> bool {
        matches!(self, Self::ServerBusy { .. })
    }

    /// The error and its causes in one line, for logs and messages.
    pub fn story(&self) -> String {
        lifeboat_model::story(self)
    }

    /// What an operator can do about it: one sentence, without its full stop.
    pub fn hint(&self) -> String {
        self.advice().hint.into_owned()
    }

    /// What to do about it.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Postgres(error) => error.advice(),
            Self::Vault(error) => error.advice(),
            Self::Unrequested { source, .. } | Self::Unannounced(source) => source.advice(),
            Self::SomeFailed { failures, .. } => {
                let advice = failures.iter().map(|(_, error)| error.advice());
                advice.max_by_key(|advice| advice.response).unwrap_or_else(Advice::defect)
            }
            Self::NotBegun { hint, .. } | Self::CannotRestore { hint, .. } => Advice::fail(hint.clone()),
            Self::NoAnswer { .. }
            | Self::DeadlineNear { .. }
            | Self::OffsiteBehind { .. }
            | Self::ServerBusy { .. } => Advice::retry(self.own_hint()),
            Self::Inconsistent { .. } => Advice::page(self.own_hint()),
            Self::Worker(_) => Advice::defect(),
            _ => Advice::fail(self.own_hint()),
        }
    }

    /// The hint of an error that the engine itself found.
    fn own_hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "grant SELECT on it to the backup role, and BYPASSRLS if row level security applies"
            }
            Self::NoAnswer { .. } => "check that the service is running and reachable; the next run tries again",
            Self::DeadlineNear { .. } => {
                "the next run continues from there; if this happens again, raise the stack parameter `MemorySizeMb`, \
                 which also adds CPU, or `Sessions`"
            }
            Self::OutOfTime { .. } => {
                "look in the function's log for the slow step, and raise the stack parameter `MemorySizeMb`, \
                 which also adds CPU"
            }
            Self::VerificationUnfinished { .. } => {
                "raise `verification.rotation_days` in the policy, so that each run reads less, or raise the stack \
                 parameter `MemorySizeMb`, which also adds CPU"
            }
            Self::NoBackup { .. } | Self::UnknownBackup { .. } => {
                "run `lifeboat backups` to list the backups, or take one with `lifeboat backup`"
            }
            Self::Misdated { .. } => {
                "find out who wrote its manifest, and with which clock; new backups are taken beside it"
            }
            Self::ServerBusy { .. } => {
                "raise `backup.per_server` in the policy if the server has enough connections, keep fewer databases on one server, or raise \
                 `freshness.backup_minutes`: a backup waits for half of it; one that a person asked for may have its turn later"
            }
            Self::ScratchIsSource { is_certain: true, .. } => {
                "put the connection of another server in the secret of the stack parameter `ScratchSecretArn`"
            }
            Self::ScratchIsSource { .. } => {
                "put the connection of another server in the secret of the stack parameter `ScratchSecretArn`; clones made \
                 from one image share the identifier: if it is one, set `ScratchIsAClone` (`LIFEBOAT_SCRATCH_IS_A_CLONE=true`)"
            }
            Self::ScratchMayBeSource { .. } => {
                "check that the secret of the stack parameter `ScratchSecretArn` is not the source's, and take a new backup of that \
                 database first: a clone that runs while a backup is taken is known by its start"
            }
            Self::NoScratch { .. } => "run `lifeboat health` to see which scratch databases are left",
            Self::ScratchInUse { .. } => "wait until the drill ends, or ten minutes after it was killed",
            Self::NoIncident { .. } => "run `lifeboat incidents list` to see the open incidents",
            Self::NotAccepted { .. } => {
                "run `lifeboat incidents list` to see the objects of each incident, or acknowledge the incident as a whole"
            }
            Self::NoTrail { .. } => {
                "choose another backup with `lifeboat backups`, or another date, or run `lifeboat ledger export`"
            }
            Self::NoSite(Site::Offsite) => {
                "deploy infra/site.yaml in another region, and give its outputs to the main stack"
            }
            Self::NoSite(Site::Primary) => {
                "set `LIFEBOAT_PRIMARY_BUCKET`, `LIFEBOAT_PRIMARY_REGION` and `LIFEBOAT_PRIMARY_KEY`"
            }
            Self::Inconsistent { .. } => {
                "run `lifeboat verify` on this backup, and restore another one in the meantime"
            }
            Self::PlanChanged { .. } => {
                "make the plan again, with the backup's id in it: a newer backup may have been taken since; then approve its hash"
            }
            Self::WorkFolder { .. } => {
                "check that the function's /tmp is writable and large enough (stack parameter `TmpSizeMb`)"
            }
            Self::OffsiteBehind { .. } => {
                "check the off-site bucket, its region and the function's permissions there; the next backup of this \
                 database copies it"
            }
            _ => "run `lifeboat doctor` to check everything that a backup needs",
        }
    }
}

/// Databases that an error names with their failures; the others are counted.
const NAMED_FAILURES: usize = 3;

fn stories(failures: &[(DatabaseName, EngineError)]) -> String {
    let named = failures.iter().take(NAMED_FAILURES);
    let mut stories: Vec<String> = named.map(|(database, error)| format!("`{database}`: {}", error.story())).collect();
    let more = failures.len().saturating_sub(NAMED_FAILURES);
    stories.extend((more > 0).then(|| format!("and {more} more")));
    stories.join("; ")
}
