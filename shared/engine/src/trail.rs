//! Reading, proving and restoring the audit trail.

use jiff::Timestamp;
use lifeboat_model::{BackupId, DatabaseName, Finding, FindingKind, FindingSubject, LedgerEntry, Site};
use lifeboat_vault::{Anchor, ChainReport, LedgerFilter, Repository, VaultError, Walk, manifest_key};

use crate::error::EngineError;
use crate::listing::database_of;
use crate::run::{Run, newest_backup};

/// The newest entries that are wanted, newest first, at most `limit`, from `site` alone. Proves nothing.
///
/// # Errors
/// What keeps the repository or an entry from being read.
pub async fn ledger_entries(
    run: &Run,
    site: Site,
    filter: &LedgerFilter,
    limit: usize,
) -> Result<Vec<LedgerEntry>, EngineError> {
    Ok(run.ledger(&repository(run, Some(site)).await?).entries(filter, limit).await?)
}

/// Walks the whole chain, on `site` alone or on both, and holds it against what the newest backup of each database says of it.
/// Gives each entry to `take` as it is stored, oldest first, once it is seen to fit, until `take` wants no more.
///
/// # Errors
/// The first entry that does not fit, by its key; what keeps the chain from being read.
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

/// Which trail is to be brought back.
#[derive(Debug, Clone)]
pub struct TrailRequest {
    /// The backup that vouches for it.
    pub backup_id: BackupId,
    /// Entries are wanted up to the last one before this moment.
    pub until: Timestamp,
    /// The only site that is read.
    pub site: Site,
}

/// Walks the whole trail and gives `take` every entry up to the one the backup names, and those after it up to the last that was
/// written before `request.until`. What the backup vouches for is proved by its manifest, which the chunk key authenticates, also with
/// every HMAC key lost; the rest by those keys.
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
    // By the writers' clocks, which differ: the last one that claims to be older.
    let filter = LedgerFilter { until: Some(*until), ..LedgerFilter::default() };
    let newest = ledger.entries(&filter, 1).await?.first().map_or(0, |entry| entry.number);
    let last = anchor.number.max(newest);
    let anchors = vec![Anchor { link: anchor, proves: true }];
    let wanted = |entry: &LedgerEntry, text: &str| entry.number > last || take(entry, text);
    // To the very end: an entry after the last one may have been altered so that the last one looks like another.
    Ok(ledger.walk(&Walk { anchors, ..Walk::whole() }, wanted).await?)
}

/// What the newest backups say of the trail, by the manifests of the first site there is; and the manifests that cannot be read.
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

/// Proved with the chunk key where it can be opened; else by what the repository publishes, which can contradict and not prove.
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
