//! Two sites as they are on disk: what every imagined process of a test works on, and what may happen to them meanwhile.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lifeboat_bench::{FaultyStore, HmacKey, MemoryStore, Script};
use lifeboat_model::{
    BackupId, ChunkEntry, Lease, LedgerEntry, Manifest, Outcome, ScratchEntry, ScratchList, Site, Stream,
};
use lifeboat_seal::{DataKeys, RawAesDataKeys, RawAesKey};
use lifeboat_vault::{LedgerFilter, MacKey, MacKeys, NewObject, ObjectStore, PutCondition, Repository, Sites};

use lifeboat_bench::database;

const SCRATCH: &str = "state/scratch.json";

pub const BOTH: [Site; 2] = [Site::Primary, Site::Offsite];

/// The objects of both sites. Clones share them.
#[derive(Clone, Default)]
pub struct Stores {
    pub primary: MemoryStore,
    pub offsite: MemoryStore,
}

/// The keys of some sites. A message that is sealed with both keys can be opened with either.
pub fn keys_of(sites: &[Site]) -> Arc<dyn DataKeys> {
    let key = |site: &Site| {
        let secret = [if *site == Site::Primary { 1 } else { 2 }; 32];
        RawAesKey::new("lifeboat", site.to_string(), &secret).unwrap()
    };
    Arc::new(RawAesDataKeys::new(sites.iter().map(key).collect()).unwrap())
}

/// The keys of both sites that vouch for the ledger.
pub fn macs() -> MacKeys {
    MacKeys::new(BOTH.map(|site| -> (Site, Arc<dyn MacKey>) { (site, Arc::new(mac_key(site))) }))
}

pub fn mac_key(site: Site) -> HmacKey {
    HmacKey::new(site.to_string(), site.to_string().as_bytes())
}

/// A key that nothing here was sealed with.
pub fn stranger_s_key() -> Arc<dyn DataKeys> {
    let key = RawAesKey::new("lifeboat", "stranger", &[9; 32]).unwrap();
    Arc::new(RawAesDataKeys::new(vec![key]).unwrap())
}

impl Stores {
    pub fn of(&self, site: Site) -> &MemoryStore {
        match site {
            Site::Primary => &self.primary,
            Site::Offsite => &self.offsite,
        }
    }

    pub fn sites(&self) -> Sites {
        self.behind(&Script::new(), &Script::new())
    }

    /// Both sites, each behind a script; one script for both is one process that can be killed.
    pub fn behind(&self, primary: &Script, offsite: &Script) -> Sites {
        let store = |site, script: &Script| -> Option<Arc<dyn ObjectStore>> {
            Some(Arc::new(FaultyStore::new(self.of(site).clone(), script.clone())))
        };
        Sites::new(store(Site::Primary, primary), store(Site::Offsite, offsite))
    }

    /// The other region alone.
    pub fn offsite_alone(&self) -> Sites {
        Sites::new(None, Some(Arc::new(self.offsite.clone())))
    }

    /// The same objects in stores of their own.
    pub async fn copy(&self) -> Self {
        let copy = Self::default();
        for site in BOTH {
            for key in self.of(site).keys("") {
                let fetched = self.of(site).get(&key, u64::MAX).await.unwrap();
                let object = NewObject { mark: fetched.mark, ..NewObject::new(fetched.body) };
                copy.of(site).put(&key, object, PutCondition::CreateOnly).await.unwrap();
            }
        }
        copy
    }

    pub async fn repository(&self) -> Repository {
        Repository::open(self.sites(), keys_of(&BOTH)).await.unwrap()
    }

    /// The backups that a site lists, oldest first. No repository yet: none.
    pub async fn backups(&self, site: Site) -> Vec<BackupId> {
        match Repository::open(self.sites(), keys_of(&BOTH)).await {
            Ok(repository) => repository.manifests(&database(), site).await.unwrap(),
            Err(_) => Vec::new(),
        }
    }

    pub async fn manifest(&self, backup: &BackupId, site: Site) -> Manifest {
        self.repository().await.authenticated_manifest(&database(), backup, site).await.unwrap()
    }

    /// Every line of a backup's chunk list.
    pub async fn chunk_entries(&self, manifest: &Manifest, site: Site) -> Vec<ChunkEntry> {
        let mut list = self.repository().await.chunk_entries(manifest, site).unwrap();
        let mut entries = Vec::new();
        while let Some(entry) = list.next().await.unwrap() {
            entries.push(entry);
        }
        entries
    }

    /// Opens every chunk of a backup on one site with that site's key, and compares the sums with the manifest's.
    pub async fn assert_whole(&self, backup: &BackupId, site: Site) {
        let alone = match site {
            Site::Primary => Sites::new(Some(Arc::new(self.primary.clone())), None),
            Site::Offsite => self.offsite_alone(),
        };
        let repository = Repository::open(alone, keys_of(&[site])).await.unwrap();
        let manifest = repository.authenticated_manifest(&database(), backup, site).await.unwrap();
        let reader = repository.reader(site).unwrap();
        let (mut rows, mut plaintext) = (0, Vec::new());
        for entry in self.chunk_entries(&manifest, site).await {
            if let Some(chunk) = &entry.chunk {
                reader.read(chunk, &mut plaintext).await.unwrap();
            }
            rows += if matches!(entry.stream, Stream::Table(_)) { entry.rows } else { 0 };
        }
        assert_eq!(rows, manifest.totals.rows, "{backup} on {site}");
    }

    /// The audit trail, oldest first, after its chain was walked.
    pub async fn ledger(&self) -> Vec<LedgerEntry> {
        let ledger = self.repository().await.ledger(&macs());
        let report = ledger.verify_chain().await.unwrap();
        let mut entries = ledger.entries(&LedgerFilter::default(), usize::MAX).await.unwrap();
        assert_eq!(report.entries, entries.len() as u64);
        entries.reverse();
        entries
    }

    /// What the audit trail says was done, and how it ended.
    pub async fn acts(&self) -> Vec<(String, Outcome)> {
        self.ledger().await.into_iter().map(|entry| (entry.action, entry.outcome)).collect()
    }

    pub fn lease(&self) -> Option<Lease> {
        let bytes = self.primary.bytes("leases/backup-clinic.json")?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    /// The scratch databases on record.
    pub fn scratch(&self) -> Vec<ScratchEntry> {
        let bytes = self.primary.bytes(SCRATCH).or_else(|| self.offsite.bytes(SCRATCH));
        bytes.map(|bytes| serde_json::from_slice::<ScratchList>(&bytes).unwrap().databases).unwrap_or_default()
    }

    /// Their names.
    pub fn scratch_on_record(&self) -> Vec<String> {
        self.scratch().into_iter().map(|entry| entry.name).collect()
    }

    /// Lets time pass until the runs that recorded scratch databases count as dead.
    pub fn let_scratch_expire(&self) {
        let past = Timestamp::now() - SignedDuration::from_secs(1);
        self.change_scratch(|entry| entry.expires_at = past);
    }

    /// Changes the record of each scratch database.
    pub fn change_scratch(&self, change: impl Fn(&mut ScratchEntry)) {
        for site in BOTH {
            let Some(bytes) = self.of(site).bytes(SCRATCH) else { continue };
            let mut list: ScratchList = serde_json::from_slice(&bytes).unwrap();
            list.databases.iter_mut().for_each(&change);
            self.of(site).replace(SCRATCH, serde_json::to_vec(&list).unwrap());
        }
    }

    /// Lets time pass until whoever held the lease holds it no more.
    pub fn let_the_lease_expire(&self) {
        for key in self.primary.keys("leases/") {
            let lease: Lease = serde_json::from_slice(&self.primary.bytes(&key).unwrap()).unwrap();
            let past = Timestamp::now() - SignedDuration::from_secs(1);
            let lease = Lease { expires_at: past, ..lease };
            self.primary.replace(&key, serde_json::to_vec(&lease).unwrap());
        }
    }

    /// What is wrong counts as never seen: the next time it is told again.
    pub fn forget_incidents(&self) {
        for site in BOTH {
            self.of(site).keys("incidents/").iter().for_each(|key| assert!(self.of(site).remove(key)));
        }
    }

    /// The keys of a site without the ledger, the leases and the reports: what a backup is made of.
    pub fn backup_objects(&self, site: Site) -> Vec<String> {
        let kept = |key: &String| key == "repository.json" || key.starts_with("chunks/") || key.starts_with("backups/");
        self.of(site).keys("").into_iter().filter(kept).collect()
    }
}
