//! `verify`: re-reads stored objects on every site and heals a damaged copy from the other site. It needs no permission to decrypt.

mod absent;
mod chunks;
mod doubtful;
mod due;
mod ending;
mod inspection;
mod ledger;
mod part;
mod request;
mod rotation;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use lifeboat_model::{BackupId, DatabaseName, Finding, VerificationReport, VerificationScope};
use lifeboat_vault::Repository;

use crate::announcement::announce;
use crate::error::EngineError;
use crate::run::Run;
use crate::stopwatch::Stopwatch;

use chunks::BACKUPS_AT_ONCE;
use ending::VerificationEnding;
use inspection::{Backup, Inspection};
use part::Part;

pub use due::verify_due;
pub(crate) use ending::failed;
pub use request::VerifyRequest;
pub(crate) use rotation::rotation;

/// Re-reads the objects of `request.scope` and announces how it ended.
///
/// Damage is not an error. The report's findings list it, and say whether it was healed. An error means that the verification itself
/// failed.
pub async fn verify(run: &Run, request: &VerifyRequest) -> Result<VerificationReport, EngineError> {
    let Inspected { result, healed, large, entries_from } = inspect_scope(run, request).await;
    let all_since = match &result {
        Ok(report) => rotation::all_since(run, report).await,
        Err(_) => None,
    };
    let ending = VerificationEnding { request, result: &result, healed: &healed, entries_from, all_since };
    let announced = announce(run, &ending).await;
    let report = result?;
    announced?;
    // This comes last: a part counts as read only after what was found in it was announced.
    rotation::keep(run, &report, large).await;
    Ok(report)
}

/// What an inspection came to.
struct Inspected {
    result: Result<VerificationReport, EngineError>,
    /// What was healed before it failed. A report has its own findings.
    healed: Vec<Finding>,
    /// The backups that added more chunks than are read in one day, with their number.
    large: Vec<(BackupId, u64)>,
    /// The entry from which on the audit trail was walked to its end.
    entries_from: Option<u64>,
}

async fn inspect_scope(run: &Run, request: &VerifyRequest) -> Inspected {
    let repository = match run.repository_to_verify().await {
        Ok(repository) => repository,
        Err(error) => {
            return Inspected { result: Err(error), healed: Vec::new(), large: Vec::new(), entries_from: None };
        }
    };
    let inspection = Inspection::new(run, repository.clone());
    let mut healed = Vec::new();
    let result = inspect(run, &inspection, &repository, request, &mut healed).await;
    Inspected { result, healed, large: inspection.large(), entries_from: inspection.entries_from() }
}

async fn inspect(
    run: &Run,
    inspection: &Inspection<'_>,
    repository: &Repository,
    request: &VerifyRequest,
    healed: &mut Vec<Finding>,
) -> Result<VerificationReport, EngineError> {
    let started_at = Timestamp::now();
    let mut stopwatch = Stopwatch::new(&*run.progress);

    stopwatch.begin("documents", None);
    // The deadline applies only to this part, so that findings are kept when time runs out.
    let following = Box::pin(follow(inspection, repository, request, &mut stopwatch));
    let mut followed = run.deadline.bound(following).await;
    inspection.report_doubtful();
    if let Err(error) = &followed
        && inspection.found_damage()
    {
        // Damage is reported as damage even when time ran out for the rest.
        inspection.left_unread(error);
        followed = Ok(());
    }

    // The findings are kept even when the rest could not be read.
    stopwatch.begin("report", None);
    let report = inspection.report(request, started_at);
    let keeping = Box::pin(keep_findings(repository, &request.database, &report.findings));
    let kept = run.deadline.bound(keeping).await;
    let ended = followed.and(kept);
    if ended.is_err() {
        healed.extend(report.findings.iter().filter(|finding| finding.healed).cloned());
    }
    ended.map(|()| report)
}

/// Reads everything in scope.
async fn follow(
    inspection: &Inspection<'_>,
    repository: &Repository,
    request: &VerifyRequest,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<(), EngineError> {
    // This comes first, because the document decides which manifests are followed.
    inspection.repository_document().await?;
    let backups = match &request.scope {
        VerificationScope::Backup { backup_id } => {
            vec![Backup { database: request.database.clone(), id: backup_id.clone(), is_everywhere: true }]
        }
        VerificationScope::All | VerificationScope::Rotation { .. } => listed(repository, &request.database).await?,
    };
    let now = Timestamp::now();
    let newest = backups.iter().rfind(|backup| !backup.id.is_misdated(now)).cloned();
    inspection.ledger(&request.scope, newest.as_ref()).await;

    stopwatch.begin("backups", None);
    let part = Part::of(&request.scope);
    let large = rotation::large(inspection.run, &request.scope, &request.database).await;
    let oldest = backups.first().cloned();
    let reads = backups.into_iter().filter_map(|backup| {
        let has_documents = part.has_backup(&backup.id) || !backup.is_everywhere;
        let is_due = has_documents || large.backups.contains(&backup.id);
        is_due.then(|| {
            let share = if large.are_shared(&backup.id) { part } else { Part::ALL };
            inspection.backup(backup, has_documents, share)
        })
    });
    futures_util::stream::iter(reads).buffer_unordered(BACKUPS_AT_ONCE).try_collect::<()>().await?;
    if !matches!(request.scope, VerificationScope::Backup { .. }) {
        // The oldest list has the chunks of backups that are gone, and the newest one what the next restore needs.
        for backup in oldest.into_iter().chain(newest) {
            inspection.every_chunk(&backup, part).await?;
        }
    }

    stopwatch.begin("other lists", None);
    if inspection.has_doubtful() || request.scope == VerificationScope::All {
        let mut all = listed(repository, &request.database).await?;
        all.extend(listed_by_others(repository, &request.database).await?);
        inspection.settle(&all).await?;
        if request.scope == VerificationScope::All {
            inspection.unlisted(&all).await?;
        }
    }
    Ok(())
}

impl Inspection<'_> {
    /// Reads the documents of a backup, if they are due, and the chunks that it added: of many, those of `share`.
    async fn backup(&self, backup: Backup, has_documents: bool, share: Part) -> Result<(), EngineError> {
        let manifest = match has_documents {
            true => self.documents(&backup).await?,
            false => self.any_manifest(&backup).await,
        };
        match manifest {
            Some(manifest) => self.added_chunks(&manifest, share).await,
            None => Ok(()),
        }
    }

    /// Reads the chunks of a backup that are in the part, whoever added them.
    async fn every_chunk(&self, backup: &Backup, part: Part) -> Result<(), EngineError> {
        match self.any_manifest(backup).await {
            Some(manifest) => self.chunks_of(&manifest, part).await,
            None => Ok(()),
        }
    }
}

/// The backups of a database that any site still lists, oldest first. A manifest that one site lost is a finding, and must not be skipped.
async fn listed(repository: &Repository, database: &DatabaseName) -> Result<Vec<Backup>, EngineError> {
    let each_site = repository.sites().names().into_iter().map(|site| repository.manifests(database, site));
    let each_site = futures_util::future::try_join_all(each_site).await?;
    let mut sites_of = BTreeMap::<BackupId, usize>::new();
    let all = each_site.len();
    each_site.into_iter().flatten().for_each(|id| *sites_of.entry(id).or_default() += 1);
    let backup = |(id, sites)| Backup { database: database.clone(), id, is_everywhere: sites == all };
    Ok(sites_of.into_iter().map(backup).collect())
}

/// Every backup of the repository's other databases, which share its chunks.
async fn listed_by_others(repository: &Repository, database: &DatabaseName) -> Result<Vec<Backup>, EngineError> {
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
