//! `verify`: re-reads stored objects on every site and heals a damaged copy from the other site. It needs no permission to decrypt.

mod absent;
mod ending;
mod ledger;
mod objects;
mod part;
mod request;

use std::collections::BTreeSet;

use jiff::Timestamp;
use lifeboat_model::{DatabaseName, Finding, VerificationReport, VerificationScope};
use lifeboat_vault::Repository;

use crate::announcement::announce;
use crate::error::EngineError;
use crate::run::Run;
use crate::stopwatch::Stopwatch;

use ending::VerificationEnding;
use objects::{Backup, Inspection};
use part::{ChunkCount, Part};

pub(crate) use ending::failed;
pub use request::VerifyRequest;

/// Re-reads the objects of `request.scope` and announces how it ended.
///
/// Damage is not an error. The report's findings list it, and say whether it was healed. An error means that the verification itself
/// failed.
pub async fn verify(run: &Run, request: &VerifyRequest) -> Result<VerificationReport, EngineError> {
    let result = inspect_scope(run, request).await;
    let announced = announce(run, &VerificationEnding { request, result: &result }).await;
    result.and_then(|report| announced.map(|()| report))
}

async fn inspect_scope(run: &Run, request: &VerifyRequest) -> Result<VerificationReport, EngineError> {
    let started_at = Timestamp::now();
    let mut stopwatch = Stopwatch::new(&*run.progress);

    stopwatch.begin("documents", None);
    let repository = run.repository_to_verify().await?;
    let mut inspection = Inspection::new(run, repository.clone());
    // The deadline applies only to this part, so that findings are kept when time runs out.
    let following = Box::pin(follow(&mut inspection, &repository, request, &mut stopwatch));
    let mut followed = run.deadline.bound(following).await;
    if let Err(error) = &followed
        && inspection.found_damage()
    {
        // Damage is reported as damage even when time ran out for the rest.
        inspection.left_unread(error);
        followed = Ok(0);
    }

    // The findings are kept even when the rest could not be read.
    stopwatch.begin("report", None);
    let report = inspection.report(request, started_at, *followed.as_ref().unwrap_or(&0));
    let keeping = Box::pin(keep_findings(&repository, &request.database, &report.findings));
    let kept = run.deadline.bound(keeping).await;
    followed?;
    kept.map(|()| report)
}

/// Reads everything in scope. Returns how many backups were followed.
async fn follow(
    inspection: &mut Inspection<'_>,
    repository: &Repository,
    request: &VerifyRequest,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<u64, EngineError> {
    // This comes first, because the document decides which manifests are followed.
    inspection.repository_document().await?;
    let backups = backups_in_scope(repository, request).await?;
    inspection.ledger(&request.scope, backups.last()).await;
    let mut chunks = ChunkCount::default();
    for backup in &backups {
        chunks += inspection.documents(backup).await?;
    }

    stopwatch.begin("chunks", None);
    let mut others = Vec::new();
    if request.scope == VerificationScope::All {
        // Finding chunks that no backup lists requires the lists of every database.
        others = backups_of_others(repository, &request.database).await?;
        for backup in &others {
            chunks += inspection.chunk_count(backup).await;
        }
    }
    for part in Part::of(&request.scope, chunks) {
        match &request.scope {
            VerificationScope::Backup { .. } => {
                for backup in &backups {
                    inspection.added_chunks(&part, backup).await?;
                }
            }
            VerificationScope::Rotation { .. } => {
                inspection.part(&part, &backups).await?;
            }
            VerificationScope::All => {
                let listed = inspection.part(&part, &backups).await?;
                inspection.unlisted(&part, &others, listed).await?;
            }
        }
    }
    Ok(backups.len() as u64)
}

/// The named backup, or every backup that any site still lists. A manifest that one site lost is a finding, and must not be skipped.
async fn backups_in_scope(repository: &Repository, request: &VerifyRequest) -> Result<Vec<Backup>, EngineError> {
    match &request.scope {
        VerificationScope::Backup { backup_id } => Ok(vec![Backup::new(&request.database, backup_id)]),
        VerificationScope::All | VerificationScope::Rotation { .. } => listed(repository, &request.database).await,
    }
}

/// Every backup of the repository's other databases, which share its chunks.
async fn backups_of_others(repository: &Repository, database: &DatabaseName) -> Result<Vec<Backup>, EngineError> {
    let mut others = BTreeSet::new();
    for site in repository.sites().names() {
        others.extend(repository.databases(site).await?);
    }
    others.remove(database);
    let mut backups = Vec::new();
    for other in &others {
        backups.extend(listed(repository, other).await?);
    }
    Ok(backups)
}

async fn listed(repository: &Repository, database: &DatabaseName) -> Result<Vec<Backup>, EngineError> {
    let mut ids = BTreeSet::new();
    for site in repository.sites().names() {
        ids.extend(repository.manifests(database, site).await?);
    }
    Ok(ids.iter().map(|id| Backup::new(database, id)).collect())
}

/// Stores the findings as `findings/<database>/<time>.json`, which outlives the log. The next backup reads there which chunks it must check
/// before it reuses them.
async fn keep_findings(
    repository: &Repository,
    database: &DatabaseName,
    findings: &[Finding],
) -> Result<(), EngineError> {
    if !findings.is_empty() {
        repository.put_document(&Repository::findings_key(database, Timestamp::now()), &findings).await?;
    }
    Ok(())
}
