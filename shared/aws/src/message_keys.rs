//! The key service for somebody who has only a bucket: each message names the keys that open it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use aws_config::SdkConfig;
use lifeboat_model::Meter;
use lifeboat_seal::{DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey};

use crate::clients::kms_client;
use crate::kms::{KmsKey, PROVIDER};

/// Opens messages with the KMS keys that they name, in the regions of these keys. Makes none.
///
/// A message is opened only by KMS itself, under the caller's credentials: a forged name of a key opens nothing of this repository.
pub struct MessageKeys {
    config: SdkConfig,
    meter: Meter,
    /// By ARN, with the order in which they are tried: the one first that opened the last message.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    keys: BTreeMap<String, KmsKey>,
    opens: Option<String>,
}

impl MessageKeys {
    /// Uses the credentials of `config`.
    pub fn new(config: &SdkConfig, meter: &Meter) -> Self {
        Self { config: config.clone(), meter: meter.clone(), known: Mutex::default() }
    }

    /// The key of an ARN; `None` where the text is none.
    fn key(&self, arn: &str) -> Option<KmsKey> {
        let region = arn.strip_prefix("arn:")?.split(':').nth(2).filter(|region| !region.is_empty())?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || KmsKey::new(kms_client(&self.config, region, None, &self.meter), arn);
        Some(known.keys.entry(arn.to_owned()).or_insert_with(new).clone())
    }

    fn opens(&self) -> Option<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).opens.clone()
    }
}

#[async_trait]
impl DataKeys for MessageKeys {
    async fn generate(&self, _: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        Err(DataKeyError::no_usable_key(0, Vec::new()))
    }

    async fn decrypt(&self, context: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        let opens = self.opens();
        let mut offered: Vec<(&str, &EncryptedDataKey)> = keys
            .iter()
            .filter(|entry| entry.provider == PROVIDER)
            .filter_map(|entry| Some((entry.info_text()?, entry)))
            .collect();
        offered.sort_by_key(|(arn, _)| Some(*arn) != opens.as_deref());
        let mut attempts = Vec::new();
        for (arn, entry) in offered {
            let Some(key) = self.key(arn) else { continue };
            match key.decrypt(context, entry).await {
                Ok(opened) => {
                    self.known.lock().unwrap_or_else(PoisonError::into_inner).opens = Some(arn.to_owned());
                    return Ok(opened);
                }
                Err(error) => attempts.push(error),
            }
        }
        Err(DataKeyError::no_usable_key(keys.len(), attempts))
    }

    fn entry_of_each<'a>(&self, _: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        Vec::new()
    }
}
