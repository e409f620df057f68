//! The chunks that backups list: which are read, and what becomes of those whose bytes differ from their list.
//!
//! Each chunk is new in the list of some backup; later backups only list it again. So a verification reads of each backup the chunks that it
//! added, and has read every chunk once when it has read every backup.

use std::cmp::Reverse;
use std::collections::HashSet;

use futures_util::{StreamExt as _, TryStreamExt as _};
use lifeboat_model::{
    ChunkAddress, ChunkId, EpochNumber, Finding, FindingKind, FindingSubject, Manifest, Origin, READ_IN_ONE_DAY, Site,
    StoredChunk, Totals,
};
use lifeboat_vault::{ChunkEntries, Listed, VaultError, chunk_list_key};

use super::inspection::{Backup, Inspection, Mismatch};
use super::part::Part;
use crate::error::EngineError;

/// Backups that are followed at the same time. Each holds its manifest and a part of its chunk list.
pub(super) const BACKUPS_AT_ONCE: usize = 4;

/// Chunks gathered from a chunk list before they are read.
const BATCH: usize = READ_IN_ONE_DAY as usize;

/// The chunks of a list, from the first site that has all of it. After damage it begins again with the list of the other site.
struct ListedChunks<'a> {
    inspection: &'a Inspection<'a>,
    manifest: &'a Manifest,
    sites: std::vec::IntoIter<Site>,
    entries: Option<(Site, ChunkEntries)>,
    failure: Option<VaultError>,
}

impl ListedChunks<'_> {
    /// The next chunk; `None` after the last, or when no site has the rest, which is a finding then.
    async fn next(&mut self) -> Result<Option<StoredChunk>, EngineError> {
        let Manifest { database, backup_id, .. } = self.manifest;
        loop {
            let Some((site, entries)) = &mut self.entries else {
                self.inspection.require_time()?;
                let Some(site) = self.sites.next() else {
                    self.inspection.not_followed(chunk_list_key(database, backup_id, 0), self.failure.take());
                    return Ok(None);
                };
                self.entries = Some((site, self.inspection.repository.chunk_entries(self.manifest, site)?));
                continue;
            };
            match entries.next().await {
                Ok(Some(entry)) if entry.chunk.is_some() => return Ok(entry.chunk),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(error) => {
                    tracing::warn!(%site, %backup_id, %error, "a chunk list cannot be followed");
                    self.failure = Some(error);
                    self.entries = None;
                }
            }
        }
    }
}

impl Inspection<'_> {
    fn listed_chunks<'a>(&'a self, manifest: &'a Manifest) -> ListedChunks<'a> {
        let sites = self.repository.sites().names().into_iter();
        ListedChunks { inspection: self, manifest, sites, entries: None, failure: None }
    }

    /// Reads the chunks that a backup added: those that it stored, and those that it found but no list named. When there are more
    /// than [`READ_IN_ONE_DAY`], it reads those of `part` alone.
    pub(super) async fn added_chunks(&self, manifest: &Manifest, part: Part) -> Result<(), EngineError> {
        let (mut list, mut batch, mut added) = (self.listed_chunks(manifest), Vec::new(), 0);
        while let Some(chunk) = list.next().await? {
            if chunk.origin == Origin::Listed {
                continue;
            }
            added += 1;
            if added <= READ_IN_ONE_DAY || part.has_chunk(&chunk.id) {
                batch.push(chunk);
            }
            if added > READ_IN_ONE_DAY && batch.len() >= BATCH {
                batch.retain(|chunk| part.has_chunk(&chunk.id));
                self.chunks(std::mem::take(&mut batch)).await?;
            }
        }
        if added > READ_IN_ONE_DAY {
            batch.retain(|chunk| part.has_chunk(&chunk.id));
        }
        self.added(&manifest.backup_id, added);
        self.chunks(batch).await
    }

    /// Reads the chunks of a backup that are in the part, whoever added them.
    pub(super) async fn chunks_of(&self, manifest: &Manifest, part: Part) -> Result<(), EngineError> {
        let (mut list, mut batch) = (self.listed_chunks(manifest), Vec::new());
        while let Some(chunk) = list.next().await? {
            if part.has_chunk(&chunk.id) {
                batch.push(chunk);
            }
            if batch.len() == BATCH {
                self.chunks(std::mem::take(&mut batch)).await?;
            }
        }
        self.chunks(batch).await
    }

    /// Reads chunks on every site, each once, the longest first. Several are read at a time, and a long one should not be left alone at the
    /// end.
    async fn chunks(&self, chunks: Vec<StoredChunk>) -> Result<(), EngineError> {
        let mut unread: Vec<StoredChunk> = chunks.into_iter().filter(|chunk| self.is_unread(chunk)).collect();
        unread.sort_unstable_by_key(|chunk| Reverse(chunk.stored_bytes));
        self.look_at(Mismatch::IsDoubtful, unread.iter().map(Listed::chunk)).await
    }

    /// Judges the chunks that were set aside, after every list of `backups` was searched for their bytes. Heals the damaged ones.
    pub(super) async fn settle(&self, backups: &[Backup]) -> Result<(), EngineError> {
        if !self.has_doubtful() {
            return Ok(());
        }
        let searches = backups.iter().cloned().map(|backup| self.search(backup));
        futures_util::stream::iter(searches).buffer_unordered(BACKUPS_AT_ONCE).try_collect::<()>().await?;
        let doubtful = std::mem::take(&mut *self.doubtful());
        self.look_at_each(Mismatch::IsDamage, doubtful.into_chunks()).await.map(drop)
    }

    async fn search(&self, backup: Backup) -> Result<(), EngineError> {
        let Some(manifest) = self.any_manifest(&backup).await else { return Ok(()) };
        let mut list = self.listed_chunks(&manifest);
        while let Some(chunk) = list.next().await? {
            self.doubtful().name(&chunk);
        }
        Ok(())
    }

    /// Reports the chunks that were set aside and not judged.
    pub(super) fn report_doubtful(&self) {
        let doubtful = std::mem::take(&mut *self.doubtful());
        doubtful.into_findings().for_each(|finding| self.found(finding));
    }

    /// Reports stored chunks that none of `backups` lists. Unfinished runs left them, and later runs reuse them.
    pub(super) async fn unlisted(&self, backups: &[Backup]) -> Result<(), EngineError> {
        for pass in Part::passes(self.most_chunks(backups).await) {
            let searches = backups.iter().cloned().map(|backup| self.ids(backup, pass));
            let mut listed = HashSet::new();
            let mut searches = futures_util::stream::iter(searches).buffer_unordered(BACKUPS_AT_ONCE);
            while let Some(ids) = searches.try_next().await? {
                listed.extend(ids);
            }
            for epoch in self.repository.document().epochs {
                for site in self.repository.sites().names() {
                    self.unlisted_on(site, epoch.number, pass, &listed).await?;
                }
            }
        }
        Ok(())
    }

    async fn ids(&self, backup: Backup, part: Part) -> Result<Vec<ChunkId>, EngineError> {
        let mut ids = Vec::new();
        let Some(manifest) = self.any_manifest(&backup).await else { return Ok(ids) };
        let mut list = self.listed_chunks(&manifest);
        while let Some(chunk) = list.next().await? {
            if part.has_chunk(&chunk.id) {
                ids.push(chunk.id);
            }
        }
        Ok(ids)
    }

    /// The most chunks that some backups can hold together. Each chunk is new in one of them, or was reused by the oldest.
    async fn most_chunks(&self, backups: &[Backup]) -> u64 {
        let reads = backups.iter().cloned().map(|backup| self.totals(backup));
        let mut reads = futures_util::stream::iter(reads).buffer_unordered(BACKUPS_AT_ONCE);
        let (mut new, mut reused) = (0, 0);
        while let Some(totals) = reads.next().await {
            (new, reused) = (new + totals.new_chunks, reused.max(totals.reused_chunks));
        }
        new + reused
    }

    async fn totals(&self, backup: Backup) -> Totals {
        self.any_manifest(&backup).await.map(|manifest| manifest.totals).unwrap_or_default()
    }

    async fn unlisted_on(
        &self,
        site: Site,
        epoch: EpochNumber,
        part: Part,
        listed: &HashSet<ChunkId>,
    ) -> Result<(), EngineError> {
        let mut from = None;
        loop {
            self.require_time()?;
            let page = self.repository.stored_chunks(site, epoch, from.as_deref()).await?;
            for id in page.ids.iter().filter(|id| part.has_chunk(id) && !listed.contains(*id)) {
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
}
