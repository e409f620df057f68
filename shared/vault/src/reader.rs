//! Reading chunks back, from one site alone.

use std::sync::Arc;

use bytes::Bytes;
use lifeboat_model::{ChunkKey, EpochNumber, Site, StoredChunk};

use crate::checksum::sha256;
use crate::error::VaultError;
use crate::heavy::on_cpu;
use crate::layout::chunk_key;
use crate::message::{Binding, Keys, Purpose};
use crate::repository::Repository;
use crate::sites::SiteStore;

/// Longest plaintext of a chunk, in bytes. A chunk is closed at the first row boundary after 8 MiB, and PostgreSQL copies
/// no row longer than 1 GiB; a list that claims more is forged, and no buffer is made for it.
pub const CHUNK_LIMIT_BYTES: u64 = (1 << 30) + (64 << 20);

/// Opens chunks of one site. What it returns is authenticated, complete and the content that the id names.
#[derive(Clone)]
pub struct Reader {
    repository: Repository,
    store: SiteStore,
}

impl Repository {
    /// A reader that uses `site` and never the other one.
    ///
    /// # Errors
    /// [`VaultError::NoSite`].
    pub fn reader(&self, site: Site) -> Result<Reader, VaultError> {
        Ok(Reader { store: self.sites().get(site)?.clone(), repository: self.clone() })
    }
}

impl Reader {
    /// The site it reads.
    pub fn site(&self) -> Site {
        self.store.site()
    }

    /// Reads a chunk's plaintext into `out`, which is emptied first and is empty again on failure.
    ///
    /// # Errors
    /// [`VaultError::WrongContent`] for other content than listed, or an object that is neither the listed one nor opens;
    /// [`VaultError::Open`] and
    /// [`VaultError::Foreign`] for a message that is damaged, forged or of another repository.
    pub async fn read(&self, chunk: &StoredChunk, out: &mut Vec<u8>) -> Result<(), VaultError> {
        out.clear();
        let read = self.read_checked(chunk, out).await;
        if read.is_err() {
            out.clear();
        }
        read
    }

    async fn read_checked(&self, chunk: &StoredChunk, out: &mut Vec<u8>) -> Result<(), VaultError> {
        let key = chunk_key(chunk.epoch, &chunk.id);
        for length in [chunk.raw_bytes, chunk.stored_bytes] {
            if length > CHUNK_LIMIT_BYTES {
                return Err(VaultError::ChunkTooLong { raw_bytes: length, limit_bytes: CHUNK_LIMIT_BYTES });
            }
        }
        let wrong = |reason| VaultError::WrongContent { site: self.site(), key: key.clone(), reason };
        let secret = self.repository.chunk_key(chunk.epoch).await?;
        let limit_bytes = chunk.stored_bytes.max(longest_object(chunk.raw_bytes));
        let fetched = self.store.get(&key, limit_bytes).await?;
        let is_listed = on_cpu(|| sha256(&fetched.body)) == chunk.sha256;
        let opener = ChunkOpener::new(self.repository.keys.clone(), &self.repository.id(), chunk.epoch)?;
        match opener.open(&self.store, &key, &secret, chunk, fetched.body, out).await {
            // Another object than listed is taken when it holds the content: the chunk was lost on every site and sealed
            // again, and its id, which is keyed, proves the plaintext.
            Err(VaultError::Open { source, .. }) if !is_listed && source.is_bad_message() => {
                Err(wrong("its sha-256 is another, and it does not open"))
            }
            opened => opened,
        }
    }
}

/// Longest object that holds `raw_bytes`: what zstd may add to incompressible bytes (1/256), what sealing adds to each
/// frame of 64 KiB (32 bytes), and a header.
fn longest_object(raw_bytes: u64) -> u64 {
    raw_bytes.saturating_add(raw_bytes / 64).saturating_add(64 * 1024)
}

/// From a sealed object to its plaintext.
pub(crate) struct ChunkOpener {
    keys: Arc<Keys>,
    binding: Binding,
}

impl ChunkOpener {
    pub(crate) fn new(keys: Arc<Keys>, repository_id: &str, epoch: EpochNumber) -> Result<Self, VaultError> {
        Ok(Self { keys, binding: Binding::new(repository_id, epoch, Purpose::Chunk)? })
    }

    /// Opens, unpacks at most `raw_bytes` and compares the content with the id. Does not keep the sealed form while it
    /// unpacks.
    pub(crate) async fn open(
        &self,
        store: &SiteStore,
        key: &str,
        secret: &ChunkKey,
        chunk: &StoredChunk,
        message: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<(), VaultError> {
        let wrong = |reason| VaultError::WrongContent { site: store.site(), key: key.to_owned(), reason };
        let mut compressed = Vec::new();
        self.binding.open(&self.keys, store.site(), key, &message, &mut compressed).await?;
        drop(message);
        let raw_bytes = usize::try_from(chunk.raw_bytes).map_err(|_| wrong("it is longer than memory"))?;
        on_cpu(|| {
            unpack(&compressed, raw_bytes, out).ok_or_else(|| wrong("it does not unpack to the listed length"))?;
            if secret.chunk_id(out) != chunk.id {
                return Err(wrong("its content is not what its id names"));
            }
            Ok(())
        })
    }
}

/// Unpacks exactly `len` bytes: a message that would unpack to more is refused before it takes more memory.
fn unpack(compressed: &[u8], len: usize, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    out.reserve_exact(len);
    let mut decompressor = zstd::bulk::Decompressor::new().ok()?;
    // Writes no further than the buffer's capacity, which may be a little or (reused) much more than `len`.
    decompressor.decompress_to_buffer(compressed, out).ok()?;
    (out.len() == len).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_refused_without_taking_the_memory_it_asks_for() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
        let mut out = Vec::new();
        assert!(unpack(&bomb, 1000, &mut out).is_none());
        assert!(out.capacity() < 1 << 20);
    }

    #[test]
    fn other_lengths_than_the_listed_are_refused_in_a_reused_buffer_too() {
        let packed = zstd::bulk::compress(b"0123456789", 1).unwrap();
        let mut out = Vec::with_capacity(1 << 20);
        assert!(unpack(&packed, 9, &mut out).is_none());
        assert!(unpack(&packed, 11, &mut out).is_none());
        assert!(unpack(&packed, 10, &mut out).is_some());
        assert_eq!(out, b"0123456789");
    }
}
