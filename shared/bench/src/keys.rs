//! Keys in memory.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use lifeboat_seal::{DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey};
use lifeboat_vault::MacKey;

/// Keys as the role of `backup` has them: it seals with all of them, and may open with some.
pub struct RoleKeys {
    /// The configured keys.
    pub seals: Arc<dyn DataKeys>,
    /// Those that it may decrypt with, or the answer of the service to every such request.
    pub opens: Result<Arc<dyn DataKeys>, DataKeyError>,
}

#[async_trait]
impl DataKeys for RoleKeys {
    async fn generate(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        self.seals.generate(context).await
    }

    async fn decrypt(&self, context: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        self.opens.as_ref().map_err(Clone::clone)?.decrypt(context, keys).await
    }

    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        self.seals.entry_of_each(keys)
    }
}

/// A MAC key in memory: HMAC-SHA-256.
pub struct HmacKey {
    id: String,
    key: hmac::Key,
}

impl HmacKey {
    /// A key of these bytes.
    pub fn new(id: impl Into<String>, secret: &[u8]) -> Self {
        Self { id: id.into(), key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }
}

#[async_trait]
impl MacKey for HmacKey {
    fn id(&self) -> &str {
        &self.id
    }

    async fn mac(&self, message: &[u8]) -> Result<Vec<u8>, DataKeyError> {
        Ok(hmac::sign(&self.key, message).as_ref().to_vec())
    }

    async fn is_mac(&self, message: &[u8], mac: &[u8]) -> Result<bool, DataKeyError> {
        Ok(hmac::verify(&self.key, message, mac).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mac_is_that_of_rfc_4231_and_of_no_other_message() {
        let key = HmacKey::new("jefe", b"Jefe");
        let mac = key.mac(b"what do ya want for nothing?").await.unwrap();
        assert_eq!(hex::encode(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(key.is_mac(b"what do ya want for nothing?", &mac).await.unwrap());
        assert!(!key.is_mac(b"what do ya want for nothing!", &mac).await.unwrap());
    }
}
