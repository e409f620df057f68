//! Objects that a document lists, and how a reader without secrets tells a sound one.

use lifeboat_model::{BackupId, DatabaseName, EpochNumber, Manifest, Sha256, StoredChunk};

use crate::layout::{REPOSITORY_KEY, chunk_key, chunk_list_key, manifest_key};
use crate::store::port::DOCUMENT_LIMIT_BYTES;

/// Checksums that are remembered for one chunk: the first, and one more each time it was lost everywhere and sealed anew.
const SUMS_LIMIT: usize = 16;

/// An object that something lists, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub(super) key: String,
    pub(super) content: Content,
}

/// How a reader without secrets recognises a sound object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A list that the epoch's signature vouches for gives its length and SHA-256. A chunk that was sealed again has
    /// several.
    Sums { epoch: EpochNumber, sums: Vec<Sum> },
    /// A manifest proves itself: [`SignedManifest`].
    Manifest { database: DatabaseName, backup_id: BackupId },
    /// So does the document at the root, against damage only.
    Repository,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) size_bytes: u64,
    pub(super) sha256: Sha256,
}

impl Listed {
    /// A chunk, as a chunk list has it. The list must come from a manifest of the chunk's epoch whose signature holds.
    pub fn chunk(chunk: &StoredChunk) -> Self {
        let sums = vec![Sum { size_bytes: chunk.stored_bytes, sha256: chunk.sha256 }];
        Self { key: chunk_key(chunk.epoch, &chunk.id), content: Content::Sums { epoch: chunk.epoch, sums } }
    }

    /// The same chunk, as another list has it: any of the listed objects is sound. Each was proved to hold the content when
    /// it was listed.
    #[must_use]
    pub fn or(mut self, chunk: &StoredChunk) -> Self {
        let sum = Sum { size_bytes: chunk.stored_bytes, sha256: chunk.sha256 };
        match &mut self.content {
            Content::Sums { epoch, sums }
                if self.key == chunk_key(*epoch, &chunk.id) && !sums.contains(&sum) && sums.len() < SUMS_LIMIT =>
            {
                sums.push(sum);
            }
            _ => {}
        }
        self
    }

    /// The parts of a backup's chunk list, as its manifest has them.
    pub fn chunk_list(manifest: &Manifest) -> impl Iterator<Item = Self> + '_ {
        manifest.chunk_list.parts.iter().enumerate().map(|(number, part)| Self {
            key: chunk_list_key(&manifest.database, &manifest.backup_id, number),
            content: Content::Sums {
                epoch: manifest.epoch,
                sums: vec![Sum { size_bytes: part.stored_bytes, sha256: part.sha256 }],
            },
        })
    }

    /// A backup's manifest.
    pub fn manifest(database: &DatabaseName, backup_id: &BackupId) -> Self {
        let content = Content::Manifest { database: database.clone(), backup_id: backup_id.clone() };
        Self { key: manifest_key(database, backup_id), content }
    }

    /// `repository.json`.
    pub fn repository() -> Self {
        Self { key: REPOSITORY_KEY.to_owned(), content: Content::Repository }
    }

    /// Its key in the bucket.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn limit_bytes(&self) -> u64 {
        match &self.content {
            Content::Sums { sums, .. } => longest(sums),
            Content::Manifest { .. } | Content::Repository => DOCUMENT_LIMIT_BYTES,
        }
    }
}

pub(super) fn longest(sums: &[Sum]) -> u64 {
    sums.iter().map(|sum| sum.size_bytes).max().unwrap_or_default()
}
