//! Data keys wrapped by AES-256 keys in memory, compatible with the stock raw AES keyring.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;

use crate::context::EncryptionContext;
use crate::data_key_error::DataKeyError;
use crate::data_keys::{DATA_KEY_LEN, DataKey, DataKeys, EncryptedDataKey, GeneratedDataKey};
use crate::header::DATA_KEYS_LIMIT;
use crate::wire::Cursor;

/// The length in bits of a wrapped data key's tag, as its entry states it.
const TAG_LEN_BITS: u32 = 128;
const TAG_LEN: usize = 16;
/// A provider name that stock clients take for the key service.
const KMS_PROVIDER: &str = "aws-kms";

/// One wrapping key with its two names. Every message stores both, and a stock client needs the same pair.
pub struct RawAesKey {
    namespace: String,
    name: String,
    key: LessSafeKey,
}

impl RawAesKey {
    /// Takes 32 bytes of key.
    ///
    /// # Errors
    /// [`DataKeyError::WrongLength`]; [`DataKeyError::WrappingKey`] for the namespace `aws-kms`, which belongs to the
    /// key service.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, key: &[u8]) -> Result<Self, DataKeyError> {
        let (namespace, name) = (namespace.into(), name.into());
        if namespace == KMS_PROVIDER {
            return Err(DataKeyError::WrappingKey { key: name, reason: "its namespace is the key service's" });
        }
        let unbound = UnboundKey::new(&AES_256_GCM, key).map_err(|_| DataKeyError::WrongLength { len: key.len() })?;
        Ok(Self { namespace, name, key: LessSafeKey::new(unbound) })
    }

    fn wrap(&self, data_key: &DataKey, context: &[u8]) -> Result<EncryptedDataKey, Unspecified> {
        let mut iv = [0; NONCE_LEN];
        rand::fill(&mut iv)?;
        // The secret is not encrypted in place, so that it is never in a buffer that is not overwritten later.
        let mut wrapped = [0; DATA_KEY_LEN];
        let mut tag = [0; TAG_LEN];
        self.key.seal_out_of_place_scatter(
            Nonce::assume_unique_for_key(iv),
            Aad::from(context),
            data_key.expose_bytes(),
            &mut wrapped,
            &[],
            &mut tag,
        )?;
        let mut info = Vec::with_capacity(self.name.len() + 4 + 4 + NONCE_LEN);
        info.extend_from_slice(self.name.as_bytes());
        info.extend_from_slice(&TAG_LEN_BITS.to_be_bytes());
        info.extend_from_slice(&(NONCE_LEN as u32).to_be_bytes());
        info.extend_from_slice(&iv);
        Ok(EncryptedDataKey { provider: self.namespace.clone(), info, ciphertext: [&wrapped[..], &tag[..]].concat() })
    }

    /// The IV of an entry that this key wrote, by its names; `None` for an entry of another key.
    fn iv_of(&self, entry: &EncryptedDataKey) -> Option<[u8; NONCE_LEN]> {
        if entry.provider != self.namespace {
            return None;
        }
        let mut cursor = Cursor::new(entry.info.strip_prefix(self.name.as_bytes())?);
        let (tag_len_bits, iv_len, iv) = (cursor.u32().ok()?, cursor.u32().ok()?, cursor.array().ok()?);
        let own = tag_len_bits == TAG_LEN_BITS && iv_len == NONCE_LEN as u32 && cursor.rest().is_empty();
        own.then_some(iv)
    }

    fn unwrap_entry(
        &self,
        entry: &EncryptedDataKey,
        iv: [u8; NONCE_LEN],
        context: &[u8],
    ) -> Result<DataKey, DataKeyError> {
        let wrong_length = || DataKeyError::WrongLength { len: entry.ciphertext.len().saturating_sub(TAG_LEN) };
        let (wrapped, tag) = entry.ciphertext.split_at_checked(DATA_KEY_LEN).ok_or_else(wrong_length)?;
        if tag.len() != TAG_LEN {
            return Err(wrong_length());
        }
        let mut key = zeroize::Zeroizing::new([0; DATA_KEY_LEN]);
        self.key
            .open_separate_gather(
                Nonce::assume_unique_for_key(iv),
                Aad::from(context),
                wrapped,
                tag,
                key.as_mut_slice(),
            )
            .map_err(|source| DataKeyError::Rejected { key: self.name.clone(), source: Arc::new(source) })?;
        DataKey::from_slice(key.as_slice())
    }
}

/// Raw AES-256 wrapping keys in place of a key service: for tests, for use in memory, and for users who keep their own
/// key. Every data key is wrapped under each of them, and any one of them opens it.
///
/// Entry layout (specification, `framework/raw-aes-keyring.md`): provider = namespace;
/// info = name, 32-bit tag length in bits, 32-bit IV length, IV; the serialized context is authenticated.
pub struct RawAesDataKeys {
    keys: Vec<RawAesKey>,
}

impl RawAesDataKeys {
    /// # Errors
    /// [`DataKeyError::WrappingKey`] for no key, or for more keys than a message may carry.
    pub fn new(keys: Vec<RawAesKey>) -> Result<Self, DataKeyError> {
        if keys.is_empty() || keys.len() > DATA_KEYS_LIMIT {
            let key = keys.first().map(|key| key.name.clone()).unwrap_or_default();
            return Err(DataKeyError::WrappingKey { key, reason: "a message carries between 1 and 8 data keys" });
        }
        Ok(Self { keys })
    }
}

#[async_trait]
impl DataKeys for RawAesDataKeys {
    async fn generate(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        let context = serialize(context)?;
        let key = DataKey::generate()?;
        let encrypted = self
            .keys
            .iter()
            .map(|wrapping| wrapping.wrap(&key, &context).map_err(|_| DataKeyError::Randomness))
            .collect::<Result<_, _>>()?;
        Ok(GeneratedDataKey { key, encrypted })
    }

    async fn decrypt(&self, context: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        let context = serialize(context)?;
        let mut attempts = Vec::new();
        for entry in keys {
            for wrapping in &self.keys {
                let Some(iv) = wrapping.iv_of(entry) else { continue };
                match wrapping.unwrap_entry(entry, iv, &context) {
                    Ok(key) => return Ok(key),
                    Err(error) => attempts.push(error),
                }
            }
        }
        Err(DataKeyError::no_usable_key(keys.len(), attempts))
    }

    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        self.keys.iter().map(|wrapping| keys.iter().find(|entry| wrapping.iv_of(entry).is_some())).collect()
    }
}

fn serialize(context: &EncryptionContext) -> Result<Vec<u8>, DataKeyError> {
    context
        .serialize()
        .map_err(|_| DataKeyError::WrappingKey { key: String::new(), reason: "the context cannot be serialized" })
}
