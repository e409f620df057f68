//! Reading and proving the audit trail.

use lifeboat_model::{LedgerEntry, Site};
use lifeboat_vault::{ChainReport, Ledger, LedgerFilter};

use crate::error::EngineError;
use crate::lifeboat::Lifeboat;

/// The newest entries that are wanted, newest first, at most `limit`, from `site` alone.
///
/// # Errors
/// What keeps the repository or an entry from being read.
pub async fn ledger_entries(
    lifeboat: &Lifeboat,
    site: Site,
    filter: &LedgerFilter,
    limit: usize,
) -> Result<Vec<LedgerEntry>, EngineError> {
    Ok(ledger(lifeboat, Some(site)).await?.entries(filter, limit).await?)
}

/// Walks the whole chain: on `site` alone, or on the primary, compared with the off-site.
///
/// # Errors
/// The first entry that does not fit, by its key; what keeps the chain from being read.
pub async fn verify_ledger(lifeboat: &Lifeboat, site: Option<Site>) -> Result<ChainReport, EngineError> {
    Ok(ledger(lifeboat, site).await?.verify_chain().await?)
}

/// Gives the entries that are wanted to `take`, exactly as they are stored, oldest first, until it wants no more. The whole chain
/// was walked before, and nothing else is given out than was walked.
///
/// # Errors
/// As [`verify_ledger`].
pub async fn export_ledger(
    lifeboat: &Lifeboat,
    site: Option<Site>,
    filter: &LedgerFilter,
    take: impl FnMut(&str) -> bool,
) -> Result<ChainReport, EngineError> {
    Ok(ledger(lifeboat, site).await?.export(filter, take).await?)
}

async fn ledger(lifeboat: &Lifeboat, site: Option<Site>) -> Result<Ledger, EngineError> {
    let repository = match site {
        Some(site) => lifeboat.repository_on(site).await?,
        None => lifeboat.repository().await?,
    };
    Ok(repository.ledger(&lifeboat.macs))
}
