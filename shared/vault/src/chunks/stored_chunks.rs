//! What a site has of an epoch's chunks, page by page: for finding what no manifest lists.

use lifeboat_model::{ChunkId, EpochNumber, Site};

use crate::error::VaultError;
use crate::layout::epoch_prefix;
use crate::repository::Repository;

/// A page of [`Repository::stored_chunks`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredChunks {
    /// Ascending, at most [`PAGE_KEYS`](crate::PAGE_KEYS); none when all keys of the page are no chunk's.
    pub ids: Vec<ChunkId>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<String>,
}

impl Repository {
    /// One page of the ids of the chunks that a site has of an epoch, ascending, from where the page before said. Keys that
    /// are no chunk's are passed over, however many there are.
    ///
    /// # Errors
    /// [`VaultError::NoSite`], [`VaultError::Store`].
    pub async fn stored_chunks(
        &self,
        site: Site,
        epoch: EpochNumber,
        from: Option<&str>,
    ) -> Result<StoredChunks, VaultError> {
        let page = self.sites.get(site)?.list(&epoch_prefix(epoch), from).await?;
        let id = |key: &String| key.rsplit('/').next().and_then(|name| name.parse::<ChunkId>().ok());
        let ids = page.keys.iter().filter_map(id).collect();
        // By key and not by the last id: a page of foreign keys has none.
        let next = page.keys.into_iter().next_back().filter(|_| page.more);
        Ok(StoredChunks { ids, next })
    }
}
