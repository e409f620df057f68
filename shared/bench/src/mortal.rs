//! The ports to S3 and KMS of a process that can be killed at any request.

use std::sync::Arc;

use crate::memory::MemoryStore;
use async_trait::async_trait;
use lifeboat_model::{Sha256, Site};
use lifeboat_seal::{DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey};
use lifeboat_vault::{
    BodySink, CopySource, KeyPage, MacKey, MacKeys, NewObject, ObjectHead, ObjectStore, Protection, PutCondition,
    ReadObject, StoreError, Version,
};

use crate::kill_switch::{KillSwitch, Port};
use crate::small_backup::mac_key;

/// Carries out one request, unless the process dies at it.
macro_rules! asked {
    ($switch:expr, $port:expr, $request:expr) => {{
        let course = $switch.request($port).await;
        let answer = $request.await;
        $switch.carried_out(course).await;
        answer
    }};
}

/// The store of a site, as a mortal process reaches it.
pub struct MortalStore {
    pub store: MemoryStore,
    pub switch: KillSwitch,
}

#[async_trait]
impl ObjectStore for MortalStore {
    async fn put(&self, key: &str, object: NewObject, condition: PutCondition) -> Result<Version, StoreError> {
        asked!(self.switch, Port::S3, self.store.put(key, object, condition))
    }

    async fn read(&self, key: &str, limit_bytes: u64, sink: &mut dyn BodySink) -> Result<ReadObject, StoreError> {
        asked!(self.switch, Port::S3, self.store.read(key, limit_bytes, sink))
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        asked!(self.switch, Port::S3, self.store.head(key))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<KeyPage, StoreError> {
        asked!(self.switch, Port::S3, self.store.list(prefix, after))
    }

    async fn copy_from(
        &self,
        source: &dyn ObjectStore,
        key: &str,
        expected: &Sha256,
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        asked!(self.switch, Port::S3, self.store.copy_from(source, key, expected, size_bytes))
    }

    async fn protection(&self) -> Result<Protection, StoreError> {
        asked!(self.switch, Port::S3, self.store.protection())
    }

    fn copy_source(&self) -> Option<CopySource> {
        self.store.copy_source()
    }

    fn describe(&self) -> String {
        self.store.describe()
    }
}

/// The key service, as a mortal process reaches it.
pub struct MortalKeys<K> {
    pub keys: K,
    pub switch: KillSwitch,
}

#[async_trait]
impl<K: DataKeys> DataKeys for MortalKeys<K> {
    async fn generate(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        asked!(self.switch, Port::Kms, self.keys.generate(context))
    }

    async fn decrypt(&self, context: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        asked!(self.switch, Port::Kms, self.keys.decrypt(context, keys))
    }

    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        self.keys.entry_of_each(keys)
    }
}

/// A key that authenticates the ledger, as a mortal process reaches it.
pub struct MortalMacs {
    key: Arc<dyn MacKey>,
    switch: KillSwitch,
}

impl MortalMacs {
    /// The keys of these sites.
    pub fn of(sites: &[Site], switch: &KillSwitch) -> MacKeys {
        MacKeys::new(sites.iter().map(|site| -> (Site, Arc<dyn MacKey>) {
            (*site, Arc::new(Self { key: mac_key(*site), switch: switch.clone() }))
        }))
    }
}

#[async_trait]
impl MacKey for MortalMacs {
    fn id(&self) -> &str {
        self.key.id()
    }

    async fn mac(&self, message: &[u8]) -> Result<Vec<u8>, DataKeyError> {
        asked!(self.switch, Port::Kms, self.key.mac(message))
    }

    async fn is_mac(&self, message: &[u8], mac: &[u8]) -> Result<bool, DataKeyError> {
        asked!(self.switch, Port::Kms, self.key.is_mac(message, mac))
    }
}
