//! Lists and shows backups: `backups` and `show`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::StreamExt as _;
use jiff::Timestamp;
use lifeboat_model::{
    BackupId, BackupPage, DatabaseName, ListedBackup, PAGE_BACKUPS, Presence, ShownBackup, Site, UnusableBackup,
};
use lifeboat_vault::Repository;

use crate::error::EngineError;
use crate::run::Run;

/// Manifests read at the same time: enough to hide the store's latency. Each is held until it is printed.
const READS_AT_ONCE: usize = 16;

/// Which backups to list.
#[derive(Debug, Clone)]
pub struct ListRequest {
    /// The database.
    pub database: DatabaseName,
    /// The site that is read.
    pub site: Site,
    /// Only backups older than this one; absent: the newest ones.
    pub before: Option<BackupId>,
    /// The most backups that are listed.
    pub limit: u32,
}

impl ListRequest {
    /// The newest backups of a database on a site.
    pub fn newest(database: DatabaseName, site: Site) -> Self {
        Self { database, site, before: None, limit: PAGE_BACKUPS }
    }
}

/// The databases that have backups on any site. For somebody who has a repository and no settings.
///
/// # Errors
/// What the first site answered, when none says which it has.
pub async fn stored_databases(run: &Run) -> Result<Vec<DatabaseName>, EngineError> {
    let (mut found, mut refused) = (BTreeSet::new(), None);
    let mut has_answered = false;
    for site in run.ports.sites.names() {
        let asked = async { Ok(run.repository_on(site).await?.databases(site).await?) };
        match asked.await {
            Ok(databases) => {
                has_answered = true;
                found.extend(databases);
            }
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) if !has_answered => Err(error),
        _ => Ok(found.into_iter().collect()),
    }
}

/// A page of the complete backups of a database on a site. Reads no chunk and needs no key. A backup whose manifest cannot be read is listed
/// with the reason.
pub async fn backups(run: &Run, request: &ListRequest) -> Result<BackupPage, EngineError> {
    let ListRequest { database, site, before, .. } = request;
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let (repository, now) = (run.repository_on(*site).await?, Timestamp::now());
    // One more shows whether there are older ones.
    let count = limit.saturating_add(1);
    let mut ids = repository.newest_manifests(database, *site, before.as_ref(), count, now).await?;
    let more = ids.len() > limit;
    ids.drain(..ids.len().saturating_sub(limit));
    let other = match ids.first() {
        Some(oldest) => on_other_site(run, database, *site, oldest).await,
        None => None,
    };
    let reads = ids.iter().map(|id| entry(&repository, database, id, *site, &other, now));
    let backups = futures_util::stream::iter(reads).buffered(READS_AT_ONCE).collect().await;
    Ok(BackupPage { database: database.clone(), backups, more })
}

/// One backup, searched under each of `databases`.
pub async fn show(
    run: &Run,
    databases: &[DatabaseName],
    id: &BackupId,
    site: Site,
) -> Result<ShownBackup, EngineError> {
    let repository = run.repository_on(site).await?;
    let database = database_of(&repository, databases, id, site).await?;
    let other = on_other_site(run, database, site, id).await;
    let manifest = repository.manifest(database, id, site).await?;
    Ok(ShownBackup { manifest, sites: presences(id, site, &other) })
}

/// Which of `databases` has this backup.
pub(crate) async fn database_of<'a>(
    repository: &Repository,
    databases: &'a [DatabaseName],
    id: &BackupId,
    site: Site,
) -> Result<&'a DatabaseName, EngineError> {
    for database in databases {
        if repository.has_manifest(database, id, site).await? {
            return Ok(database);
        }
    }
    Err(EngineError::UnknownBackup { backup_id: id.clone(), site })
}

/// The backups on the other site: absent when there is no other site, an error when it is unreachable. This site's backups are shown in
/// any case.
type OtherSite = Option<Result<HashSet<BackupId>, ()>>;

async fn on_other_site(run: &Run, database: &DatabaseName, site: Site, oldest: &BackupId) -> OtherSite {
    let other = site.other();
    if !run.ports.sites.names().contains(&other) {
        return None;
    }
    let listed = async {
        let repository = run.repository_on(other).await?;
        let listed = repository.manifests_from(database, other, Some(oldest)).await?;
        Ok::<_, EngineError>(listed.into_iter().collect())
    };
    Some(listed.await.map_err(|error| {
        tracing::warn!(site = %other, error = error.story(), "the backups on this site cannot be listed");
    }))
}

fn presences(id: &BackupId, site: Site, other: &OtherSite) -> BTreeMap<Site, Presence> {
    let there = other.as_ref().map(|listed| match listed {
        Ok(listed) if listed.contains(id) => Presence::Complete,
        Ok(_) => Presence::Behind,
        Err(()) => Presence::Unknown,
    });
    [(site, Presence::Complete)].into_iter().chain(there.map(|presence| (site.other(), presence))).collect()
}

async fn entry(
    repository: &Repository,
    database: &DatabaseName,
    id: &BackupId,
    site: Site,
    other: &OtherSite,
    now: Timestamp,
) -> ListedBackup {
    let read = match id.is_misdated(now) {
        true => Err(EngineError::Misdated { backup_id: id.clone(), site }),
        false => repository.manifest(database, id, site).await.map_err(EngineError::from),
    };
    let sites = presences(id, site, other);
    match read {
        Ok(manifest) => ListedBackup::Usable(Box::new(ShownBackup { manifest, sites })),
        Err(error) => ListedBackup::Unusable(UnusableBackup {
            backup_id: id.clone(),
            database: database.clone(),
            unusable: error.story(),
            hint: error.hint(),
            sites,
        }),
    }
}
