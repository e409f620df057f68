//! Lists and shows backups: `backups` and `show`.

use std::collections::HashSet;

use lifeboat_model::{BackupId, DatabaseName, ListedBackup, Presence, Site};
use lifeboat_vault::Repository;

use crate::error::EngineError;
use crate::run::Run;

/// The most backups that one listing shows, the newest ones. Each costs one request.
const SHOWN_BACKUPS: usize = 100;

/// The newest complete backups of a database on a site, oldest first. Reads no chunk and needs no key.
pub async fn backups(run: &Run, database: &DatabaseName, site: Site) -> Result<Vec<ListedBackup>, EngineError> {
    let repository = run.repository_on(site).await?;
    let ids = repository.manifests(database, site).await?;
    let other = on_other_site(run, database, site).await;
    let mut listed = Vec::new();
    for id in ids.iter().skip(ids.len().saturating_sub(SHOWN_BACKUPS)) {
        listed.push(read(&repository, database, id, site, &other).await?);
    }
    Ok(listed)
}

/// One backup, searched under each of `databases`.
pub async fn show(
    run: &Run,
    databases: &[DatabaseName],
    id: &BackupId,
    site: Site,
) -> Result<ListedBackup, EngineError> {
    let repository = run.repository_on(site).await?;
    let database = database_of(&repository, databases, id, site).await?;
    let other = on_other_site(run, database, site).await;
    read(&repository, database, id, site, &other).await
}

/// Which of `databases` has this backup.
pub(crate) async fn database_of<'a>(
    repository: &Repository,
    databases: &'a [DatabaseName],
    id: &BackupId,
    site: Site,
) -> Result<&'a DatabaseName, EngineError> {
    for database in databases {
        if repository.manifests(database, site).await?.contains(id) {
            return Ok(database);
        }
    }
    Err(EngineError::UnknownBackup { backup_id: id.clone(), site })
}

/// The backups on the other site: absent when there is no other site, an error when it is unreachable. This site's backups are shown in
/// any case.
type OtherSite = Option<Result<HashSet<BackupId>, ()>>;

async fn on_other_site(run: &Run, database: &DatabaseName, site: Site) -> OtherSite {
    if !run.ports.sites.names().contains(&site.other()) {
        return None;
    }
    let listed = async {
        let repository = run.repository_on(site.other()).await?;
        Ok::<_, EngineError>(repository.manifests(database, site.other()).await?.into_iter().collect())
    };
    Some(listed.await.map_err(|error| {
        tracing::warn!(site = %site.other(), error = error.story(), "the backups on this site cannot be listed");
    }))
}

async fn read(
    repository: &Repository,
    database: &DatabaseName,
    id: &BackupId,
    site: Site,
    other: &OtherSite,
) -> Result<ListedBackup, EngineError> {
    let presence = other.as_ref().map(|listed| match listed {
        Ok(listed) if listed.contains(id) => Presence::Complete,
        Ok(_) => Presence::Behind,
        Err(()) => Presence::Unknown,
    });
    let sites = [(site, Presence::Complete)].into_iter().chain(presence.map(|presence| (site.other(), presence)));
    Ok(ListedBackup { manifest: repository.manifest(database, id, site).await?, sites: sites.collect() })
}
