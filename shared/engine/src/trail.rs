//! Reads, verifies and restores the audit trail.

use jiff::Timestamp;
use lifeboat_model::{BackupId, DatabaseName, Finding, FindingKind, FindingSubject, LedgerEntry, Site};
use lifeboat_vault::{Anchor, ChainReport, LedgerFilter, Repository, VaultError, Walk, manifest_key};

use crate::error::EngineError;
use crate::listing::database_of;
use crate::run::{Run, newest_backup};

/// The newest entries that the filter selects, newest first, at most `limit`, from `site` alone. Verifies nothing.
///
/// # Errors
/// Why the repository or an entry cannot be read.
pub async fn ledger_entries(
    run: &Run,
    site: Site,
    filter: &LedgerFilter,
    limit: usize,
) -> Result<Vec<LedgerEntry>, EngineError> {
    Ok(run.ledger(&repository(run, Some(site)).await?).entries(filter, limit).await?)
}

/// Walks the whole chain, on `site` alone or on both, and compares it with the entries that the newest backup of each database names.
/// Gives each stored entry to `take` after it was checked, oldest first, until `take` stops the walk.
///
/// # Errors
/// The key of the first entry that does not fit; why the chain cannot be read.
pub async fn verify_ledger(
    run: &Run,
    site: Option<Site>,
    take: impl FnMut(&LedgerEntry, &str) -> bool,
) -> Result<ChainReport, EngineError> {
    let repository = repository(run, site).await?;
    let (anchors, unread) = anchors(&repository).await?;
    let walk = Walk { anchors, ..Walk::whole() };
    let mut report = run.ledger(&repository).walk(&walk, take).await?;
    report.findings.extend(unread);
    Ok(report)
}

/// Which trail to restore.
#[derive(Debug, Clone)]
pub struct TrailRequest {
    /// The backup whose manifest proves it.
    pub backup_id: BackupId,
    /// The last entry before this time is the last one that is restored.
    pub until: Timestamp,
    /// The only site that is read.
    pub site: Site,
}

/// Walks the whole trail. Gives `take` every entry up to the one that the backup names, and the later ones that were written before
/// `request.until`. The manifest, which the chunk key authenticates, proves the entries up to the named one, even if every HMAC key is
/// lost. The HMAC keys prove the later ones.
///
/// # Errors
/// [`EngineError::NoTrail`] when the backup names no entry or is younger than `request.until`; as [`verify_ledger`].
pub async fn restore_ledger(
    run: &Run,
    databases: &[DatabaseName],
    request: &TrailRequest,
    mut take: impl FnMut(&LedgerEntry, &str) -> bool,
) -> Result<ChainReport, EngineError> {
    let TrailRequest { backup_id, until, site } = request;
    let repository = repository(run, Some(*site)).await?;
    let database = database_of(&repository, databases, backup_id, *site).await?;
    let manifest = repository.authenticated_manifest(database, backup_id, *site).await?;
    let no_trail = |reason| EngineError::NoTrail { backup_id: backup_id.clone(), reason };
    let anchor = manifest.ledger.ok_or_else(|| no_trail("it names no entry of the ledger"))?;
    if manifest.finished_at > *until {
        return Err(no_trail("it was taken after the date up to which the trail is wanted"));
    }
    let ledger = run.ledger(&repository);
    // The writers' clocks differ, so this is the last entry that claims to be older.
    let filter = LedgerFilter { until: Some(*until), ..LedgerFilter::default() };
    let newest = ledger.entries(&filter, 1).await?.first().map_or(0, |entry| entry.number);
    let last = anchor.number.max(newest);
    let anchors = vec![Anchor { link: anchor, proves: true }];
    let wanted = |entry: &LedgerEntry, text: &str| entry.number > last || take(entry, text);
    // The walk goes to the end, because an entry after the last one may have been altered to make the last one look like another.
    Ok(ledger.walk(&Walk { anchors, ..Walk::whole() }, wanted).await?)
}

/// The entries that the newest backups name, from the manifests of the first site, and the manifests that cannot be read.
async fn anchors(repository: &Repository) -> Result<(Vec<Anchor>, Vec<Finding>), EngineError> {
    let site = repository.sites().names().first().copied().unwrap_or(Site::Primary);
    let (mut anchors, mut unread) = (Vec::new(), Vec::new());
    for database in repository.databases(site).await? {
        let Some(newest) = newest_backup(repository, &database, site).await? else { continue };
        match anchor(repository, &database, &newest, site).await {
            Ok(anchor) => anchors.extend(anchor),
            Err(error) => unread.push(Finding {
                kind: FindingKind::Unreadable,
                site: Some(site),
                subject: FindingSubject::stored(manifest_key(&database, &newest)),
                detail: format!("what it says of the ledger is not known: {error}"),
                healed: false,
            }),
        }
    }
    Ok((anchors, unread))
}

/// The entry that a manifest names. The chunk key proves it, if this process can open that key. Otherwise a published public key checks
/// the manifest, which can contradict the entry but not prove it.
pub(crate) async fn anchor(
    repository: &Repository,
    database: &DatabaseName,
    backup_id: &BackupId,
    site: Site,
) -> Result<Option<Anchor>, VaultError> {
    let (manifest, proves) = match repository.authenticated_manifest(database, backup_id, site).await {
        Ok(manifest) => (manifest, true),
        Err(VaultError::Open { .. } | VaultError::DataKey { .. }) => {
            (repository.manifest(database, backup_id, site).await?, false)
        }
        Err(error) => return Err(error),
    };
    Ok(manifest.ledger.map(|link| Anchor { link, proves }))
}

async fn repository(run: &Run, site: Option<Site>) -> Result<Repository, EngineError> {
    match site {
        Some(site) => run.repository_on(site).await,
        None => run.repository().await.cloned(),
    }
}
