//! What lies in the two buckets, read by the test itself and not by a function.

use std::collections::BTreeSet;
use std::sync::Arc;

use lifeboat_aws::{KmsDataKeys, KmsKey, KmsMacKey, S3Store, kms_client, s3_client};
use lifeboat_local::{OFFSITE_REGION, PRIMARY_REGION, Stage};
use lifeboat_model::Meter;
use lifeboat_model::{BackupId, ChunkEntry, DatabaseName, Manifest, Site};
use lifeboat_vault::{Listed, MacKey, MacKeys, ObjectStore, Repository, Sites};

pub const BOTH: [Site; 2] = [Site::Primary, Site::Offsite];

/// The buckets and the repository in them.
pub struct Stored {
    /// Opened anew for each test's look: it writes nothing.
    pub repository: Repository,
    pub macs: MacKeys,
    buckets: [(aws_sdk_s3::Client, String); 2],
}

impl Stored {
    /// Looks into the buckets of a stage on which a first backup has at least begun.
    pub async fn on(stage: &Stage) -> Self {
        Self::seen_by(stage, None).await
    }

    /// The same, with no more rights than a role has.
    pub async fn as_role(stage: &Stage, role: &str) -> Self {
        Self::seen_by(stage, Some(role)).await
    }

    async fn seen_by(stage: &Stage, role: Option<&str>) -> Self {
        let (cloud, deployment) = (stage.cloud(), stage.deployment());
        let offsite = deployment.offsite.clone().unwrap();
        let config = async |region| match role {
            Some(role) => cloud.config_as(role, region).await.unwrap(),
            None => cloud.config(region).await,
        };
        let (near, far) = (config(PRIMARY_REGION).await, config(OFFSITE_REGION).await);
        let endpoint = Some(cloud.endpoint());
        let buckets = [
            (s3_client(&near, PRIMARY_REGION, endpoint, &Meter::default()), deployment.primary_bucket.clone()),
            (s3_client(&far, OFFSITE_REGION, endpoint, &Meter::default()), offsite.bucket),
        ];
        let [near_store, far_store] = buckets
            .clone()
            .map(|(client, bucket)| -> Option<Arc<dyn ObjectStore>> { Some(Arc::new(S3Store::new(client, bucket))) });
        let keys = KmsDataKeys::new(
            KmsKey::new(kms_client(&near, PRIMARY_REGION, endpoint, &Meter::default()), &deployment.primary_key_arn),
            Some(KmsKey::new(kms_client(&far, OFFSITE_REGION, endpoint, &Meter::default()), offsite.key_arn)),
        );
        let mac_key = |config, region, arn: &str| -> Arc<dyn MacKey> {
            Arc::new(KmsMacKey::new(kms_client(config, region, endpoint, &Meter::default()), arn))
        };
        let macs = MacKeys::new([
            (Site::Primary, mac_key(&near, PRIMARY_REGION, &deployment.primary_mac_key_arn)),
            (Site::Offsite, mac_key(&far, OFFSITE_REGION, &offsite.mac_key_arn)),
        ]);
        let repository = Repository::open(Sites::new(near_store, far_store), Arc::new(keys)).await.unwrap();
        Self { repository, macs, buckets }
    }

    fn bucket(&self, site: Site) -> (&aws_sdk_s3::Client, &str) {
        let [primary, offsite] = &self.buckets;
        let (client, bucket) = if site == Site::Primary { primary } else { offsite };
        (client, bucket)
    }

    /// Keys below `prefix`, in order. What is looked at here is far below a page.
    pub async fn keys(&self, site: Site, prefix: &str) -> BTreeSet<String> {
        let (s3, bucket) = self.bucket(site);
        let page = s3.list_objects_v2().bucket(bucket).prefix(prefix).send().await.unwrap();
        assert_ne!(page.is_truncated(), Some(true));
        page.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    }

    /// The bytes of an object.
    pub async fn bytes(&self, site: Site, key: &str) -> Vec<u8> {
        let (s3, bucket) = self.bucket(site);
        let object = s3.get_object().bucket(bucket).key(key).send().await;
        let object = object.unwrap_or_else(|error| panic!("`{key}` on {site}: {error:?}"));
        object.body.collect().await.unwrap().to_vec()
    }

    /// Overwrites an object, as somebody with the right to write would: the older version stays below. Metadata is kept.
    pub async fn overwrite(&self, site: Site, key: &str, bytes: Vec<u8>) {
        let (s3, bucket) = self.bucket(site);
        let head = s3.head_object().bucket(bucket).key(key).send().await.unwrap();
        let put = s3.put_object().bucket(bucket).key(key).body(bytes.into());
        put.set_metadata(head.metadata().cloned()).send().await.unwrap();
    }

    /// Flips one bit of the byte at `place` (a share of the length, from 0 to 1) of an object.
    pub async fn flip(&self, site: Site, key: &str, place: f64) {
        let mut bytes = self.bytes(site, key).await;
        let at = ((bytes.len() - 1) as f64 * place) as usize;
        bytes[at] ^= 0x10;
        self.overwrite(site, key, bytes).await;
    }

    /// The state of an object, as a conditional write names it.
    pub async fn tag(&self, site: Site, key: &str) -> String {
        let (s3, bucket) = self.bucket(site);
        let head = s3.head_object().bucket(bucket).key(key).send().await;
        let head = head.unwrap_or_else(|error| panic!("`{key}` on {site}: {error:?}"));
        head.e_tag().unwrap().to_owned()
    }

    /// Copies the version below the current one in front of it, as a person with the break-glass role does.
    pub async fn put_version_back(&self, site: Site, key: &str) {
        let (s3, bucket) = self.bucket(site);
        let versions = s3.list_object_versions().bucket(bucket).prefix(key).send().await.unwrap();
        let below = versions.versions().iter().find(|version| version.is_latest() != Some(true)).unwrap();
        let source = format!("{bucket}/{key}?versionId={}", below.version_id().unwrap());
        s3.copy_object().bucket(bucket).key(key).copy_source(source).send().await.unwrap();
    }

    /// Deletes an object without naming a version: a delete marker hides it.
    pub async fn delete(&self, site: Site, key: &str) {
        let (s3, bucket) = self.bucket(site);
        s3.delete_object().bucket(bucket).key(key).send().await.unwrap();
    }

    /// The length of each version of an object, also of one that a delete marker hides.
    pub async fn versions(&self, site: Site, key: &str) -> Vec<i64> {
        let (s3, bucket) = self.bucket(site);
        let versions = s3.list_object_versions().bucket(bucket).prefix(key).send().await.unwrap();
        versions.versions().iter().filter_map(|version| version.size()).collect()
    }

    /// Ends the turn of a dead run on its server, which would end by itself within a minute.
    pub async fn end_turns(&self) {
        for key in self.keys(Site::Primary, "leases/server-").await {
            self.delete(Site::Primary, &key).await;
        }
    }

    /// The backups of a database that a site lists.
    pub async fn backups(&self, database: &DatabaseName, site: Site) -> Vec<BackupId> {
        self.repository.manifests(database, site).await.unwrap()
    }

    /// Asserts that a site alone has everything of a backup, byte for byte; returns its manifest and chunk list.
    pub async fn assert_whole(
        &self,
        database: &DatabaseName,
        backup: &BackupId,
        site: Site,
    ) -> (Manifest, Vec<ChunkEntry>) {
        let manifest = self.repository.authenticated_manifest(database, backup, site).await.unwrap();
        for part in Listed::chunk_list(&manifest) {
            self.assert_sound(site, &part).await;
        }
        let mut list = self.repository.chunk_entries(&manifest, site).unwrap();
        let mut entries = Vec::new();
        while let Some(entry) = list.next().await.unwrap() {
            if let Some(chunk) = &entry.chunk {
                self.assert_sound(site, &Listed::chunk(chunk)).await;
            }
            entries.push(entry);
        }
        assert_eq!(entries.len() as u64, manifest.chunk_list.entries, "{backup} on {site}");
        (manifest, entries)
    }

    async fn assert_sound(&self, site: Site, listed: &Listed) {
        let state = self.repository.inspect(site, listed).await.unwrap();
        assert!(state.is_sound(), "`{}` on {site}: {state}", listed.key());
    }
}
