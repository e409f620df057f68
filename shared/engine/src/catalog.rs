//! Looking at what there is: `backups` and `show`.

use lifeboat_model::{BackupId, DatabaseName, Manifest, Site};

use crate::error::EngineError;
use crate::lifeboat::Lifeboat;

/// Backups that one listing shows at most, the newest ones: each is a document to fetch.
const SHOWN_BACKUPS: usize = 100;

/// The newest complete backups of a database on a site, oldest first. Reads no chunk and needs no key.
pub async fn backups(lifeboat: &Lifeboat, database: &DatabaseName, site: Site) -> Result<Vec<Manifest>, EngineError> {
    let repository = lifeboat.repository_on(site).await?;
    let ids = repository.manifests(database, site).await?;
    let mut manifests = Vec::new();
    for id in ids.iter().skip(ids.len().saturating_sub(SHOWN_BACKUPS)) {
        manifests.push(repository.manifest(database, id, site).await?);
    }
    Ok(manifests)
}

/// One backup, looked for under each of `databases`.
pub async fn show(
    lifeboat: &Lifeboat,
    databases: &[DatabaseName],
    id: &BackupId,
    site: Site,
) -> Result<Manifest, EngineError> {
    let repository = lifeboat.repository_on(site).await?;
    for database in databases {
        if repository.manifests(database, site).await?.contains(id) {
            return Ok(repository.manifest(database, id, site).await?);
        }
    }
    Err(EngineError::UnknownBackup { backup_id: id.clone(), site })
}
