//! What every verb works with: the repository's sites, the keys, the ways out, the tools, the limits.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::SignedDuration;
use lifeboat_model::{BackupId, DatabaseName, Mandate, Policy, Site};
use lifeboat_notify::{Outbox, SignalError};
use lifeboat_postgres::ClientTools;
use lifeboat_seal::DataKeys;
use lifeboat_vault::{Ledger, MacKeys, Repository, Sites};

use crate::deadline::Deadline;
use crate::error::EngineError;
use crate::progress::Progress;
use crate::tally::Tally;

/// Everything a verb needs and does not make itself. One per invocation.
pub struct Lifeboat {
    /// The repository's sites.
    pub sites: Sites,
    /// Opens and makes data keys.
    pub keys: Arc<dyn DataKeys>,
    /// Vouches for what is put on record.
    pub macs: MacKeys,
    /// What the users decide.
    pub policy: Arc<Policy>,
    /// Where events and alerts go.
    pub outbox: Arc<dyn Outbox>,
    /// Where `pg_dump` and its kin are; absent: on the search path.
    pub tools_dir: Option<PathBuf>,
    /// Sessions that copy rows at the same time, at least 1.
    pub sessions: usize,
    /// When the process ends.
    pub deadline: Deadline,
    /// Names the run in logs, leases and the ledger.
    pub run_id: String,
    /// Who asked, and why, for the ledger.
    pub mandate: Mandate,
    /// What the run asks of AWS.
    pub tally: Tally,
    /// Whether a run fails when nobody can be told of it, so that the platform repeats it. Whoever sits at a terminal sees how it ended.
    pub must_tell: bool,
    /// Told where the run is.
    pub progress: Arc<dyn Progress>,
}

impl Lifeboat {
    /// The client tools, checked to be there.
    pub(crate) async fn tools(&self) -> Result<ClientTools, EngineError> {
        Ok(ClientTools::find(self.tools_dir.as_deref()).await?)
    }

    /// A work folder that goes away with the returned value: a warm environment keeps its /tmp.
    pub(crate) fn work_folder(&self) -> Result<tempfile::TempDir, EngineError> {
        tempfile::Builder::new()
            .prefix("lifeboat-")
            .tempdir()
            .map_err(|source| EngineError::WorkFolder { path: std::env::temp_dir().display().to_string(), source })
    }

    /// What it means that a signal did not leave.
    ///
    /// # Errors
    /// [`EngineError::Unannounced`] when people must be told.
    pub(crate) fn untold(&self, source: SignalError) -> Result<(), EngineError> {
        let error = EngineError::Unannounced(source);
        if self.must_tell {
            return Err(error);
        }
        tracing::warn!(error = error.story(), hint = error.hint(), "nobody else was told");
        Ok(())
    }

    /// The repository through both sites.
    pub(crate) async fn repository(&self) -> Result<Repository, EngineError> {
        Ok(Repository::open(self.sites.clone(), Arc::clone(&self.keys)).await?)
    }

    /// The audit trail, whose entries are kept as policy says.
    pub(crate) fn ledger(&self, repository: &Repository) -> Ledger {
        let days = i64::from(self.policy.retention.ledger_days);
        repository.ledger(&self.macs).kept_for(SignedDuration::from_hours(24 * days))
    }

    /// The repository through one site alone, as on the day the other one is gone.
    pub(crate) async fn repository_on(&self, site: Site) -> Result<Repository, EngineError> {
        let store = Some(Arc::clone(self.sites.get(site)?.store()));
        let alone = match site {
            Site::Primary => Sites::new(store, None),
            Site::Offsite => Sites::new(None, store),
        };
        Ok(Repository::open(alone, Arc::clone(&self.keys)).await?)
    }
}

/// The newest complete backup of a database on a site.
pub(crate) async fn newest_backup(
    repository: &Repository,
    database: &DatabaseName,
    site: Site,
) -> Result<Option<BackupId>, EngineError> {
    Ok(repository.manifests(database, site).await?.pop())
}
