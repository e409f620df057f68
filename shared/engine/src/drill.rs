//! `test-restore`, the drill: restores a backup from one site alone into a database of its own and proves it equal.

mod choice;
mod proof;
mod restore;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{DatabaseName, DrillReport, Manifest, Phases, Site};
use lifeboat_postgres::{ConnectionSettings, RestoreTarget, ScratchDatabase, ScratchServer};

use crate::error::EngineError;
use crate::lifeboat::Lifeboat;
use crate::outcome;
use crate::stopwatch::Stopwatch;

pub use choice::BackupChoice;
use proof::Proofs;

/// Scratch databases are named `lifeboat_drill_…`; nothing else on the server is ever dropped.
const SCRATCH_PREFIX: &str = "lifeboat_drill";

/// What to restore, from where and into what.
#[derive(Debug, Clone)]
pub struct DrillRequest {
    /// The database.
    pub database: DatabaseName,
    /// Which of its backups.
    pub backup: BackupChoice,
    /// The only site that is read.
    pub site: Site,
    /// Where to.
    pub into: DrillTarget,
}

/// Where a drill restores to.
#[derive(Debug, Clone)]
pub enum DrillTarget {
    /// A database made for the drill on this server, and dropped after it.
    Scratch(ConnectionSettings),
    /// This database, which must be empty, and which keeps what was restored.
    Keep(ConnectionSettings),
}

/// Restores and proves, and tells the ledger, the bus and the subscribers how it ended.
///
/// A proof that does not hold is not an error: it is in the report's findings, and `equal` is false. An error means that
/// the backup could not be restored at all.
pub async fn drill(lifeboat: &Lifeboat, request: &DrillRequest) -> Result<DrillReport, EngineError> {
    let result = lifeboat.deadline.bound(Box::pin(restore_and_prove(lifeboat, request))).await;
    let told = outcome::of_drill(lifeboat, request, &result).await;
    result.and_then(|report| told.map(|()| report))
}

async fn restore_and_prove(lifeboat: &Lifeboat, request: &DrillRequest) -> Result<DrillReport, EngineError> {
    let started_at = Timestamp::now();
    let mut stopwatch = Stopwatch::new(&*lifeboat.progress);

    stopwatch.begin("choose", None);
    let tools = lifeboat.tools().await?;
    let repository = lifeboat.repository_on(request.site).await?;
    let backup = choice::choose(&repository, request).await?;
    let manifest = repository.authenticated_manifest(&request.database, &backup, request.site).await?;

    stopwatch.begin("create", None);
    let place = Place::prepare(request, &manifest).await?;
    let way = restore::Way {
        lifeboat,
        repository: &repository,
        site: request.site,
        manifest: &manifest,
        tools: &tools,
        is_kept: matches!(request.into, DrillTarget::Keep(_)),
    };
    let proven = restore_then_prove(&way, &place.target(), &mut stopwatch).await;

    // The scratch database goes, whatever the proofs said; one that cannot be dropped is left to the next drill.
    stopwatch.begin("drop", None);
    let notes = place.notes();
    place.clear_away().await;
    let report = proven?.report(request, &manifest, started_at, notes, stopwatch.phases());
    keep_report(lifeboat, &report).await;
    Ok(report)
}

async fn restore_then_prove(
    way: &restore::Way<'_>,
    target: &RestoreTarget,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<Proofs, EngineError> {
    stopwatch.begin("schema", None);
    let definitions = way.definitions().await?;
    target.require_extensions(&definitions.inventory).await?;
    target.require_row_access(&definitions.inventory).await?;
    let created_roles = target.restore_roles(&definitions.roles).await?;
    way.before_data(target, &definitions).await?;

    stopwatch.begin("data", Some(way.manifest.chunk_list.entries));
    way.rows(target).await?;
    target.set_sequences(&definitions.sequences).await?;
    let mut notes = way.large_object_properties(target).await?;

    stopwatch.begin("indexes", None);
    way.after_data(target, &definitions).await?;
    target.refresh_materialized_views(&way.materialized_views()).await?;
    notes.extend(way.surroundings(target, &definitions, &created_roles).await?);

    stopwatch.begin("prove", Some(way.manifest.totals.relations));
    proof::prove(way, target, &definitions, &created_roles, notes).await
}

/// The database that is restored into.
enum Place {
    Scratch(Box<ScratchDatabase>),
    Kept(RestoreTarget),
}

impl Place {
    async fn prepare(request: &DrillRequest, manifest: &Manifest) -> Result<Self, EngineError> {
        match &request.into {
            DrillTarget::Scratch(settings) => {
                let server = ScratchServer::new(settings.clone());
                // A live drill holds a claim on its database, so any age will do.
                for name in server.drop_leftovers(SCRATCH_PREFIX, SignedDuration::ZERO).await? {
                    tracing::info!(name, "dropped the scratch database of a drill that was killed");
                }
                let name = ScratchServer::database_name(SCRATCH_PREFIX, fastrand::u32(..));
                Ok(Self::Scratch(Box::new(server.create_database(&name, &manifest.source).await?)))
            }
            DrillTarget::Keep(settings) => {
                let target = RestoreTarget::new(settings.clone());
                target.require_empty().await?;
                Ok(Self::Kept(target))
            }
        }
    }

    fn target(&self) -> RestoreTarget {
        match self {
            Self::Scratch(database) => database.target(),
            Self::Kept(target) => target.clone(),
        }
    }

    /// What is different from the source's database without being unequal.
    fn notes(&self) -> Vec<String> {
        match self {
            Self::Scratch(database) => database.notes().to_vec(),
            Self::Kept(_) => Vec::new(),
        }
    }

    async fn clear_away(self) {
        if let Self::Scratch(database) = self
            && let Err(error) = database.drop_database().await
        {
            tracing::warn!(%error, "the scratch database could not be dropped; the next drill drops it");
        }
    }
}

/// The report outlives the log: `drills/<database>/<time>.json`, on every site and not only the one that was read.
///
/// Like a ledger entry that cannot be written, a report that cannot be kept is an error in the log and no failure of the
/// drill: with the primary gone, a drill from the off-site still counts, and its event and alert tell the same.
async fn keep_report(lifeboat: &Lifeboat, report: &DrillReport) {
    let at = report.started_at.strftime("%Y-%m-%dT%H-%M-%S%.3fZ");
    let key = format!("drills/{}/{at}.json", report.database);
    let kept = async { Ok::<_, EngineError>(lifeboat.repository().await?.put_document(&key, report).await?) };
    if let Err(error) = kept.await {
        tracing::error!(key, error = %error, hint = error.hint(), "the report of the drill could not be kept");
    }
}

impl Proofs {
    fn report(
        self,
        request: &DrillRequest,
        manifest: &Manifest,
        started_at: Timestamp,
        notes: Vec<String>,
        seconds: Phases,
    ) -> DrillReport {
        DrillReport {
            database: request.database.clone(),
            backup_id: manifest.backup_id.clone(),
            site: request.site,
            started_at,
            finished_at: Timestamp::now(),
            equal: self.findings.is_empty(),
            rows: self.tables.iter().map(|table| table.rows).sum(),
            tables: self.tables,
            schema_objects: self.schema_objects,
            large_objects: self.large_objects,
            findings: self.findings,
            notes: notes.into_iter().chain(self.notes).collect(),
            not_compared: self.not_compared,
            seconds,
        }
    }
}
