//! The plan of a restore: which backup is read, which database is written, what speaks against it, and how long it takes.

use std::time::Duration;

use lifeboat_model::{Manifest, Plan as _, PlannedRestore, RestorePlan, Site, TargetState};
use lifeboat_postgres::{ClientTools, RestoreTarget, TargetContents};
use lifeboat_vault::{Repository, SiteOrder};

use super::estimate::estimate;
use super::inputs::Restore;
use super::plan_findings::{Looked, findings};
use super::request::RestoreRequest;
use crate::error::EngineError;
use crate::run::{Run, newest_backup};

/// A restore that has been planned, with what carries it out.
pub(crate) struct Prepared {
    pub(crate) planned: PlannedRestore,
    pub(crate) repository: Repository,
    /// The sites that are read.
    pub(crate) order: SiteOrder,
    pub(crate) manifest: Manifest,
    pub(crate) tools: ClientTools,
}

/// Says what a restore would do. Reads the backup's documents and definitions, and looks at the target. Writes nothing.
///
/// # Errors
/// [`EngineError::NoBackup`], [`EngineError::UnknownBackup`]; why the repository, its keys or the server cannot be read.
pub async fn plan_restore(run: &Run, request: &RestoreRequest) -> Result<PlannedRestore, EngineError> {
    Ok(Box::pin(run.deadline.bound(Box::pin(prepare(run, request)))).await?.planned)
}

/// Plans a restore, and keeps what its execution needs.
pub(crate) async fn prepare(run: &Run, request: &RestoreRequest) -> Result<Prepared, EngineError> {
    let tools = run.ports.tools().await?;
    let request = &going_on(request).await;
    let Chosen { repository, site, order, manifest, elsewhere } = choose(run, request).await?;
    // The definitions open only with the key: a plan proves that it serves.
    let restore = Restore {
        run,
        repository: &repository,
        order: order.clone(),
        manifest: &manifest,
        tools: &tools,
        is_kept: true,
    };
    let definitions = restore.definitions().await?;
    let facts = RestoreTarget::new(request.to.clone()).facts(definitions.roles(), &definitions.inventory).await?;
    let estimate = estimate(&repository, &manifest, site).await;
    let is_longer = |time: Duration| estimate.seconds.total() > time.as_secs_f64();
    let looked = Looked {
        manifest: &manifest,
        tools: &tools,
        definitions: &definitions,
        facts: &facts,
        elsewhere,
        too_long: run.deadline.remaining().filter(|time| is_longer(*time)).map(|_| estimate.in_words()),
    };
    let (plan, findings) = (plan_of(request, &manifest), findings(request, looked));
    let planned = PlannedRestore {
        hash: plan.hash().map_err(|error| restore.inconsistent(error.to_string()))?,
        plan,
        site,
        target: match facts.contents {
            TargetContents::Absent => TargetState::New,
            TargetContents::Nothing => TargetState::Empty,
            TargetContents::Unfinished(_) => TargetState::Unfinished,
            TargetContents::Something(_) => TargetState::Occupied,
        },
        creates_roles: if facts.may_create_roles { facts.roles_missing } else { Vec::new() },
        findings,
        estimate,
    };
    Ok(Prepared { planned, repository, order, manifest, tools })
}

/// The request, with the backup whose restore is unfinished in the target if it names none: a newer one may have been taken since.
async fn going_on(request: &RestoreRequest) -> RestoreRequest {
    let mut request = request.clone();
    if request.backup.is_none() {
        // What keeps the target from being looked at is reported when its facts are read.
        let unfinished = RestoreTarget::new(request.to.clone()).unfinished_backup().await.ok().flatten();
        request.backup = unfinished.and_then(|backup_id| backup_id.parse().ok());
    }
    request
}

/// The backup, and where it is read.
struct Chosen {
    repository: Repository,
    /// The site that gave the manifest.
    site: Site,
    order: SiteOrder,
    manifest: Manifest,
    /// The site that was asked first, and why it does not give the backup.
    elsewhere: Option<(Site, String)>,
}

/// The backup, on the first site that gives it. The other site is read for what this one does not give, unless one is named.
///
/// # Errors
/// Those of the first site.
async fn choose(run: &Run, request: &RestoreRequest) -> Result<Chosen, EngineError> {
    let mut sites = request.site.map_or_else(|| run.ports.sites.names(), |site| vec![site]);
    let mut refused = None;
    for site in sites.clone() {
        match choose_on(run, request, site).await {
            Ok((repository, manifest)) => {
                sites.retain(|site| repository.sites().names().contains(site));
                sites.sort_by_key(|other| *other != site);
                let order = repository.site_order(&sites)?;
                let elsewhere = refused.map(|(site, error): (Site, EngineError)| (site, error.story()));
                return Ok(Chosen { repository, site, order, manifest, elsewhere });
            }
            Err(error) => {
                tracing::warn!(%site, error = error.story(), "this site does not give the backup");
                refused.get_or_insert((site, error));
            }
        }
    }
    Err(refused.map_or(EngineError::NoSite(Site::Primary), |(_, error)| error))
}

async fn choose_on(run: &Run, request: &RestoreRequest, site: Site) -> Result<(Repository, Manifest), EngineError> {
    let repository = match request.site {
        Some(site) => run.repository_on(site).await?,
        // Two sites that contradict each other are a matter for a verification. Each alone may have the backup.
        None => match run.repository().await {
            Ok(repository) => repository.clone(),
            Err(_) => run.repository_on(site).await?,
        },
    };
    let database = &request.database;
    let backup_id = match &request.backup {
        Some(id) if repository.has_manifest(database, id, site).await? => id.clone(),
        Some(id) => return Err(EngineError::UnknownBackup { backup_id: id.clone(), site }),
        None => newest_backup(&repository, database, site)
            .await?
            .ok_or_else(|| EngineError::NoBackup { database: database.clone(), site })?,
    };
    let manifest = repository.authenticated_manifest(database, &backup_id, site).await?;
    Ok((repository, manifest))
}

fn plan_of(request: &RestoreRequest, manifest: &Manifest) -> RestorePlan {
    RestorePlan {
        database: request.database.clone(),
        backup_id: manifest.backup_id.clone(),
        snapshot_at: manifest.source.snapshot_at,
        site: request.site,
        to: request.destination(),
        tables: manifest.tables().count() as u64,
        rows: manifest.totals.rows,
        large_objects: manifest.large_objects,
        raw_bytes: manifest.totals.raw_bytes,
        left_out: manifest.left_out_by_policy(),
    }
}
