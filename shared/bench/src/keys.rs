//! Keys in memory.

use async_trait::async_trait;
use aws_lc_rs::hmac;
use lifeboat_seal::DataKeyError;
use lifeboat_vault::MacKey;

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
