//! What a sealed message is bound to: the repository, the epoch and the purpose.

use std::sync::Arc;

use lifeboat_model::{EpochNumber, Site};
use lifeboat_seal::{CachedDataKeys, DataKeys, EncryptionContext, Header, OpenStream, SealError, Sealer};

use crate::error::VaultError;

/// Data keys, asked for once per run.
pub(crate) type Keys = CachedDataKeys<Arc<dyn DataKeys>>;

/// The purpose of a message. A message of one purpose is never accepted for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    ChunkKey,
    Chunk,
    /// A probe: the only purpose for which `health` may decrypt.
    Doctor,
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
            Purpose::Doctor => "doctor",
        };
        let context = EncryptionContext::from_pairs([
            ("lifeboat-repository", repository_id),
            ("lifeboat-epoch", &epoch.to_string()),
            ("lifeboat-purpose", purpose),
        ])
        .map_err(|source| VaultError::Seal { source })?;
        Ok(Self { context })
    }

    /// Whether a message says that it is bound to this.
    pub(crate) fn is_of(&self, header: &Header) -> bool {
        *header.context() == self.context
    }

    /// A sealer with a data key of its own. Asks the key service once.
    pub(crate) async fn sealer(&self, keys: &Keys) -> Result<Sealer, VaultError> {
        let generated = keys.generate(&self.context).await.map_err(|source| VaultError::DataKey { source })?;
        Sealer::new(generated, &self.context).map_err(|source| VaultError::Seal { source })
    }

    /// Begins to open a message, which is called `key` on `site`.
    pub(crate) fn opening<'a>(&'a self, keys: &'a Keys, site: Site, key: &'a str) -> OpeningMessage<'a> {
        OpeningMessage { binding: self, keys, site, key, beginning: Vec::new(), body: None }
    }

    /// Opens a whole message.
    ///
    /// # Errors
    /// As [`OpeningMessage::take`].
    pub(crate) async fn open(&self, keys: &Keys, site: Site, key: &str, message: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut plaintext = Vec::new();
        let mut opening = self.opening(keys, site, key);
        opening.take(message, &mut plaintext).await?;
        opening.finish()?;
        Ok(plaintext)
    }
}

/// A message that is opened as it comes.
pub(crate) struct OpeningMessage<'a> {
    binding: &'a Binding,
    keys: &'a Keys,
    site: Site,
    key: &'a str,
    /// What has come of the header, as long as it is not whole. A header that is longer than its limits is refused.
    beginning: Vec<u8>,
    body: Option<OpenStream>,
}

impl OpeningMessage<'_> {
    /// Takes the next bytes, however the message is cut, and appends the frames that they complete to `out`: authenticated,
    /// but the beginning of the message only, until [`OpeningMessage::finish`] has said that it is all of it.
    ///
    /// The context is compared before the key service is asked, and authenticated by opening.
    ///
    /// # Errors
    /// [`VaultError::Foreign`] for a message of another repository, epoch or purpose; [`VaultError::Open`]. Nothing more may
    /// be taken then.
    pub(crate) async fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), VaultError> {
        if let Some(body) = &mut self.body {
            return body.update(piece, out).map_err(|source| self.failed(source));
        }
        self.beginning.extend_from_slice(piece);
        let Some(header) = Header::parse(&self.beginning).map_err(|source| self.failed(source))? else {
            return Ok(());
        };
        if !self.binding.is_of(&header) {
            return Err(VaultError::Foreign { site: self.site, key: self.key.to_owned() });
        }
        let data_key = self.keys.decrypt(header.context(), header.data_keys()).await;
        let data_key = data_key.map_err(|error| self.failed(error.into()))?;
        let mut body = OpenStream::new(&header, &data_key).map_err(|source| self.failed(source))?;
        let rest = self.beginning.get(header.encoded_len()..).unwrap_or_default();
        body.update(rest, out).map_err(|source| self.failed(source))?;
        self.beginning = Vec::new();
        self.body = Some(body);
        Ok(())
    }

    /// States that the message has ended.
    ///
    /// # Errors
    /// [`VaultError::Open`] when it is cut off.
    pub(crate) fn finish(self) -> Result<(), VaultError> {
        let Self { site, key, .. } = self;
        let finished = match self.body {
            Some(body) => body.finish(),
            None => Err(SealError::Truncated { len: self.beginning.len() as u64 }),
        };
        finished.map_err(|source| VaultError::Open { site, key: key.to_owned(), source })
    }

    fn failed(&self, source: SealError) -> VaultError {
        VaultError::Open { site: self.site, key: self.key.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_seal::{RawAesDataKeys, RawAesKey};

    use super::*;

    fn keys() -> Keys {
        let key = RawAesKey::new("lifeboat", "near", &[7; 32]).unwrap();
        Keys::new(Arc::new(RawAesDataKeys::new(vec![key]).unwrap()))
    }

    async fn opened(binding: &Binding, message: &[u8], piece_bytes: usize) -> Result<Vec<u8>, VaultError> {
        let (keys, mut out) = (keys(), Vec::new());
        let mut opening = binding.opening(&keys, Site::Primary, "key");
        for piece in message.chunks(piece_bytes) {
            opening.take(piece, &mut out).await?;
        }
        opening.finish().map(|()| out)
    }

    #[tokio::test]
    async fn a_message_opens_to_the_same_however_its_header_is_cut() {
        let binding = Binding::new("repository", EpochNumber(1), Purpose::Chunk).unwrap();
        let plaintext = b"row\n".repeat(50_000);
        let mut message = Vec::new();
        binding.sealer(&keys()).await.unwrap().seal(&plaintext, &mut message).unwrap();
        let header_len = Header::parse(&message).unwrap().unwrap().encoded_len();
        for piece_bytes in [1, 7, header_len - 1, header_len, header_len + 1, message.len()] {
            assert!(opened(&binding, &message, piece_bytes).await.unwrap() == plaintext, "{piece_bytes}");
            let foreign = Binding::new("another", EpochNumber(1), Purpose::Chunk).unwrap();
            let refused = opened(&foreign, &message, piece_bytes).await;
            assert!(matches!(refused, Err(VaultError::Foreign { .. })), "{refused:?}");
        }
        for len in [0, 1, header_len - 1, header_len, header_len + 1, message.len() - 1] {
            let refused = opened(&binding, &message[..len], 100).await;
            let truncated = matches!(&refused, Err(VaultError::Open { source: SealError::Truncated { .. }, .. }));
            assert!(truncated, "{len}: {refused:?}");
        }
    }
}
