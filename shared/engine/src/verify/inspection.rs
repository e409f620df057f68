//! Inspects objects on each site, heals the damaged ones, and gathers findings.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use lifeboat_model::{
    BackupId, ChunkAddress, DatabaseName, Finding, FindingKind, FindingSubject, LedgerLink, Manifest, READ_IN_ONE_DAY,
    Site, StoredChunk, VerificationReport,
};
use lifeboat_vault::{Listed, ObjectState, Repository, VaultError, manifest_key};
use tokio::sync::Semaphore;

use super::doubtful::Doubtful;
use super::part::REMEMBERED_CHUNKS;
use super::request::VerifyRequest;
use crate::error::EngineError;
use crate::pool::Workers;
use crate::run::Run;

/// Objects read at the same time: enough to hide the store's latency. Each takes one buffer of memory.
pub(super) const READS_AT_ONCE: usize = 16;

/// A verification that is under way. Several backups are read at the same time.
pub(super) struct Inspection<'a> {
    pub(super) run: &'a Run,
    pub(super) repository: Repository,
    /// When this verification began. Each database of a run has its share of the time that is left.
    began: Instant,
    /// One permit for each object that may be read at the same time, whichever backup it belongs to.
    reads: Arc<Semaphore>,
    seen: Mutex<Seen>,
    doubtful: Mutex<Doubtful>,
}

/// The objects read and the findings so far.
#[derive(Default)]
struct Seen {
    backups: u64,
    objects: u64,
    read_bytes: u64,
    findings: Vec<Finding>,
    more_findings: u64,
    /// Keys of documents that no site could return. Each is reported once.
    not_followed: HashSet<String>,
    /// Chunks that were read, as far as they are remembered. Several lists may have a chunk.
    chunks: HashSet<ChunkAddress>,
    /// Backups that added more chunks than are read in one day, with their number.
    large: Vec<(BackupId, u64)>,
    /// The entry from which on the audit trail was walked to its end.
    entries_from: Option<u64>,
}

/// A backup by its database and id.
#[derive(Clone)]
pub(super) struct Backup {
    pub(super) database: DatabaseName,
    pub(super) id: BackupId,
    /// Whether every site lists it. Where it is missing, it is healed at once.
    pub(super) is_everywhere: bool,
}

/// One object on one site, after it was checked.
pub(super) enum Looked {
    Sound {
        size_bytes: u64,
    },
    Found(Finding),
    /// A chunk that no site has as this list names it. Another list may name its bytes; else this is the finding.
    Doubtful(Listed, Finding),
}

/// What is done with an object that differs from its list and that the other site cannot heal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// It is reported.
    IsDamage,
    /// It is a chunk, and set aside until the other lists were searched for the bytes that the sites have.
    IsDoubtful,
}

impl<'a> Inspection<'a> {
    pub(super) fn new(run: &'a Run, repository: Repository) -> Self {
        Self {
            run,
            repository,
            began: Instant::now(),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            seen: Mutex::default(),
            doubtful: Mutex::default(),
        }
    }

    /// Reads the manifest of a backup and the parts of its chunk list, on every site. Returns the manifest, if any site has an intact one
    /// afterwards.
    pub(super) async fn documents(&self, backup: &Backup) -> Result<Option<Manifest>, EngineError> {
        let listed = Listed::manifest(&backup.database, &backup.id);
        if backup.id.is_misdated(Timestamp::now()) {
            self.found(Finding {
                kind: FindingKind::Misdated,
                site: None,
                subject: FindingSubject::stored(listed.key()),
                detail: "it is dated in the future, and counts as absent".to_owned(),
                healed: false,
            });
        }
        for site in self.repository.sites().names() {
            if self.is_ready_for(&listed, backup, site).await? {
                self.look_at_each(Mismatch::IsDamage, [(listed.clone(), site)]).await?;
            }
        }
        let Some(manifest) = self.any_manifest(backup).await else { return Ok(None) };
        self.look_at(Mismatch::IsDamage, Listed::chunk_list(&manifest)).await?;
        self.seen().backups += 1;
        Ok(Some(manifest))
    }

    /// Reads `repository.json` on every site.
    pub(super) async fn repository_document(&self) -> Result<(), EngineError> {
        self.look_at(Mismatch::IsDamage, [Listed::repository()]).await?;
        for epoch in self.repository.disputed_epochs() {
            self.found(Finding {
                kind: FindingKind::Disputed,
                site: None,
                subject: FindingSubject::stored(Listed::repository().key()),
                detail: format!(
                    "the sites have different entries for epoch {epoch}: nothing of it is followed or healed"
                ),
                healed: false,
            });
        }
        Ok(())
    }

    /// The ledger entry that a backup names.
    pub(super) async fn anchor(&self, backup: &Backup) -> Option<LedgerLink> {
        self.any_manifest(backup).await?.ledger
    }

    /// Whether a chunk was not read yet, as far as that is remembered. It counts as read from now on.
    pub(super) fn is_unread(&self, chunk: &StoredChunk) -> bool {
        let mut seen = self.seen();
        let address = ChunkAddress { epoch: chunk.epoch, id: chunk.id };
        match seen.chunks.len() < REMEMBERED_CHUNKS {
            true => seen.chunks.insert(address),
            false => !seen.chunks.contains(&address),
        }
    }

    /// Takes down that a backup added so many chunks, if that is more than are read in one day.
    pub(super) fn added(&self, backup_id: &BackupId, chunks: u64) {
        if chunks > READ_IN_ONE_DAY {
            self.seen().large.push((backup_id.clone(), chunks));
        }
    }

    /// The backups that added more chunks than are read in one day, with their number.
    pub(super) fn large(&self) -> Vec<(BackupId, u64)> {
        self.seen().large.clone()
    }

    /// The entry from which on the audit trail is walked to its end; `None` when it did not come to that.
    pub(super) fn entries_from(&self) -> Option<u64> {
        self.seen().entries_from
    }

    pub(super) fn walks_from(&self, first: u64) {
        self.seen().entries_from = Some(first);
    }

    /// Adds objects that were read elsewhere to the totals.
    pub(super) fn count(&self, objects: u64) {
        self.seen().objects += objects;
    }

    /// The report of the inspection.
    pub(super) fn report(&self, request: &VerifyRequest, started_at: Timestamp) -> VerificationReport {
        let mut seen = self.seen();
        VerificationReport {
            database: request.database.clone(),
            scope: request.scope.clone(),
            started_at,
            finished_at: Timestamp::now(),
            backups: seen.backups,
            objects: seen.objects,
            read_bytes: seen.read_bytes,
            findings: std::mem::take(&mut seen.findings),
            more_findings: seen.more_findings,
        }
    }

    /// Reports a document that no site gives. `failure` is the error of the last site.
    pub(super) fn not_followed(&self, subject: String, failure: Option<VaultError>) {
        let kind = match &failure {
            Some(VaultError::Store { source, .. }) if source.is_outage() => FindingKind::Unanswered,
            Some(VaultError::NewerFormat { .. }) => FindingKind::NewerFormat,
            _ => FindingKind::Unreadable,
        };
        let failure = failure.map(|error| error.to_string()).unwrap_or_default();
        if self.seen().not_followed.insert(subject.clone()) {
            self.found(Finding {
                kind,
                site: None,
                subject: FindingSubject::stored(subject),
                detail: format!("no site gives it, and what it lists was not read: {failure}"),
                healed: false,
            });
        }
    }

    /// Checks objects on every site, several at a time, and heals those that it can.
    pub(super) async fn look_at(
        &self,
        mismatch: Mismatch,
        objects: impl IntoIterator<Item = Listed>,
    ) -> Result<(), EngineError> {
        let on_each = on_each(&self.repository.sites().names(), objects);
        self.look_at_each(mismatch, on_each).await.map(drop)
    }

    /// The same for objects on the given sites. Returns how many are intact in the end.
    pub(super) async fn look_at_each(
        &self,
        mismatch: Mismatch,
        objects: impl IntoIterator<Item = (Listed, Site)>,
    ) -> Result<usize, EngineError> {
        let mut sound = 0;
        // Each object has a separate task, so that hashing one does not hold up reading the others.
        let mut looks = Workers::new();
        for (listed, site) in objects {
            self.require_time()?;
            let permit = Arc::clone(&self.reads).acquire_owned().await.ok();
            let looking = look(self.repository.clone(), listed, site, mismatch);
            looks.spawn(async move {
                let _permit = permit;
                looking.await
            });
            if looks.len() == READS_AT_ONCE
                && let Some(looked) = looks.next().await?
            {
                sound += usize::from(self.looked(looked));
            }
        }
        while let Some(looked) = looks.next().await? {
            sound += usize::from(self.looked(looked));
        }
        Ok(sound)
    }

    /// Takes what was seen of an object. Returns whether it is intact in the end.
    fn looked(&self, looked: Looked) -> bool {
        self.run.progress.advance(1);
        self.seen().objects += 1;
        match looked {
            Looked::Sound { size_bytes } => {
                self.seen().read_bytes += size_bytes;
                true
            }
            Looked::Found(finding) => {
                let is_healed = finding.healed;
                self.found(finding);
                is_healed
            }
            Looked::Doubtful(listed, finding) => {
                if let Some(finding) = self.doubtful().set_aside(listed, finding) {
                    self.found(finding);
                }
                false
            }
        }
    }

    /// The manifest from any site with an intact one. If there is none, this is a finding, because its chunks were not read.
    pub(super) async fn any_manifest(&self, backup: &Backup) -> Option<Manifest> {
        let mut failure = None;
        for site in self.repository.sites().names() {
            match self.repository.manifest(&backup.database, &backup.id, site).await {
                Ok(manifest) => return Some(manifest),
                Err(error) => failure = Some(error),
            }
        }
        self.not_followed(manifest_key(&backup.database, &backup.id), failure);
        None
    }

    pub(super) fn require_time(&self) -> Result<(), EngineError> {
        if self.run.deadline.is_near(self.began) {
            return Err(EngineError::VerificationUnfinished { objects: self.seen().objects });
        }
        Ok(())
    }

    /// Whether there is damage that was not healed. An object whose state is unknown does not count.
    pub(super) fn found_damage(&self) -> bool {
        let seen = self.seen();
        let mut damage = seen.findings.iter().filter(|finding| finding.is_damage());
        damage.any(|finding| !finding.kind.is_undecided())
    }

    /// Reports that the rest of the scope was not checked.
    pub(super) fn left_unread(&self, error: &EngineError) {
        self.found(Finding {
            kind: FindingKind::Unanswered,
            site: None,
            subject: FindingSubject::RestOfScope,
            detail: error.story(),
            healed: false,
        });
    }

    pub(super) fn found(&self, finding: Finding) {
        let mut seen = self.seen();
        if seen.findings.len() < VerificationReport::MAX_FINDINGS {
            seen.findings.push(finding);
            return;
        }
        // The order is: damage, objects in an unknown state, healed damage, objects that no backup lists.
        let weight = |finding: &Finding| match finding.kind {
            FindingKind::Unlisted => 0,
            _ if finding.healed => 1,
            kind if kind.is_undecided() => 2,
            _ => 3,
        };
        let lightest = seen.findings.iter_mut().min_by_key(|found| weight(found));
        let forgotten = match lightest.filter(|found| weight(found) < weight(&finding)) {
            Some(found) => std::mem::replace(found, finding),
            None => finding,
        };
        seen.more_findings += u64::from(forgotten.is_damage());
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_doubtful(&self) -> bool {
        self.doubtful().is_some()
    }

    pub(super) fn doubtful(&self) -> MutexGuard<'_, Doubtful> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn on_each(sites: &[Site], objects: impl IntoIterator<Item = Listed>) -> Vec<(Listed, Site)> {
    objects.into_iter().flat_map(|listed| sites.iter().map(move |site| (listed.clone(), *site))).collect()
}

async fn look(repository: Repository, listed: Listed, site: Site, mismatch: Mismatch) -> Result<Looked, EngineError> {
    let state = repository.inspect(site, &listed).await?;
    let kind = match &state {
        ObjectState::Sound { size_bytes } => return Ok(Looked::Sound { size_bytes: *size_bytes }),
        ObjectState::Missing => FindingKind::Missing,
        ObjectState::Size { .. } => FindingKind::Size,
        ObjectState::Checksum { .. } => FindingKind::Checksum,
        ObjectState::Unreadable { error } if error.is_outage() => FindingKind::Unanswered,
        ObjectState::Unreadable { .. } => FindingKind::Unreadable,
        ObjectState::Newer { .. } => FindingKind::NewerFormat,
    };
    // An object that cannot be read may be intact. A network failure must not cause it to be overwritten.
    let (healed, detail) = match kind {
        FindingKind::Unreadable | FindingKind::Unanswered | FindingKind::NewerFormat => (false, state.to_string()),
        _ => match repository.heal(site, &listed).await {
            Ok(_) => (true, format!("{state}; healed from {}", site.other())),
            Err(error) => (false, format!("{state}; not healed: {error}")),
        },
    };
    let finding = Finding { kind, site: Some(site), subject: FindingSubject::stored(listed.key()), detail, healed };
    let is_damage = matches!(kind, FindingKind::Missing | FindingKind::Size | FindingKind::Checksum) && !healed;
    if is_damage && mismatch == Mismatch::IsDoubtful {
        return Ok(Looked::Doubtful(listed, finding));
    }
    tracing::warn!(finding = %finding, "verification found damage");
    Ok(Looked::Found(finding))
}
