//! Manifests that are missing on one site: they were lost there, or the backup was never copied there.
//!
//! A manifest states that all objects that it names exist. These objects are therefore copied first, so that an interrupted
//! verification never leaves an incomplete backup on a site.

use futures_util::{StreamExt as _, TryStreamExt as _};
use lifeboat_model::{Finding, FindingKind, FindingSubject, Manifest, Site};
use lifeboat_vault::Listed;

use super::inspection::{Backup, Inspection, Mismatch, READS_AT_ONCE};
use crate::error::EngineError;

/// Chunks gathered from a chunk list before they are asked for.
const BATCH: usize = 256;

impl Inspection<'_> {
    /// Whether the manifest of a backup may be checked and healed on a site. This holds if the manifest exists there, if no other
    /// object of the backup is missing, or if the other site lacks the manifest too.
    pub(super) async fn is_ready_for(&self, listed: &Listed, backup: &Backup, site: Site) -> Result<bool, EngineError> {
        if !matches!(self.repository.is_absent(site, listed).await, Ok(true)) {
            return Ok(true);
        }
        let Ok(manifest) = self.repository.manifest(&backup.database, &backup.id, site.other()).await else {
            return Ok(true);
        };
        let still_missing = self.bring_back(&manifest, site).await?;
        if still_missing == 0 {
            return Ok(true);
        }
        self.found(Finding {
            kind: FindingKind::Missing,
            site: Some(site),
            subject: FindingSubject::stored(listed.key()),
            detail: format!("missing; not healed: {still_missing} of the objects that it names are missing, too"),
            healed: false,
        });
        Ok(false)
    }

    /// Copies the missing objects of a backup to a site. Returns how many are still missing.
    async fn bring_back(&self, manifest: &Manifest, site: Site) -> Result<usize, EngineError> {
        // Both sites are checked, because the list to follow may have to be healed first.
        self.look_at(Mismatch::IsDamage, Listed::chunk_list(manifest)).await?;
        let mut still_missing = self.bring_batch_back(Listed::chunk_list(manifest).collect(), site).await?;
        let mut entries = self.repository.chunk_entries(manifest, site.other())?;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let entry = match entries.next().await {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::warn!(%site, backup_id = %manifest.backup_id, %error, "a chunk list cannot be followed");
                    still_missing += 1;
                    None
                }
            };
            let is_last = entry.is_none();
            batch.extend(entry.and_then(|entry| entry.chunk).map(|chunk| Listed::chunk(&chunk)));
            if batch.len() == BATCH || is_last {
                still_missing += self.bring_batch_back(std::mem::take(&mut batch), site).await?;
            }
            if is_last {
                return Ok(still_missing);
            }
        }
    }

    async fn bring_batch_back(&self, batch: Vec<Listed>, site: Site) -> Result<usize, EngineError> {
        let repository = &self.repository;
        let asked = batch.into_iter().map(|listed| async move {
            let is_absent = repository.is_absent(site, &listed).await?;
            Ok::<_, EngineError>(is_absent.then_some((listed, site)))
        });
        let asked = futures_util::stream::iter(asked).buffer_unordered(READS_AT_ONCE);
        let absent: Vec<_> = asked.try_filter_map(async |absent| Ok(absent)).try_collect().await?;
        let count = absent.len();
        Ok(count - self.look_at_each(Mismatch::IsDamage, absent).await?)
    }
}
