//! Manifests that one site does not have: lost there, or of a backup that was never brought there.
//!
//! A manifest says that everything it names is there. So before one is put back, what it names is: a verification that is cut
//! off leaves no backup on a site that is not whole.

use futures_util::{StreamExt as _, TryStreamExt as _};
use lifeboat_model::{Finding, FindingKind, FindingSubject, Manifest, Site};
use lifeboat_vault::Listed;

use super::objects::{BATCH, Backup, Inspection, READS_AT_ONCE};
use crate::error::EngineError;

impl Inspection<'_> {
    /// Whether the manifest of a backup may be looked at, and healed, on a site: it is there, or nothing else of the backup
    /// is missing any more, or no other site has it either.
    pub(super) async fn is_ready_for(
        &mut self,
        listed: &Listed,
        backup: &Backup,
        site: Site,
    ) -> Result<bool, EngineError> {
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

    /// Brings to a site what it does not have of a backup. Returns how many objects it still does not have.
    async fn bring_back(&mut self, manifest: &Manifest, site: Site) -> Result<usize, EngineError> {
        // On both sites: the list that is followed may itself have to be healed first.
        self.look_at(Listed::chunk_list(manifest)).await?;
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

    async fn bring_batch_back(&mut self, batch: Vec<Listed>, site: Site) -> Result<usize, EngineError> {
        let repository = &self.repository;
        let asked = batch.into_iter().map(|listed| async move {
            let is_absent = repository.is_absent(site, &listed).await?;
            Ok::<_, EngineError>(is_absent.then_some((listed, site)))
        });
        let asked = futures_util::stream::iter(asked).buffer_unordered(READS_AT_ONCE);
        let absent: Vec<_> = asked.try_filter_map(async |absent| Ok(absent)).try_collect().await?;
        let count = absent.len();
        Ok(count - self.look_at_each(Box::new(absent.into_iter())).await?)
    }
}
