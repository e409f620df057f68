//! A role of the account, and what AWS answers to its requests.

use std::fmt::Debug;

use aws_config::SdkConfig;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, MacAlgorithmSpec};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention,
    ObjectLockRetentionMode, VersioningConfiguration,
};
use lifeboat_local::{Cloud, Deployment, OFFSITE_REGION, PRIMARY_REGION};

/// Refusals for want of a right, as each service calls them.
const DENIALS: [&str; 4] = ["AccessDenied", "AccessDeniedException", "AuthorizationError", "AccessDeniedError"];

/// Refusals of a request that was allowed: the condition or the object of the request is what is wrong.
const OTHERWISE: [&str; 6] = [
    "NoSuchKey",
    "PreconditionFailed",
    "InvalidCiphertextException",
    "NotFoundException",
    "NoSuchVersion",
    "InvalidRequest",
];

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Allowed,
    Denied,
}

fn answer<T, E>(result: Result<T, SdkError<E>>) -> Answer
where
    E: ProvideErrorMetadata + Debug,
    SdkError<E>: ProvideErrorMetadata,
{
    let Err(error) = result else { return Answer::Allowed };
    let code = error.code().unwrap_or_default().to_owned();
    if DENIALS.contains(&code.as_str()) {
        return Answer::Denied;
    }
    assert!(OTHERWISE.contains(&code.as_str()), "neither allowed nor denied: {error:?}");
    Answer::Allowed
}

/// A site as the requests name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Primary,
    Offsite,
}

/// The condition of a write.
#[derive(Debug, Clone, Copy)]
pub enum Write {
    Blind,
    Create,
    Replace,
}

/// A lock: mode and days.
pub type Lock = (ObjectLockMode, f64);

/// One role's clients.
pub struct Caller {
    config: SdkConfig,
    far: SdkConfig,
    deployment: Deployment,
}

impl Caller {
    /// Assumes a role of the account.
    pub async fn assume(cloud: &Cloud, deployment: &Deployment, role: &str) -> Self {
        let config = cloud.config_as(role, PRIMARY_REGION).await.unwrap();
        let far = cloud.config_as(role, OFFSITE_REGION).await.unwrap();
        Self { config, far, deployment: deployment.clone() }
    }

    fn s3(&self, at: At) -> (aws_sdk_s3::Client, String) {
        match at {
            At::Primary => (aws_sdk_s3::Client::new(&self.config), self.deployment.primary_bucket.clone()),
            At::Offsite => (aws_sdk_s3::Client::new(&self.far), self.deployment.offsite.clone().unwrap().bucket),
        }
    }

    fn kms(&self, at: At) -> (aws_sdk_kms::Client, String) {
        match at {
            At::Primary => (aws_sdk_kms::Client::new(&self.config), self.deployment.primary_key_arn.clone()),
            At::Offsite => (aws_sdk_kms::Client::new(&self.far), self.deployment.offsite.clone().unwrap().key_arn),
        }
    }

    fn mac_key(&self, at: At) -> (aws_sdk_kms::Client, String) {
        match at {
            At::Primary => (aws_sdk_kms::Client::new(&self.config), self.deployment.primary_mac_key_arn.clone()),
            At::Offsite => (aws_sdk_kms::Client::new(&self.far), self.deployment.offsite.clone().unwrap().mac_key_arn),
        }
    }

    pub async fn get(&self, at: At, key: &str) -> Answer {
        let (s3, bucket) = self.s3(at);
        answer(s3.get_object().bucket(bucket).key(key).send().await)
    }

    pub async fn list(&self, at: At) -> Answer {
        let (s3, bucket) = self.s3(at);
        answer(s3.list_objects_v2().bucket(bucket).send().await)
    }

    pub async fn lock_settings(&self, at: At) -> Answer {
        let (s3, bucket) = self.s3(at);
        answer(s3.get_object_lock_configuration().bucket(bucket).send().await)
    }

    pub async fn versioning(&self, at: At) -> Answer {
        let (s3, bucket) = self.s3(at);
        answer(s3.get_bucket_versioning().bucket(bucket).send().await)
    }

    pub async fn put(&self, at: At, key: &str, write: Write, lock: Option<Lock>) -> Answer {
        let (s3, bucket) = self.s3(at);
        let put = s3.put_object().bucket(bucket).key(key).body(b"bytes".to_vec().into());
        let put = match write {
            Write::Blind => put,
            Write::Create => put.if_none_match("*"),
            Write::Replace => put.if_match("\"0123456789abcdef0123456789abcdef\""),
        };
        let put = match lock {
            Some((mode, days)) => put.object_lock_mode(mode).object_lock_retain_until_date(in_days(days)),
            None => put,
        };
        answer(put.send().await)
    }

    /// Locks an object that exists.
    pub async fn retain(&self, at: At, key: &str, (mode, days): Lock) -> Answer {
        let (s3, bucket) = self.s3(at);
        let mode = ObjectLockRetentionMode::from(mode.as_str());
        let retention = ObjectLockRetention::builder().mode(mode).retain_until_date(in_days(days)).build();
        answer(s3.put_object_retention().bucket(bucket).key(key).retention(retention).send().await)
    }

    pub async fn hold(&self, at: At, key: &str) -> Answer {
        let (s3, bucket) = self.s3(at);
        let hold = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::On).build();
        answer(s3.put_object_legal_hold().bucket(bucket).key(key).legal_hold(hold).send().await)
    }

    pub async fn delete(&self, at: At, key: &str) -> Answer {
        let (s3, bucket) = self.s3(at);
        answer(s3.delete_object().bucket(bucket).key(key).send().await)
    }

    /// Writes into another bucket of the region.
    pub async fn put_into(&self, bucket: &str, region: &str, key: &str) -> Answer {
        let config = if region == OFFSITE_REGION { &self.far } else { &self.config };
        answer(aws_sdk_s3::Client::new(config).put_object().bucket(bucket).key(key).send().await)
    }

    /// Deletes the current version, past a lock in governance mode.
    pub async fn delete_version(&self, at: At, key: &str, version: &str) -> Answer {
        let (s3, bucket) = self.s3(at);
        let delete = s3.delete_object().bucket(bucket).key(key).version_id(version).bypass_governance_retention(true);
        answer(delete.send().await)
    }

    pub async fn suspend_versioning(&self, bucket: &str, region: &str) -> Answer {
        let config = if region == OFFSITE_REGION { &self.far } else { &self.config };
        let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let put = aws_sdk_s3::Client::new(config).put_bucket_versioning().bucket(bucket);
        answer(put.versioning_configuration(suspended).send().await)
    }

    pub async fn replace_policy(&self, at: At, policy: &str) -> Answer {
        let (s3, bucket) = self.s3(at);
        answer(s3.put_bucket_policy().bucket(bucket).policy(policy).send().await)
    }

    pub async fn drop_lifecycle(&self, at: At) -> Answer {
        let (s3, bucket) = self.s3(at);
        answer(s3.delete_bucket_lifecycle().bucket(bucket).send().await)
    }

    pub async fn generate(&self, at: At, purpose: &str) -> Answer {
        let (kms, key) = self.kms(at);
        let generate = kms.generate_data_key().key_id(key).key_spec(DataKeySpec::Aes256);
        answer(generate.encryption_context("lifeboat-purpose", purpose).send().await)
    }

    pub async fn encrypt(&self, at: At, purpose: &str) -> Answer {
        let (kms, key) = self.kms(at);
        let encrypt = kms.encrypt().key_id(key).plaintext(Blob::new(*b"key"));
        answer(encrypt.encryption_context("lifeboat-purpose", purpose).send().await)
    }

    pub async fn decrypt(&self, at: At, purpose: &str) -> Answer {
        let (kms, key) = self.kms(at);
        let decrypt = kms.decrypt().key_id(key).ciphertext_blob(Blob::new(*b"not a ciphertext"));
        answer(decrypt.encryption_context("lifeboat-purpose", purpose).send().await)
    }

    pub async fn describe(&self, at: At, mac: bool) -> Answer {
        let (kms, key) = if mac { self.mac_key(at) } else { self.kms(at) };
        answer(kms.describe_key().key_id(key).send().await)
    }

    pub async fn disable(&self, at: At, mac: bool) -> Answer {
        let (kms, key) = if mac { self.mac_key(at) } else { self.kms(at) };
        let disabled = answer(kms.disable_key().key_id(&key).send().await);
        if disabled == Answer::Allowed {
            kms.enable_key().key_id(key).send().await.unwrap();
        }
        disabled
    }

    pub async fn mac(&self, at: At) -> Answer {
        let (kms, key) = self.mac_key(at);
        let mac = kms.generate_mac().key_id(key).mac_algorithm(MacAlgorithmSpec::HmacSha256);
        answer(mac.message(Blob::new(*b"entry")).send().await)
    }

    pub async fn speak(&self, source: &str, kind: &str) -> Answer {
        let entry = aws_sdk_eventbridge::types::PutEventsRequestEntry::builder();
        let entry = entry.event_bus_name(&self.deployment.bus).source(source).detail_type(kind).detail("{}").build();
        answer(aws_sdk_eventbridge::Client::new(&self.config).put_events().entries(entry).send().await)
    }

    pub async fn publish(&self, topic: &str) -> Answer {
        answer(aws_sdk_sns::Client::new(&self.config).publish().topic_arn(topic).message("m").send().await)
    }

    pub async fn subscriptions(&self, topic: &str) -> Answer {
        answer(aws_sdk_sns::Client::new(&self.config).list_subscriptions_by_topic().topic_arn(topic).send().await)
    }

    pub async fn filter(&self, subscription: &str) -> Answer {
        let sns = aws_sdk_sns::Client::new(&self.config);
        answer(sns.get_subscription_attributes().subscription_arn(subscription).send().await)
    }

    pub async fn send(&self, queue: &str) -> Answer {
        answer(aws_sdk_sqs::Client::new(&self.config).send_message().queue_url(queue).message_body("m").send().await)
    }

    pub async fn parameter(&self, name: &str) -> Answer {
        answer(aws_sdk_ssm::Client::new(&self.config).get_parameter().name(name).send().await)
    }

    pub async fn parameter_history(&self, name: &str) -> Answer {
        answer(aws_sdk_ssm::Client::new(&self.config).get_parameter_history().name(name).send().await)
    }

    pub async fn secret(&self, name: &str) -> Answer {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.config);
        answer(secrets.get_secret_value().secret_id(name).send().await)
    }

    /// Writes to the log group of a function, by its name in the template.
    pub async fn log(&self, function: &str) -> Answer {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.config);
        let stream = logs.create_log_stream().log_group_name(format!("/aws/cloudformation/lifeboat/{function}Logs"));
        answer(stream.log_stream_name(format!("permissions-{}", std::process::id())).send().await)
    }
}

fn in_days(days: f64) -> DateTime {
    let now = std::time::SystemTime::now();
    DateTime::from(now + std::time::Duration::from_secs_f64(days * 86_400.0))
}
