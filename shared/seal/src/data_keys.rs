//! Data keys, and the port through which they are made and recovered.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::context::EncryptionContext;
use crate::data_key_error::DataKeyError;

/// Bytes of a data key: AES-256.
pub const DATA_KEY_LEN: usize = 32;

/// The secret that messages of one run are sealed with.
///
/// Overwritten when dropped; copies that the compiler makes while moving it are beyond safe Rust. `Debug` shows nothing
/// of it.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; DATA_KEY_LEN]>);

impl DataKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`DataKeyError::Randomness`].
    pub fn generate() -> Result<Self, DataKeyError> {
        let mut key = Self(Zeroizing::new([0; DATA_KEY_LEN]));
        rand::fill(key.0.as_mut_slice()).map_err(|_| DataKeyError::Randomness)?;
        Ok(key)
    }

    /// Takes exactly 32 bytes.
    ///
    /// # Errors
    /// [`DataKeyError::WrongLength`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DataKeyError> {
        let bytes: &[u8; DATA_KEY_LEN] =
            bytes.try_into().map_err(|_| DataKeyError::WrongLength { len: bytes.len() })?;
        Ok(Self(Zeroizing::new(*bytes)))
    }

    /// The secret itself, for a key service that is to encrypt it under a further key.
    pub fn expose_bytes(&self) -> &[u8; DATA_KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(redacted)")
    }
}

/// A data key encrypted under one wrapping key, as a message carries it.
///
/// `provider` and `info` say which wrapping key; a stock client reads them. For AWS KMS they are `aws-kms` and the ARN
/// of the key as the service answered it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EncryptedDataKey {
    pub provider: String,
    pub info: Vec<u8>,
    pub ciphertext: Vec<u8>,
}

impl EncryptedDataKey {
    /// `info` where it is text, as it is for AWS KMS.
    pub fn info_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.info).ok()
    }
}

impl fmt::Debug for EncryptedDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedDataKey")
            .field("provider", &self.provider)
            .field("info", &String::from_utf8_lossy(&self.info))
            .field("ciphertext_len", &self.ciphertext.len())
            .finish()
    }
}

/// A fresh data key together with its encrypted forms, one for each wrapping key.
#[derive(Debug, Clone)]
pub struct GeneratedDataKey {
    pub key: DataKey,
    pub encrypted: Vec<EncryptedDataKey>,
}

/// Makes data keys and recovers them: the only thing this crate asks of the world.
///
/// Both calls bind the context: a key generated with one context must not decrypt with another.
#[async_trait]
pub trait DataKeys: Send + Sync {
    /// A fresh data key, encrypted under every wrapping key that should be able to open alone.
    async fn generate(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError>;

    /// Recovers the data key from whichever entry can be decrypted here; entries of foreign keys are passed over.
    ///
    /// The result need not be checked by the implementation: a wrong key fails the message's commitment.
    async fn decrypt(&self, context: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError>;

    /// The entry of each wrapping key among `keys`, in the order of [`DataKeys::generate`]; `None` where nothing was encrypted under
    /// that wrapping key. Compares names alone: asks no service, and proves nothing.
    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>>;
}

#[async_trait]
impl<T: DataKeys + ?Sized> DataKeys for Arc<T> {
    async fn generate(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        self.as_ref().generate(context).await
    }

    async fn decrypt(&self, context: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        self.as_ref().decrypt(context, keys).await
    }

    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        self.as_ref().entry_of_each(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_data_key_shows_nothing_of_it() {
        let key = DataKey::from_slice(&[0xA5; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "DataKey(redacted)");
        let generated = GeneratedDataKey { key, encrypted: Vec::new() };
        assert!(!format!("{generated:?}").contains("165"));
    }

    #[test]
    fn a_data_key_is_exactly_32_bytes() {
        assert!(matches!(DataKey::from_slice(&[0; 31]), Err(DataKeyError::WrongLength { len: 31 })));
        assert!(matches!(DataKey::from_slice(&[0; 33]), Err(DataKeyError::WrongLength { len: 33 })));
    }
}
