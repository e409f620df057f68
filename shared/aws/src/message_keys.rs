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
/// Only keys of the caller's own account are asked. Somebody who may write to the bucket could else put a repository there that is sealed under
/// a key of another account, which opens it for everybody.
pub struct MessageKeys {
    account: String,
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
    /// Uses the credentials of `config`, which are of this account.
    pub fn new(account: String, config: &SdkConfig, meter: &Meter) -> Self {
        Self { account, config: config.clone(), meter: meter.clone(), known: Mutex::default() }
    }

    /// The key of an ARN; `None` where it is not the caller's.
    fn key(&self, arn: &str) -> Option<KmsKey> {
        let region = region_of_key(arn, &self.account)?;
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

/// The region of a KMS key of this account, by its full ARN.
fn region_of_key<'a>(arn: &'a str, account: &str) -> Option<&'a str> {
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", _, "kms", region, owner, key] = parts.as_slice() else { return None };
    let is_region = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_region && *owner == account && key.starts_with("key/")).then_some(*region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_key_of_the_callers_account_is_asked() {
        let region = |arn| region_of_key(arn, "111122223333");
        assert_eq!(region("arn:aws:kms:eu-west-1:111122223333:key/1234"), Some("eu-west-1"));
        for foreign in [
            "arn:aws:kms:eu-west-1:444455556666:key/1234",
            "arn:aws:kms:eu-west-1:111122223333:alias/clinic",
            "arn:aws:kms:evil.example/:111122223333:key/1234",
            "arn:aws:s3:eu-west-1:111122223333:key/1234",
            "1234",
        ] {
            assert_eq!(region(foreign), None, "{foreign}");
        }
    }
}
