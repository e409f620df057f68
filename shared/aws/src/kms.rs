//! The key service of each site as one [`DataKeys`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, MacAlgorithmSpec};
use lifeboat_seal::{DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey};
use lifeboat_vault::MacKey;

/// The provider of a data key that KMS encrypted, as messages name it.
pub(crate) const PROVIDER: &str = "aws-kms";

/// Messages name a key by its ARN.
const ANOTHER_NAME: &str = "it is configured by another name than its full ARN";

/// One site's key and the client of its region.
#[derive(Clone)]
pub struct KmsKey {
    client: Client,
    arn: String,
}

impl KmsKey {
    /// `arn` is the key's full ARN: messages name it, so an alias or a bare id would never be found again.
    pub fn new(client: Client, arn: impl Into<String>) -> Self {
        Self { client, arn: arn.into() }
    }
}

/// A site's HMAC key: `HMAC_256`, for generating and verifying MACs.
#[derive(Clone)]
pub struct KmsMacKey(KmsKey);

impl KmsMacKey {
    /// `arn` is the key's full ARN.
    pub fn new(client: Client, arn: impl Into<String>) -> Self {
        Self(KmsKey::new(client, arn))
    }
}

#[async_trait]
impl MacKey for KmsMacKey {
    fn id(&self) -> &str {
        &self.0.arn
    }

    async fn mac(&self, message: &[u8]) -> Result<Vec<u8>, DataKeyError> {
        let Self(key) = self;
        let request = key.client.generate_mac().key_id(&key.arn).mac_algorithm(MacAlgorithmSpec::HmacSha256);
        let answer = request.message(Blob::new(message)).send().await.map_err(|error| key.translate(error))?;
        let incomplete = |reason| DataKeyError::WrappingKey { key: key.arn.clone(), reason };
        if answer.key_id() != Some(&key.arn) {
            return Err(incomplete(ANOTHER_NAME));
        }
        let mac = answer.mac().ok_or_else(|| incomplete("it gave no MAC"))?;
        Ok(mac.as_ref().to_vec())
    }

    async fn is_mac(&self, message: &[u8], mac: &[u8]) -> Result<bool, DataKeyError> {
        let Self(key) = self;
        let request = key.client.verify_mac().key_id(&key.arn).mac_algorithm(MacAlgorithmSpec::HmacSha256);
        match request.message(Blob::new(message)).mac(Blob::new(mac)).send().await {
            Ok(answer) => Ok(answer.mac_valid()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_kms_invalid_mac_exception()) => {
                Ok(false)
            }
            Err(error) => Err(key.translate(error)),
        }
    }
}

/// Data keys under the KMS keys of the sites: made at the first, encrypted at every other, opened at any one alone.
#[derive(Clone)]
pub struct KmsDataKeys {
    first: KmsKey,
    second: Option<KmsKey>,
    /// Whether the second key opened the last message, the first one having failed. A region that is away takes all its
    /// time limits to say so: once is enough.
    second_opens: Arc<AtomicBool>,
}

impl KmsDataKeys {
    /// To write, `first` is the primary's key and `second` the other site's. To read one site alone, its key suffices.
    pub fn new(first: KmsKey, second: Option<KmsKey>) -> Self {
        Self { first, second, second_opens: Arc::default() }
    }

    /// The keys, the one first that opened the last message.
    fn keys(&self) -> impl Iterator<Item = &KmsKey> {
        let mut keys = [Some(&self.first), self.second.as_ref()];
        if self.second_opens.load(Ordering::Relaxed) {
            keys.reverse();
        }
        keys.into_iter().flatten()
    }
}

#[async_trait]
impl DataKeys for KmsDataKeys {
    async fn generate(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        let (key, encrypted) = self.first.generate(context).await?;
        let mut encrypted = vec![encrypted];
        if let Some(second) = &self.second {
            encrypted.push(second.encrypt(context, &key).await?);
        }
        Ok(GeneratedDataKey { key, encrypted })
    }

    async fn decrypt(&self, context: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        let mut attempts = Vec::new();
        for ours in self.keys() {
            for offered in keys.iter().filter(|key| ours.made(key)) {
                match ours.decrypt(context, offered).await {
                    Ok(key) => {
                        self.second_opens.store(ours.arn != self.first.arn, Ordering::Relaxed);
                        return Ok(key);
                    }
                    // The key of a region that is away, or disabled, is no obstacle while the other one opens.
                    Err(error) => attempts.push(error),
                }
            }
        }
        Err(DataKeyError::no_usable_key(keys.len(), attempts))
    }

    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        let ours = std::iter::once(&self.first).chain(&self.second);
        ours.map(|ours| keys.iter().find(|entry| ours.made(entry))).collect()
    }
}

impl KmsKey {
    /// Whether an entry says that this key made it.
    fn made(&self, entry: &EncryptedDataKey) -> bool {
        entry.provider == PROVIDER && entry.info_text() == Some(&self.arn)
    }

    async fn generate(&self, context: &EncryptionContext) -> Result<(DataKey, EncryptedDataKey), DataKeyError> {
        let answer = self
            .client
            .generate_data_key()
            .key_id(&self.arn)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(pairs(context))
            .send()
            .await
            .map_err(|error| self.translate(error))?;
        let key = DataKey::from_slice(answer.plaintext().map(Blob::as_ref).unwrap_or_default())?;
        let encrypted = self.entry(answer.key_id(), answer.ciphertext_blob())?;
        Ok((key, encrypted))
    }

    async fn encrypt(&self, context: &EncryptionContext, key: &DataKey) -> Result<EncryptedDataKey, DataKeyError> {
        let answer = self
            .client
            .encrypt()
            .key_id(&self.arn)
            .plaintext(Blob::new(key.expose_bytes().as_slice()))
            .set_encryption_context(pairs(context))
            .send()
            .await
            .map_err(|error| self.translate(error))?;
        self.entry(answer.key_id(), answer.ciphertext_blob())
    }

    pub(crate) async fn decrypt(
        &self,
        context: &EncryptionContext,
        key: &EncryptedDataKey,
    ) -> Result<DataKey, DataKeyError> {
        let answer = self
            .client
            .decrypt()
            // With the key named, KMS refuses a ciphertext of another key.
            .key_id(&self.arn)
            .ciphertext_blob(Blob::new(key.ciphertext.as_slice()))
            .set_encryption_context(pairs(context))
            .send()
            .await
            .map_err(|error| self.translate(error))?;
        DataKey::from_slice(answer.plaintext().map(Blob::as_ref).unwrap_or_default())
    }

    /// The entry that goes into messages: it names the key as the answer does.
    fn entry(&self, arn: Option<&str>, ciphertext: Option<&Blob>) -> Result<EncryptedDataKey, DataKeyError> {
        let incomplete = |reason| DataKeyError::WrappingKey { key: self.arn.clone(), reason };
        let arn = arn.ok_or_else(|| incomplete("the answer does not name the key"))?;
        if arn != self.arn {
            return Err(incomplete(ANOTHER_NAME));
        }
        let ciphertext = ciphertext.ok_or_else(|| incomplete("the answer holds no ciphertext"))?;
        Ok(EncryptedDataKey {
            provider: PROVIDER.to_owned(),
            info: arn.as_bytes().to_vec(),
            ciphertext: ciphertext.as_ref().to_vec(),
        })
    }

    fn translate<E>(&self, error: SdkError<E, HttpResponse>) -> DataKeyError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let key = self.arn.clone();
        let code = error.as_service_error().and_then(|service| service.code()).unwrap_or_default().to_owned();
        let source = Arc::new(error);
        match code.as_str() {
            "AccessDeniedException" | "UnrecognizedClientException" | "ExpiredTokenException" => {
                DataKeyError::Denied { key, source }
            }
            "DisabledException" | "KMSInvalidStateException" | "NotFoundException" | "KeyUnavailableException" => {
                DataKeyError::Disabled { key, source }
            }
            "InvalidCiphertextException" | "IncorrectKeyException" | "ValidationException" => {
                DataKeyError::Rejected { key, source }
            }
            "InvalidKeyUsageException" => DataKeyError::WrappingKey { key, reason: "it is a key for other things" },
            // Throttling, internal faults, no answer at all: the SDK has tried again already, a later run may do better.
            _ => DataKeyError::Unavailable { key, source },
        }
    }
}

fn pairs(context: &EncryptionContext) -> Option<std::collections::HashMap<String, String>> {
    Some(context.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
