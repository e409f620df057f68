//! Every adapter of an AWS service: S3 as an `ObjectStore`, KMS as data keys and MAC keys, EventBridge and SNS as an `Outbox`, the policy's
//! parameter in Systems Manager, secrets, and who AWS says we are.
//!
//! This crate owns the SDK: its clients, their time limits and retries, what a service's answer means, and the count of requests for the
//! bill. No other crate that ships names an SDK. It must never know a verb.

mod bucket_region;
mod clients;
mod error;
mod filter;
mod identity;
mod kms;
mod message_keys;
mod meter;
mod outbox;
mod parameter;
mod s3;
mod secrets;
mod subscriptions;

pub use aws_config::SdkConfig;
pub use bucket_region::bucket_region;
pub use clients::{kms_client, s3_client, sdk_config};
pub use error::AwsError;
pub use identity::caller_arn;
pub use kms::{KmsDataKeys, KmsKey, KmsMacKey};
pub use message_keys::MessageKeys;
pub use outbox::AwsOutbox;
pub use parameter::PolicyParameter;
pub use s3::S3Store;
pub use secrets::secret_text;
