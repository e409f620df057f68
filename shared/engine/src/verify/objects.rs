//! Inspects objects on each site and heals the damaged ones.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::time::Instant;

use jiff::Timestamp;
use lifeboat_model::{
    BackupId, ChunkAddress, ChunkId, DatabaseName, EpochNumber, Finding, FindingKind, FindingSubject, LedgerLink,
    Manifest, Origin, Site, StoredChunk, VerificationReport,
};
use lifeboat_vault::{Listed, ObjectState, Repository, VaultError, chunk_list_key, manifest_key};

use super::part::{ChunkCount, Part};
use super::request::VerifyRequest;
use crate::error::EngineError;
use crate::pool::Workers;
use crate::run::Run;

/// Objects read at the same time: enough to hide the store's latency. Each takes one buffer of memory.
pub(super) const READS_AT_ONCE: usize = 16;

/// Chunks gathered from chunk lists before they are read.
pub(super) const BATCH: usize = 256;

/// The objects read and the findings so far.
pub(super) struct Inspection<'a> {
    pub(super) run: &'a Run,
    pub(super) repository: Repository,
    /// When this verification began. Each database of a run has its share of the time that is left.
    began: Instant,
    objects: u64,
    read_bytes: u64,
    findings: Vec<Finding>,
    more_findings: u64,
    /// Keys of documents that no site could return. Each is reported once.
    not_followed: HashSet<String>,
}

/// The chunks of a part. A chunk that was sealed again is listed with several checksums. Any of them is valid.
#[derive(Default)]
struct Chunks {
    listed: HashMap<ChunkId, StoredChunk>,
    sealed_again: HashMap<ChunkId, Listed>,
}

impl Chunks {
    fn add(&mut self, chunk: StoredChunk) {
        match self.listed.entry(chunk.id) {
            Entry::Vacant(place) => drop(place.insert(chunk)),
            Entry::Occupied(first) if first.get().sha256 != chunk.sha256 => {
                let listed = self.sealed_again.remove(&chunk.id).unwrap_or_else(|| Listed::chunk(first.get()));
                self.sealed_again.insert(chunk.id, listed.or(&chunk));
            }
            Entry::Occupied(_) => {}
        }
    }

    /// The chunks, longest first. Several are read at a time, and a long one should not be left alone at the end.
    fn objects(&self) -> impl Iterator<Item = Listed> + '_ {
        let mut chunks: Vec<&StoredChunk> = self.listed.values().collect();
        chunks.sort_unstable_by_key(|chunk| Reverse(chunk.stored_bytes));
        let listed =
            |chunk: &StoredChunk| self.sealed_again.get(&chunk.id).cloned().unwrap_or_else(|| Listed::chunk(chunk));
        chunks.into_iter().map(listed)
    }
}

/// A backup by its database and id.
pub(super) struct Backup {
    pub(super) database: DatabaseName,
    pub(super) id: BackupId,
}

impl Backup {
    pub(super) fn new(database: &DatabaseName, id: &BackupId) -> Self {
        Self { database: database.clone(), id: id.clone() }
    }
}

/// One object on one site, after it was checked.
struct Looked {
    size_bytes: u64,
    finding: Option<Finding>,
}

impl<'a> Inspection<'a> {
    pub(super) fn new(run: &'a Run, repository: Repository) -> Self {
        Self {
            run,
            repository,
            began: Instant::now(),
            objects: 0,
            read_bytes: 0,
            findings: Vec::new(),
            more_findings: 0,
            not_followed: HashSet::new(),
        }
    }

    /// Reads the manifest of a backup and the parts of its chunk list, on every site. Returns how many chunks it lists, if any
    /// site has an intact manifest afterwards.
    pub(super) async fn documents(&mut self, backup: &Backup) -> Result<ChunkCount, EngineError> {
        let listed = Listed::manifest(&backup.database, &backup.id);
        for site in self.repository.sites().names() {
            if self.is_ready_for(&listed, backup, site).await? {
                self.look_at_each(Box::new([(listed.clone(), site)].into_iter())).await?;
            }
        }
        let Some(manifest) = self.any_manifest(backup).await else { return Ok(ChunkCount::default()) };
        self.look_at(Listed::chunk_list(&manifest)).await?;
        Ok(ChunkCount::from(&manifest))
    }

    /// The ledger entry that a backup names.
    pub(super) async fn anchor(&mut self, backup: &Backup) -> Option<LedgerLink> {
        self.any_manifest(backup).await?.ledger
    }

    /// Adds objects that were read elsewhere to the totals.
    pub(super) fn count(&mut self, objects: u64) {
        self.objects += objects;
    }

    /// How many chunks a backup lists, from any site with a readable manifest.
    pub(super) async fn chunk_count(&mut self, backup: &Backup) -> ChunkCount {
        self.any_manifest(backup).await.map_or_else(ChunkCount::default, |manifest| ChunkCount::from(&manifest))
    }

    /// Reads the chunks of a part that a backup added: those that it stored, and those that it found but no list named.
    pub(super) async fn added_chunks(&mut self, part: &Part, backup: &Backup) -> Result<(), EngineError> {
        let mut chunks = Chunks::default();
        let wanted = |chunk: &StoredChunk| chunk.origin != Origin::Listed && part.contains(&chunk.id);
        self.each_chunk(backup, |chunk| {
            if wanted(&chunk) {
                chunks.add(chunk)
            }
        })
        .await?;
        self.look_at(chunks.objects()).await
    }

    /// Reads each chunk of a part once, even if many backups list it. Returns the ids.
    pub(super) async fn part(&mut self, part: &Part, backups: &[Backup]) -> Result<HashSet<ChunkId>, EngineError> {
        let mut chunks = Chunks::default();
        for backup in backups {
            self.each_chunk(backup, |chunk| {
                if part.contains(&chunk.id) {
                    chunks.add(chunk)
                }
            })
            .await?;
        }
        self.look_at(chunks.objects()).await?;
        Ok(chunks.listed.into_keys().collect())
    }

    /// Reports stored chunks of a part that are neither in `listed` nor listed by the `others`. Unfinished runs left them, and
    /// later runs reuse them.
    pub(super) async fn unlisted(
        &mut self,
        part: &Part,
        others: &[Backup],
        mut listed: HashSet<ChunkId>,
    ) -> Result<(), EngineError> {
        for backup in others {
            self.each_chunk(backup, |chunk| {
                if part.contains(&chunk.id) {
                    listed.insert(chunk.id);
                }
            })
            .await?;
        }
        for epoch in self.repository.document().epochs {
            for site in self.repository.sites().names() {
                self.unlisted_on(site, epoch.number, part, &listed).await?;
            }
        }
        Ok(())
    }

    /// Reads `repository.json` on every site.
    pub(super) async fn repository_document(&mut self) -> Result<(), EngineError> {
        self.look_at([Listed::repository()]).await?;
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

    /// The report of the inspection.
    pub(super) fn report(self, request: &VerifyRequest, started_at: Timestamp, backups: u64) -> VerificationReport {
        VerificationReport {
            database: request.database.clone(),
            scope: request.scope.clone(),
            started_at,
            finished_at: Timestamp::now(),
            backups,
            objects: self.objects,
            read_bytes: self.read_bytes,
            findings: self.findings,
            more_findings: self.more_findings,
        }
    }

    /// Follows the chunk list of a backup from the first site with a complete list. A list that no site has is a finding.
    async fn each_chunk(&mut self, backup: &Backup, mut take: impl FnMut(StoredChunk)) -> Result<(), EngineError> {
        let Some(manifest) = self.any_manifest(backup).await else { return Ok(()) };
        let mut failure = None;
        for site in self.repository.sites().names() {
            self.require_time()?;
            let mut list = self.repository.chunk_entries(&manifest, site)?;
            loop {
                match list.next().await {
                    Ok(Some(entry)) => entry.chunk.into_iter().for_each(&mut take),
                    Ok(None) => return Ok(()),
                    // If a site's list is damaged and was not healed, the other site's list is followed.
                    Err(error) => {
                        tracing::warn!(%site, backup_id = %backup.id, %error, "a chunk list cannot be followed");
                        failure = Some(error);
                        break;
                    }
                }
            }
        }
        self.not_followed(chunk_list_key(&backup.database, &backup.id, 0), failure);
        Ok(())
    }

    /// `failure` is the error of the last site.
    fn not_followed(&mut self, subject: String, failure: Option<VaultError>) {
        let is_outage = matches!(&failure, Some(VaultError::Store { source, .. }) if source.is_outage());
        let failure = failure.map(|error| error.to_string()).unwrap_or_default();
        if self.not_followed.insert(subject.clone()) {
            self.found(Finding {
                kind: if is_outage { FindingKind::Unanswered } else { FindingKind::Unreadable },
                site: None,
                subject: FindingSubject::stored(subject),
                detail: format!("no site gives it, and what it lists was not read: {failure}"),
                healed: false,
            });
        }
    }

    async fn unlisted_on(
        &mut self,
        site: Site,
        epoch: EpochNumber,
        part: &Part,
        listed: &HashSet<ChunkId>,
    ) -> Result<(), EngineError> {
        let mut from = None;
        loop {
            self.require_time()?;
            let page = self.repository.stored_chunks(site, epoch, from.as_deref()).await?;
            for id in page.ids.iter().filter(|id| part.contains(id) && !listed.contains(*id)) {
                self.found(Finding {
                    kind: FindingKind::Unlisted,
                    site: Some(site),
                    subject: FindingSubject::Chunk(ChunkAddress { epoch, id: *id }),
                    detail: "no manifest lists it".to_owned(),
                    healed: false,
                });
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// Checks objects on every site, several at a time, and heals those that it can.
    pub(super) async fn look_at(
        &mut self,
        objects: impl IntoIterator<Item = Listed, IntoIter: Send>,
    ) -> Result<(), EngineError> {
        let sites = self.repository.sites().names();
        let each_site = move |listed: Listed| sites.clone().into_iter().map(move |site| (listed.clone(), site));
        self.look_at_each(Box::new(objects.into_iter().flat_map(each_site))).await.map(drop)
    }

    /// The same for objects on the given sites. Returns how many are intact in the end.
    pub(super) async fn look_at_each(
        &mut self,
        mut waiting: Box<dyn Iterator<Item = (Listed, Site)> + Send + '_>,
    ) -> Result<usize, EngineError> {
        let mut sound = 0;
        // Each object has a separate task, so that hashing one does not hold up reading the others.
        let mut looks = Workers::new();
        loop {
            while looks.len() < READS_AT_ONCE
                && let Some((listed, site)) = waiting.next()
            {
                self.require_time()?;
                looks.spawn(look(self.repository.clone(), listed, site));
            }
            let Some(Looked { size_bytes, finding }) = looks.next().await? else { return Ok(sound) };
            self.objects += 1;
            self.read_bytes += size_bytes;
            self.run.progress.advance(1);
            sound += usize::from(finding.as_ref().is_none_or(|finding| finding.healed));
            if let Some(finding) = finding {
                self.found(finding);
            }
        }
    }

    /// The manifest from any site with an intact one. If there is none, this is a finding, because its chunks were not read.
    async fn any_manifest(&mut self, backup: &Backup) -> Option<Manifest> {
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

    fn require_time(&self) -> Result<(), EngineError> {
        if self.run.deadline.is_near(self.began) {
            return Err(EngineError::VerificationUnfinished { objects: self.objects });
        }
        Ok(())
    }

    /// Whether there is damage that was not healed. An object whose state is unknown does not count.
    pub(super) fn found_damage(&self) -> bool {
        let mut damage = self.findings.iter().filter(|finding| finding.is_damage());
        damage.any(|finding| finding.kind != FindingKind::Unanswered)
    }

    /// Reports that the rest of the scope was not checked.
    pub(super) fn left_unread(&mut self, error: &EngineError) {
        self.found(Finding {
            kind: FindingKind::Unanswered,
            site: None,
            subject: FindingSubject::RestOfScope,
            detail: error.story(),
            healed: false,
        });
    }

    pub(super) fn found(&mut self, finding: Finding) {
        if self.findings.len() < VerificationReport::MAX_FINDINGS {
            self.findings.push(finding);
            return;
        }
        // The order is: damage, objects in an unknown state, healed damage, objects that no backup lists.
        let weight = |finding: &Finding| match finding.kind {
            FindingKind::Unlisted => 0,
            _ if finding.healed => 1,
            FindingKind::Unanswered => 2,
            _ => 3,
        };
        let lightest = self.findings.iter_mut().min_by_key(|found| weight(found));
        let forgotten = match lightest.filter(|found| weight(found) < weight(&finding)) {
            Some(found) => std::mem::replace(found, finding),
            None => finding,
        };
        self.more_findings += u64::from(forgotten.is_damage());
    }
}

async fn look(repository: Repository, listed: Listed, site: Site) -> Result<Looked, EngineError> {
    let state = repository.inspect(site, &listed).await?;
    let kind = match &state {
        ObjectState::Sound { size_bytes } => return Ok(Looked { size_bytes: *size_bytes, finding: None }),
        ObjectState::Missing => FindingKind::Missing,
        ObjectState::Size { .. } => FindingKind::Size,
        ObjectState::Checksum { .. } => FindingKind::Checksum,
        ObjectState::Unreadable { error } if error.is_outage() => FindingKind::Unanswered,
        ObjectState::Unreadable { .. } | ObjectState::Newer { .. } => FindingKind::Unreadable,
    };
    // An object that cannot be read may be intact. A network failure must not cause it to be overwritten.
    let (healed, detail) = match kind {
        FindingKind::Unreadable | FindingKind::Unanswered => (false, state.to_string()),
        _ => match repository.heal(site, &listed).await {
            Ok(_) => (true, format!("{state}; healed from {}", site.other())),
            Err(error) => (false, format!("{state}; not healed: {error}")),
        },
    };
    let finding = Finding { kind, site: Some(site), subject: FindingSubject::stored(listed.key()), detail, healed };
    tracing::warn!(finding = %finding, "verification found damage");
    Ok(Looked { size_bytes: 0, finding: Some(finding) })
}
