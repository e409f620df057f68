//! Why a verb failed, in words for the person who must act.

use std::sync::Arc;

use lifeboat_model::{Advice, BackupId, DatabaseName, IncidentName, Site};
use lifeboat_notify::SignalError;
use lifeboat_postgres::PostgresError;
use lifeboat_vault::VaultError;

/// A verb's failure. [`EngineError::hint`] says what to do; the repository is as it was before the run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The server or one of its tools.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The repository.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A relation could not be read and no rule allows to leave it out.
    #[error("{count} object(s) of the database cannot be read, first `{first}`: {reason}")]
    Unreadable {
        /// How many.
        count: usize,
        /// The first by name.
        first: String,
        /// What stands in the way.
        reason: String,
    },
    /// The platform would have ended the run; it ended itself.
    #[error("the time limit came near after {done} of {total} slices; what was stored will be reused")]
    DeadlineNear {
        /// Slices stored.
        done: u64,
        /// Slices planned.
        total: u64,
    },
    /// The platform would have ended the run in the middle of a step; it ended itself.
    #[error("the run was not done after {seconds} s, shortly before its time limit")]
    OutOfTime {
        /// How long it had.
        seconds: u64,
    },
    /// An answer that is not worth more waiting.
    #[error("there was no answer within {seconds} s")]
    NoAnswer {
        /// How long it had.
        seconds: u64,
    },
    /// The platform would have ended the verification; it ended itself.
    #[error("the time limit came near after {objects} objects; the others were not read")]
    VerificationUnfinished {
        /// Objects read.
        objects: u64,
    },
    /// The order was not understood, or the database's connection could not be had, so nothing began.
    #[error("{source}")]
    NotBegun {
        /// What stood in the way, without the connection.
        source: Arc<dyn std::error::Error + Send + Sync>,
        /// What a person can do about it.
        hint: String,
    },
    /// There is nothing to work on.
    #[error("there is no complete backup of `{database}` on {site}")]
    NoBackup {
        /// The database.
        database: DatabaseName,
        /// Where was looked.
        site: Site,
    },
    /// No configured database has a backup of this id.
    #[error("there is no backup `{backup_id}` on {site}")]
    UnknownBackup {
        /// The id.
        backup_id: BackupId,
        /// Where was looked.
        site: Site,
    },
    /// Nothing of that name is wrong.
    #[error("there is no open incident `{name}`")]
    NoIncident {
        /// Its name.
        name: IncidentName,
    },
    /// The backup does not vouch for the trail that is wanted.
    #[error("backup `{backup_id}` cannot vouch for the trail: {reason}")]
    NoTrail {
        /// The backup.
        backup_id: BackupId,
        /// Why not.
        reason: &'static str,
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
    /// A file of the work folder.
    #[error("could not use the work folder `{path}`")]
    WorkFolder {
        /// The folder or file.
        path: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The manifest is on the primary, and did not get to the other site.
    #[error("backup `{backup_id}` is complete on the primary and not yet on the off-site")]
    OffsiteBehind {
        /// The backup.
        backup_id: BackupId,
        /// What the off-site answered.
        #[source]
        source: Arc<VaultError>,
    },
    /// A tick's request for a backup did not get onto the bus: nobody will take it before the next tick.
    #[error("the backup of `{database}` could not be requested")]
    Unrequested {
        /// The database.
        database: DatabaseName,
        /// What the bus answered.
        #[source]
        source: SignalError,
    },
    /// Some of several databases failed; the reports of the others were kept.
    #[error("{} of {total} databases failed: {}", failures.len(), stories(failures))]
    SomeFailed {
        /// Databases in all.
        total: usize,
        /// Each that failed, and why.
        failures: Vec<(DatabaseName, EngineError)>,
    },
    /// The run did what it was asked, and could not say so.
    #[error("the run ended well, but could not be announced")]
    Unannounced(#[source] SignalError),
    /// A task of this process died.
    #[error("a worker of this run ended unexpectedly")]
    Worker(#[source] tokio::task::JoinError),
}

impl EngineError {
    /// Whether another run holds the lease.
    pub fn is_lease_held(&self) -> bool {
        matches!(self, Self::Vault(VaultError::LeaseHeld { .. }))
    }

    /// The error and its causes in one line, for logs and messages.
    pub fn story(&self) -> String {
        lifeboat_model::story(self)
    }

    /// What a person can do about it: one sentence, without its full stop.
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
                failures.first().map_or_else(Advice::defect, |(_, error)| error.advice())
            }
            Self::NotBegun { hint, .. } => Advice::fail(hint.clone()),
            Self::NoAnswer { .. } | Self::DeadlineNear { .. } | Self::OffsiteBehind { .. } => {
                Advice::retry(self.own_hint())
            }
            Self::Inconsistent { .. } => Advice::page(self.own_hint()),
            Self::Worker(_) => Advice::defect(),
            _ => Advice::fail(self.own_hint()),
        }
    }

    /// The hint of an error that the engine itself found.
    fn own_hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "grant the backup role SELECT on it and, where row level security applies, BYPASSRLS"
            }
            Self::NoAnswer { .. } => "check that the service is up and can be reached; the next run asks it again",
            Self::DeadlineNear { .. } => {
                "the next run continues from there; if it happens again, raise the function's memory, which raises its \
                 share of processors, or the number of sessions"
            }
            Self::OutOfTime { .. } => {
                "raise the function's memory, which raises its share of processors, and find the slow step in its log"
            }
            Self::VerificationUnfinished { .. } => {
                "raise `verification.rotation_days` in the policy, so that each day reads less, or the function's memory"
            }
            Self::NoBackup { .. } | Self::UnknownBackup { .. } => {
                "run `lifeboat backups` to list the backups, or take one with `lifeboat backup`"
            }
            Self::NoIncident { .. } => "run `lifeboat incidents list` to see which are open",
            Self::NoTrail { .. } => {
                "choose another backup with `lifeboat backups`, or another date, or run `lifeboat ledger export`"
            }
            Self::NoSite(Site::Offsite) => {
                "deploy infra/offsite.yaml in another region, and give its outputs to the main stack"
            }
            Self::NoSite(Site::Primary) => {
                "set `LIFEBOAT_PRIMARY_BUCKET`, `LIFEBOAT_PRIMARY_REGION` and `LIFEBOAT_PRIMARY_KEY`"
            }
            Self::Inconsistent { .. } => "run `lifeboat verify` on it, and restore another backup meanwhile",
            Self::WorkFolder { .. } => "check that the function's /tmp is large enough and can be written",
            Self::OffsiteBehind { .. } => {
                "check the off-site's bucket, its region and the function's rights there; the next backup of this \
                 database copies it"
            }
            _ => "run `lifeboat doctor` to check everything that a backup needs",
        }
    }
}

fn stories(failures: &[(DatabaseName, EngineError)]) -> String {
    let stories: Vec<String> =
        failures.iter().map(|(database, error)| format!("`{database}`: {}", error.story())).collect();
    stories.join("; ")
}
