//! The last drill from each site that proved a backup. Every function can record a drill in the ledger. Its report can be created only by the
//! function that drills, so the report is what counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use jiff::Timestamp;
use lifeboat_model::{DatabaseName, Site};
use lifeboat_vault::Repository;

use super::sites::{SITE_WITHIN, SiteView};
use crate::deadline::within;
use crate::error::EngineError;

/// Reports that are read on a site, the newest ones. Fewer are enough unless the drills of a site fail.
const READ: usize = 100;

/// Reports read at the same time: one drill of each site, mostly.
const READ_AT_ONCE: usize = 4;

/// When a drill from each site last proved a backup.
pub(super) type Proofs = BTreeMap<Site, Timestamp>;

/// The last drill from each of the sites that proved a backup of `database`, of those that began at `since` or later. Each site has the
/// reports of all drills, so one that answers is enough.
///
/// # Errors
/// Why the reports on the first site cannot be read, when those of no site can.
pub(super) async fn proofs(
    views: &[SiteView],
    database: &DatabaseName,
    since: Timestamp,
    at: Timestamp,
) -> Result<Proofs, Arc<EngineError>> {
    let looked = views.iter().map(|SiteView { site, repository }| async move {
        let Some(repository) = repository.as_ref().map_err(Arc::clone)? else { return Ok(Proofs::new()) };
        let looking = proofs_on(repository, *site, views.len(), database, since, at);
        within(SITE_WITHIN, Box::pin(looking)).await.map_err(Arc::new)
    });
    let (mut proofs, mut failure, mut has_answer) = (Proofs::new(), None, false);
    for found in join_all(looked).await {
        match found {
            Ok(found) => {
                has_answer = true;
                found.into_iter().for_each(|(site, proved)| keep_newest(&mut proofs, site, proved));
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.filter(|_| !has_answer).map_or(Ok(proofs), Err)
}

/// The reports that one site has, newest first, until a drill from each of `sites` is among them.
async fn proofs_on(
    repository: &Repository,
    site: Site,
    sites: usize,
    database: &DatabaseName,
    since: Timestamp,
    at: Timestamp,
) -> Result<Proofs, EngineError> {
    let mut proofs = Proofs::new();
    let keys = repository.drills_since(database, site, since).await?;
    let mut reports = futures_util::stream::iter(keys.iter().take(READ))
        .map(|key| async move { (key, repository.drill_report(key, site).await) })
        .buffered(READ_AT_ONCE);
    while proofs.len() < sites
        && let Some((key, report)) = reports.next().await
    {
        match report {
            Ok(report) if report.is_proof(database, at) => keep_newest(&mut proofs, report.site, report.finished_at),
            Ok(_) => {}
            Err(error) if error.is_outage_of(site) => return Err(error.into()),
            Err(error) => tracing::warn!(key, %site, %error, "the report of a drill cannot be read, so it is no proof"),
        }
    }
    Ok(proofs)
}

fn keep_newest(proofs: &mut Proofs, site: Site, proved: Timestamp) {
    let newest = proofs.entry(site).or_insert(proved);
    *newest = proved.max(*newest);
}
