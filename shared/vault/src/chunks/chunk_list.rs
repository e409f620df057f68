//! The chunk list of a backup, written and read part by part.

use std::io::Write as _;

use lifeboat_model::{BackupId, ChunkEntry, ChunkList, ChunkListPart, DatabaseName, EpochNumber, Manifest, Site};
use zstd::stream::write::Encoder;

use crate::chunks::cpu::on_cpu;
use crate::error::VaultError;
use crate::layout::chunk_list_key;
use crate::repository::Repository;
use crate::repository::document::Place;
use crate::store::checksum::sha256;
use crate::store::port::NewObject;
use crate::store::site_order::SiteOrder;
use crate::store::sites::{SiteStore, Sites};

/// Lines in one part: some 15 MB of JSON, 3 MB compressed. All that a writer or reader of a list ever holds.
pub const PART_ENTRIES: usize = 50_000;

/// Longest compressed part that is read, in bytes.
const PART_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// Longest unpacked part that is read, in bytes: over 1 KiB a line, which takes about 300 bytes.
const PART_TEXT_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// Most parts in a list: 250 million chunks, 500 TB in slices of 2 MiB.
const PARTS_LIMIT: usize = 5_000;

const ZSTD_LEVEL: i32 = 3;

/// Writes a chunk list in the order it is given.
pub struct ChunkListWriter {
    sites: Sites,
    database: DatabaseName,
    backup_id: BackupId,
    part_entries: usize,
    part: Encoder<'static, Vec<u8>>,
    in_part: usize,
    list: ChunkList,
}

impl Repository {
    /// Begins the chunk list of a backup.
    ///
    /// # Errors
    /// [`VaultError::Compress`].
    pub fn chunk_list(&self, database: &DatabaseName, backup_id: &BackupId) -> Result<ChunkListWriter, VaultError> {
        self.chunk_list_in_parts(database, backup_id, PART_ENTRIES)
    }

    pub(crate) fn chunk_list_in_parts(
        &self,
        database: &DatabaseName,
        backup_id: &BackupId,
        part_entries: usize,
    ) -> Result<ChunkListWriter, VaultError> {
        Ok(ChunkListWriter {
            sites: self.sites.clone(),
            database: database.clone(),
            backup_id: backup_id.clone(),
            part_entries,
            part: encoder()?,
            in_part: 0,
            list: ChunkList::default(),
        })
    }

    /// Reads the chunk list of a backup from `site`, in order.
    ///
    /// # Errors
    /// [`VaultError::NoSite`].
    pub fn chunk_entries(&self, manifest: &Manifest, site: Site) -> Result<ChunkEntries, VaultError> {
        Ok(self.chunk_entries_of(manifest, &self.site_order(&[site])?))
    }

    /// Reads the chunk list of a backup, each part from the first of these sites that gives it whole.
    pub fn chunk_entries_of(&self, manifest: &Manifest, order: &SiteOrder) -> ChunkEntries {
        ChunkEntries {
            order: order.clone(),
            database: manifest.database.clone(),
            backup_id: manifest.backup_id.clone(),
            epoch: manifest.epoch,
            list: manifest.chunk_list.clone(),
            next_part: 0,
            entries: Vec::new().into_iter(),
        }
    }
}

impl ChunkListWriter {
    /// Adds a line; stores a part, when it is full, on every site that is not set aside.
    ///
    /// # Errors
    /// [`VaultError::Store`]; [`VaultError::TooMany`].
    pub async fn push(&mut self, entry: &ChunkEntry) -> Result<(), VaultError> {
        let encode = |source| VaultError::Encode { key: "chunk list".to_owned(), source };
        serde_json::to_writer(&mut self.part, entry).map_err(encode)?;
        self.part.write_all(b"\n").map_err(failed)?;
        self.in_part += 1;
        if self.in_part == self.part_entries {
            self.store_part().await?;
        }
        Ok(())
    }

    /// Stores the last part. The manifest carries what this returns.
    ///
    /// # Errors
    /// As [`ChunkListWriter::push`].
    pub async fn finish(mut self) -> Result<ChunkList, VaultError> {
        if self.in_part > 0 {
            self.store_part().await?;
        }
        Ok(self.list)
    }

    async fn store_part(&mut self) -> Result<(), VaultError> {
        let number = self.list.parts.len();
        if number == PARTS_LIMIT {
            return Err(VaultError::TooMany { what: "parts of a chunk list", limit: PARTS_LIMIT });
        }
        let part = std::mem::replace(&mut self.part, encoder()?);
        let object = NewObject::new(part.finish().map_err(failed)?);
        let entries = std::mem::take(&mut self.in_part) as u64;
        let stored = ChunkListPart { entries, stored_bytes: object.body.len() as u64, sha256: object.sha256 };
        let key = chunk_list_key(&self.database, &self.backup_id, number);
        self.sites.or_aside(self.sites.create_everywhere(&key, object).await)?;
        self.list.entries += entries;
        self.list.parts.push(stored);
        Ok(())
    }
}

/// The lines of a chunk list, read part by part; each part's SHA-256 is checked before a line of it is given out.
pub struct ChunkEntries {
    order: SiteOrder,
    database: DatabaseName,
    backup_id: BackupId,
    epoch: EpochNumber,
    list: ChunkList,
    next_part: usize,
    entries: std::vec::IntoIter<ChunkEntry>,
}

impl ChunkEntries {
    /// The next line; `None` after the last.
    ///
    /// # Errors
    /// [`VaultError::WrongContent`] when a part is not the one the manifest names; [`VaultError::Store`].
    #[allow(clippy::should_implement_trait)]
    pub async fn next(&mut self) -> Result<Option<ChunkEntry>, VaultError> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Ok(Some(entry));
            }
            let Some(part) = self.list.parts.get(self.next_part).cloned() else { return Ok(None) };
            self.entries = self.read_part(self.next_part, &part).await?.into_iter();
            self.next_part += 1;
        }
    }

    async fn read_part(&self, number: usize, part: &ChunkListPart) -> Result<Vec<ChunkEntry>, VaultError> {
        let (stores, mut refused) = (self.order.stores(), Vec::new());
        for store in &stores {
            match self.read_part_of(store, number, part).await {
                Ok(entries) => {
                    self.order.learn(store.site(), &refused);
                    return Ok(entries);
                }
                Err(error) => refused.push(error),
            }
        }
        Err(self.order.failure(&stores, refused))
    }

    async fn read_part_of(
        &self,
        store: &SiteStore,
        number: usize,
        part: &ChunkListPart,
    ) -> Result<Vec<ChunkEntry>, VaultError> {
        let key = chunk_list_key(&self.database, &self.backup_id, number);
        let site = store.site();
        let wrong = |reason| VaultError::WrongContent { site, key: key.clone(), reason };
        if part.stored_bytes > PART_LIMIT_BYTES {
            return Err(wrong("it is longer than a part can be"));
        }
        let fetched = store.get(&key, part.stored_bytes).await?;
        on_cpu(|| {
            if sha256(&fetched.body) != part.sha256 {
                return Err(wrong("its sha-256 differs from the manifest"));
            }
            let text = unpack(&fetched.body).ok_or_else(|| wrong("it does not unpack"))?;
            let place = Place { site, key: &key };
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let entries: Vec<ChunkEntry> = lines.map(|line| place.parse(line)).collect::<Result<_, _>>()?;
            if entries.len() as u64 != part.entries {
                return Err(wrong("it has another number of lines"));
            }
            // Reuse never reaches over an epoch's border; and one epoch's signature must not vouch for another's chunks.
            if entries.iter().filter_map(|entry| entry.chunk.as_ref()).any(|chunk| chunk.epoch != self.epoch) {
                return Err(wrong("it lists a chunk of another epoch"));
            }
            Ok(entries)
        })
    }
}

fn encoder() -> Result<Encoder<'static, Vec<u8>>, VaultError> {
    let mut encoder = Encoder::new(Vec::new(), ZSTD_LEVEL).map_err(failed)?;
    encoder.include_checksum(true).map_err(failed)?;
    Ok(encoder)
}

/// A streamed frame does not name its length, so this reads up to one byte more than is allowed.
fn unpack(part: &[u8]) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut text = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(part).ok()?;
    decoder.take(PART_TEXT_LIMIT_BYTES as u64 + 1).read_to_end(&mut text).ok()?;
    (text.len() <= PART_TEXT_LIMIT_BYTES).then_some(text)
}

fn failed(cause: std::io::Error) -> VaultError {
    VaultError::Compress { reason: cause.to_string() }
}
