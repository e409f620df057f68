//! Backups that the off-site does not have yet, and bringing them there.
//!
//! No document says that a backup is behind: it would be wrong as soon as the backup is there. A backup is behind when the off-site has
//! no manifest of it. The manifest gets there last, after all that it names.

use std::collections::HashSet;

use jiff::Timestamp;
use lifeboat_model::{BackupId, DatabaseName, Manifest, Site, StoredChunk};

use crate::chunks::chunk_mark::ChunkMarks;
use crate::error::VaultError;
use crate::layout::{chunk_key, chunk_list_key, manifest_key};
use crate::repository::Repository;
use crate::store::error::StoreError;
use crate::store::sites::{Mirrored, SiteStore};

/// Newest backups that are compared: six weeks of hourly ones. A verification of all backups brings over the older ones.
const LOOKED_AT: usize = 1000;

impl Repository {
    /// The backups among the newest of a database that are complete on the primary and that the off-site does not have,
    /// newest first. None without an off-site.
    ///
    /// # Errors
    /// [`VaultError::NoSite`], [`VaultError::Store`], [`VaultError::TooMany`].
    pub async fn behind(&self, database: &DatabaseName) -> Result<Vec<BackupId>, VaultError> {
        self.behind_since(database, None).await
    }

    /// The same, of those from a backup on.
    ///
    /// # Errors
    /// As [`Repository::behind`].
    pub async fn behind_since(
        &self,
        database: &DatabaseName,
        since: Option<&BackupId>,
    ) -> Result<Vec<BackupId>, VaultError> {
        if self.sites.get(Site::Offsite).is_err() {
            return Ok(Vec::new());
        }
        let mut backups = match since {
            Some(since) => self.manifests_from(database, Site::Primary, Some(since)).await?,
            None => self.newest_manifests(database, Site::Primary, None, LOOKED_AT, Timestamp::now()).await?,
        };
        backups.reverse();
        backups.truncate(LOOKED_AT);
        let Some(oldest) = backups.last() else { return Ok(backups) };
        let there: HashSet<BackupId> =
            self.manifests_from(database, Site::Offsite, Some(oldest)).await?.into_iter().collect();
        backups.retain(|backup| !there.contains(backup));
        Ok(backups)
    }

    /// Whether the off-site has no manifest of a backup. `false` without an off-site; `true` when it is set aside, or is set
    /// aside by this question.
    ///
    /// # Errors
    /// [`VaultError::Store`].
    pub async fn is_behind(&self, database: &DatabaseName, backup_id: &BackupId) -> Result<bool, VaultError> {
        if self.sites.get(Site::Offsite).is_err() {
            return Ok(false);
        }
        let Some(offsite) = self.sites.offsite() else { return Ok(true) };
        let head = offsite.head(&manifest_key(database, backup_id)).await;
        Ok(self.sites.or_aside(head)?.is_none_or(|head| head.is_none()))
    }

    /// Sees to it that the off-site has a chunk, from the primary. Idempotent. The entry must come from an authenticated list.
    ///
    /// An object of the off-site is enough when its mark proves that it holds the content. It may have been sealed in another run
    /// than the primary's.
    ///
    /// # Errors
    /// [`VaultError::NotHealed`] when neither site can prove its object; [`VaultError::Store`]; what keeps the chunk key
    /// from being opened.
    pub async fn bring_chunk_over(&self, chunk: &StoredChunk) -> Result<(), VaultError> {
        let (primary, offsite) = (self.sites.primary()?, self.serving_offsite()?);
        let key = chunk_key(chunk.epoch, &chunk.id);
        let marks = ChunkMarks::new(&self.chunk_key(chunk.epoch).await?);
        let unproved = |site, reason| VaultError::NotHealed { site, key: key.clone(), reason };
        if let Some(head) = offsite.head(&key).await? {
            let proved = marks.proved(&chunk.id, &head).is_some();
            return if proved { Ok(()) } else { Err(unproved(Site::Offsite, "its mark does not prove its content")) };
        }
        let head = primary.head(&key).await?.ok_or_else(|| unproved(Site::Offsite, "the primary does not have it"))?;
        let Some(sha256) = marks.proved(&chunk.id, &head) else {
            return Err(unproved(Site::Offsite, "the mark of the primary's copy does not prove its content"));
        };
        match self.sites.mirror(&key, &sha256, head.size_bytes).await? {
            Mirrored::Same => Ok(()),
            Mirrored::Differs(head) if marks.proved(&chunk.id, &head).is_some() => Ok(()),
            Mirrored::Differs(_) => Err(unproved(Site::Offsite, "its mark does not prove its content")),
        }
    }

    /// Brings the documents of a backup to the off-site, its manifest last: from then on the off-site has the backup. Every
    /// chunk must be there ([`Repository::bring_chunk_over`]). `manifest` must be an authenticated one. Idempotent.
    ///
    /// # Errors
    /// As [`Repository::publish`]; and an off-site that does not serve is one.
    pub async fn bring_documents_over(&self, manifest: &Manifest) -> Result<(), VaultError> {
        let offsite = self.serving_offsite()?;
        for (number, part) in manifest.chunk_list.parts.iter().enumerate() {
            let key = chunk_list_key(&manifest.database, &manifest.backup_id, number);
            if let Mirrored::Differs(_) = self.sites.mirror(&key, &part.sha256, part.stored_bytes).await? {
                return Err(offsite.error(StoreError::AlreadyExists { key }));
            }
        }
        self.publish_everywhere(manifest, &self.chunk_key(manifest.epoch).await?).await
    }

    fn serving_offsite(&self) -> Result<&SiteStore, VaultError> {
        self.sites.offsite().ok_or(VaultError::NoSite { site: Site::Offsite })
    }
}
