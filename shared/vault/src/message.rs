//! What a sealed message is bound to: the repository, the epoch and the purpose.

use std::sync::Arc;

use lifeboat_model::{EpochNumber, Site};
use lifeboat_seal::{CachedDataKeys, DataKeys, EncryptionContext, Header, SealError, Sealer, open};

use crate::error::VaultError;

/// Data keys, asked for once per run.
pub(crate) type Keys = CachedDataKeys<Arc<dyn DataKeys>>;

/// What a message is for. A message of one purpose is never taken for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    ChunkKey,
    Chunk,
}

/// The encryption context of a message: it stands in the clear in the header, and the key service binds it to the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    context: EncryptionContext,
}

impl Binding {
    pub(crate) fn new(repository_id: &str, epoch: EpochNumber, purpose: Purpose) -> Result<Self, VaultError> {
        let purpose = match purpose {
            Purpose::ChunkKey => "chunk-key",
            Purpose::Chunk => "chunk",
        };
        let context = EncryptionContext::from_pairs([
            ("lifeboat-repository", repository_id),
            ("lifeboat-epoch", &epoch.to_string()),
            ("lifeboat-purpose", purpose),
        ])
        .map_err(|source| VaultError::Seal { source })?;
        Ok(Self { context })
    }

    /// A sealer with a data key of its own. Asks the key service once.
    pub(crate) async fn sealer(&self, keys: &Keys) -> Result<Sealer, VaultError> {
        let generated = keys.generate(&self.context).await.map_err(|source| VaultError::DataKey { source })?;
        Sealer::new(generated, &self.context).map_err(|source| VaultError::Seal { source })
    }

    /// Opens a message into `out`, which is emptied first and stays empty on failure.
    ///
    /// The context is compared before the key service is asked, and authenticated by opening.
    ///
    /// # Errors
    /// [`VaultError::Foreign`] for a message of another repository, epoch or purpose; [`VaultError::Open`].
    pub(crate) async fn open(
        &self,
        keys: &Keys,
        site: Site,
        key: &str,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), VaultError> {
        let failed = |source| VaultError::Open { site, key: key.to_owned(), source };
        out.clear();
        let truncated = || failed(SealError::Truncated { len: message.len() as u64 });
        let header = Header::parse(message).map_err(failed)?.ok_or_else(truncated)?;
        if *header.context() != self.context {
            return Err(VaultError::Foreign { site, key: key.to_owned() });
        }
        let opened = open(message, keys, out).await;
        if opened.is_err() {
            out.clear();
        }
        opened.map_err(failed)
    }
}
