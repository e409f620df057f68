//! A repository on two stores in memory behind one script, and a small backup to store in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{
    Act, BackupId, BackupState, ChunkEntry, ChunkList, DatabaseName, LedgerAct, MANIFEST_FORMAT, Mandate, Manifest,
    Outcome, Phases, RowDigest, Site, Source, StoredChunk, Stream, Totals,
};
use lifeboat_seal::{DataKeys, RawAesDataKeys, RawAesKey};
use lifeboat_vault::{
    Listed, MacKey, MacKeys, ObjectStore, Repository, Scratch, Sites, VaultError, WriteOptions, Writer,
};

use crate::faulty::{FaultyStore, Script};
use crate::keys::HmacKey;
use crate::memory::MemoryStore;

/// How long leases last in tests.
pub const TTL: SignedDuration = SignedDuration::from_mins(15);

/// An act of `actor` for the ledger.
pub fn act(actor: &str) -> LedgerAct {
    LedgerAct {
        mandate: Mandate { actor: actor.to_owned(), reason: "a test".to_owned() },
        action: Act::Backup,
        subject: "clinic".to_owned(),
        outcome: Outcome::Completed,
        detail: BTreeMap::new(),
    }
}

/// Two sites as they are on disk, and the process that works on them.
#[derive(Clone)]
pub struct Bench {
    pub primary: MemoryStore,
    pub offsite: MemoryStore,
    pub script: Script,
    pub keys: Arc<dyn DataKeys>,
    pub macs: MacKeys,
}

pub fn now() -> Timestamp {
    "2026-11-21T20:49:33Z".parse().unwrap()
}

pub fn database() -> DatabaseName {
    "clinic".parse().unwrap()
}

pub fn backup_id(random: u32) -> BackupId {
    BackupId::new(now(), random)
}

/// The plaintexts of a small backup: compressible, not, empty, and one twice.
pub fn plaintexts() -> Vec<Vec<u8>> {
    vec![b"row\n".repeat(2000), noise(7, 5000), Vec::new(), noise(8, 5000), b"row\n".repeat(2000)]
}

/// Bytes that do not compress.
pub fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(next).collect()
}

pub fn raw_keys(names: &[&str]) -> Arc<dyn DataKeys> {
    let key = |name: &&str| RawAesKey::new("lifeboat", *name, &[name.len() as u8; 32]).unwrap();
    Arc::new(RawAesDataKeys::new(names.iter().map(key).collect()).unwrap())
}

/// The MAC key of a site, called as the site.
pub fn mac_key(site: Site) -> Arc<dyn MacKey> {
    Arc::new(HmacKey::new(site.to_string(), site.to_string().as_bytes()))
}

/// The MAC keys of these sites.
pub fn mac_keys(sites: &[Site]) -> MacKeys {
    let key = |site: &Site| -> (Site, Arc<dyn MacKey>) { (*site, mac_key(*site)) };
    MacKeys::new(sites.iter().map(key))
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    pub fn new() -> Self {
        Self {
            primary: MemoryStore::new(),
            offsite: MemoryStore::new(),
            script: Script::new(),
            keys: raw_keys(&["near", "far-away"]),
            macs: mac_keys(&[Site::Primary, Site::Offsite]),
        }
    }

    pub fn memory(&self, site: Site) -> &MemoryStore {
        match site {
            Site::Primary => &self.primary,
            Site::Offsite => &self.offsite,
        }
    }

    pub fn store(&self, site: Site) -> Arc<dyn ObjectStore> {
        Arc::new(FaultyStore::new(self.memory(site).clone(), self.script.clone()))
    }

    pub fn sites(&self) -> Sites {
        Sites::new(Some(self.store(Site::Primary)), Some(self.store(Site::Offsite)))
    }

    pub async fn open_or_create(&self) -> Result<Repository, VaultError> {
        Repository::open_or_create(self.sites(), self.keys.clone(), now()).await
    }

    pub async fn repository(&self) -> Repository {
        self.open_or_create().await.unwrap()
    }

    pub async fn writer(&self) -> Writer {
        self.repository().await.begin_writing(now()).await.unwrap()
    }
}

/// Stores all plaintexts, lists them and publishes the manifest, as the engine does.
pub async fn back_up(
    repository: &Repository,
    backup_id: &BackupId,
    previous: Option<&Manifest>,
) -> Result<Manifest, VaultError> {
    let writer = repository.begin_writing_with(now(), WriteOptions::default()).await?;
    if let Some(previous) = previous {
        writer.remember_backup(previous).await?;
    }
    let mut scratch = Scratch::new()?;
    let mut list = repository.chunk_list(&database(), backup_id)?;
    let mut totals = Totals::default();
    for (part, plaintext) in plaintexts().iter().enumerate() {
        let chunk = writer.store(plaintext, &mut scratch).await?;
        if chunk.is_reused() {
            totals.reused_chunks += 1;
        } else {
            totals.new_chunks += 1;
        }
        list.push(&entry(part as u32, chunk)).await?;
    }
    let mut manifest = manifest(backup_id, writer.epoch(), list.finish().await?);
    manifest.totals = totals;
    repository.publish(&manifest, writer.chunk_key()).await?;
    Ok(manifest)
}

pub fn entry(part: u32, chunk: StoredChunk) -> ChunkEntry {
    ChunkEntry {
        stream: Stream::Table(1),
        part,
        slice: None,
        rows: 1,
        digest: RowDigest::default(),
        chunk: Some(chunk),
    }
}

pub fn manifest(backup_id: &BackupId, epoch: lifeboat_model::EpochNumber, chunk_list: ChunkList) -> Manifest {
    Manifest {
        format: MANIFEST_FORMAT,
        backup_id: backup_id.clone(),
        database: database(),
        state: BackupState::Complete,
        epoch,
        started_at: now(),
        finished_at: now(),
        source: Source {
            datname: "clinic".into(),
            server_version_num: 150_018,
            system_identifier: None,
            server_started_at: None,
            timeline: None,
            lsn: None,
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "C".into(),
            locale_provider: None,
            provider_locale: None,
            icu_rules: None,
            collation_version: None,
            snapshot: "10:10:".into(),
            snapshot_at: now(),
        },
        slice_blocks: 256,
        relations: Vec::new(),
        large_objects: 0,
        totals: Totals::default(),
        chunk_list,
        seconds: Phases::default(),
        tools: Vec::new(),
        ledger: None,
    }
}

/// Every object that a backup needs, in the order in which a verification reads them.
pub async fn everything(repository: &Repository, backup_id: &BackupId, site: Site) -> Vec<Listed> {
    let manifest = repository.manifest(&database(), backup_id, site).await.unwrap();
    let mut listed = vec![Listed::repository(), Listed::manifest(&database(), backup_id)];
    listed.extend(Listed::chunk_list(&manifest));
    let mut entries = repository.chunk_entries(&manifest, site).unwrap();
    while let Some(entry) = entries.next().await.unwrap() {
        let chunk = Listed::chunk(&entry.chunk.unwrap());
        if !listed.contains(&chunk) {
            listed.push(chunk);
        }
    }
    listed
}

/// Reads everything that a backup lists from `site` alone, and compares it with the plaintexts.
pub async fn assert_restores(repository: &Repository, backup_id: &BackupId, site: Site) {
    let manifest = repository.authenticated_manifest(&database(), backup_id, site).await.unwrap();
    let reader = repository.reader(site).unwrap();
    let mut entries = repository.chunk_entries(&manifest, site).unwrap();
    let mut plaintext = Vec::new();
    let mut restored = Vec::new();
    while let Some(entry) = entries.next().await.unwrap() {
        reader.read(&entry.chunk.unwrap(), &mut plaintext).await.unwrap();
        restored.push(plaintext.clone());
    }
    assert_eq!(restored, plaintexts());
}
