//! What tests of the repository lean on: that S3 and KMS of the emulator refuse what AWS refuses.
//!
//! And, in the last test, where they do not: when one of those changes, a gap can be struck from the list.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test file: a panic is a failed test")]

use std::path::PathBuf;

use aws_sdk_kms::error::ProvideErrorMetadata;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode};
use lifeboat_local::{Cloud, CloudOptions, Functions, OFFSITE_REGION, PRIMARY_REGION};

/// SHA-256 of `sealed bytes` and of nothing, in base64 as S3 has it.
const CONTENT: &[u8] = b"sealed bytes";
const CONTENT_SHA256: &str = "81z1s2Gw6vewwC51gI4mDj83nEdFq+RVUrp2joVod0k=";
const OTHER_SHA256: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

/// A cloud without a stack: S3 and KMS need none.
async fn bare_cloud() -> Cloud {
    let functions = Functions::StandIn(PathBuf::from("/dev/null"));
    Cloud::start(CloudOptions { functions, offsite: false, postgres_client_dir: PathBuf::new() }).await.unwrap()
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

async fn bucket(s3: &aws_sdk_s3::Client, name: &str, region: &str) {
    let location = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(region.into()).build();
    s3.create_bucket().bucket(name).create_bucket_configuration(location).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_checked_created_once_swapped_and_copied_across_regions() {
    let cloud = bare_cloud().await;
    let (s3, far) = (cloud.s3(PRIMARY_REGION).await, cloud.s3(OFFSITE_REGION).await);
    bucket(&s3, "near", PRIMARY_REGION).await;
    bucket(&far, "far", OFFSITE_REGION).await;
    let put = |sha256: &str| {
        let put = s3.put_object().bucket("near").key("chunk").body(CONTENT.to_vec().into());
        put.checksum_algorithm(ChecksumAlgorithm::Sha256).checksum_sha256(sha256)
    };

    assert_eq!(status(&put(OTHER_SHA256).send().await.unwrap_err()), Some(400), "a wrong checksum is refused");
    put(CONTENT_SHA256).if_none_match("*").send().await.unwrap();
    assert_eq!(status(&put(CONTENT_SHA256).if_none_match("*").send().await.unwrap_err()), Some(412));

    let head = s3.head_object().bucket("near").key("chunk").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(head.checksum_sha256(), Some(CONTENT_SHA256));
    let tag = head.e_tag().unwrap();
    let swap = |tag: &str| s3.put_object().bucket("near").key("chunk").body(b"next".to_vec().into()).if_match(tag);

    far.copy_object().bucket("far").key("chunk").copy_source("near/chunk").send().await.unwrap();
    let copy = far.head_object().bucket("far").key("chunk").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(copy.checksum_sha256(), Some(CONTENT_SHA256));

    swap(tag).send().await.unwrap();
    assert_eq!(status(&swap(tag).send().await.unwrap_err()), Some(412), "the object has moved on");
    let missing = s3.put_object().bucket("near").key("none").if_match(tag).send().await.unwrap_err();
    assert_eq!(status(&missing), Some(404));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_two_regions_open_what_they_sealed_and_refuse_when_disabled() {
    let cloud = bare_cloud().await;
    let (near, far) = (cloud.kms(PRIMARY_REGION).await, cloud.kms(OFFSITE_REGION).await);
    let arn = |created: aws_sdk_kms::operation::create_key::CreateKeyOutput| {
        created.key_metadata().and_then(|key| key.arn()).unwrap().to_owned()
    };
    let near_key = arn(near.create_key().send().await.unwrap());
    let far_key = arn(far.create_key().send().await.unwrap());
    let generate = || near.generate_data_key().key_id(&near_key).key_spec(DataKeySpec::Aes256);
    let made = generate().encryption_context("database", "clinic").send().await.unwrap();
    let plaintext = made.plaintext().unwrap().clone();
    let wrapped_near = made.ciphertext_blob().unwrap().clone();
    let far_wrap = far.encrypt().key_id(&far_key).plaintext(plaintext.clone()).encryption_context("database", "clinic");
    let wrapped_far = far_wrap.send().await.unwrap().ciphertext_blob().unwrap().clone();

    let open = async |kms: &aws_sdk_kms::Client, key: &str, blob: &Blob, database: &str| {
        let opened = kms.decrypt().key_id(key).ciphertext_blob(blob.clone()).encryption_context("database", database);
        opened.send().await.map(|opened| opened.plaintext().unwrap().clone())
    };
    assert_eq!(open(&near, &near_key, &wrapped_near, "clinic").await.unwrap(), plaintext);
    assert_eq!(open(&far, &far_key, &wrapped_far, "clinic").await.unwrap(), plaintext);
    let wrong_context = open(&near, &near_key, &wrapped_near, "other").await.unwrap_err();
    assert_eq!(wrong_context.code(), Some("InvalidCiphertextException"));
    let lost = far.decrypt().ciphertext_blob(wrapped_near.clone()).encryption_context("database", "clinic");
    assert!(lost.send().await.is_err(), "the other region does not know this key");

    near.disable_key().key_id(&near_key).send().await.unwrap();
    assert_eq!(generate().send().await.unwrap_err().code(), Some("DisabledException"));
    assert_eq!(open(&near, &near_key, &wrapped_near, "clinic").await.unwrap_err().code(), Some("DisabledException"));
    near.enable_key().key_id(&near_key).send().await.unwrap();
    near.schedule_key_deletion().key_id(&near_key).pending_window_in_days(7).send().await.unwrap();
    let pending = open(&near, &near_key, &wrapped_near, "clinic").await.unwrap_err();
    assert_eq!(pending.code(), Some("KMSInvalidStateException"));
    assert_eq!(open(&far, &far_key, &wrapped_far, "clinic").await.unwrap(), plaintext, "the off-site opens alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_emulator_is_too_kind_is_known() {
    let cloud = bare_cloud().await;
    let kms = cloud.kms(PRIMARY_REGION).await;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let created = kms.create_key().send().await.unwrap();
        keys.push(created.key_metadata().and_then(|key| key.arn()).unwrap().to_owned());
    }
    let made = kms.generate_data_key().key_id(&keys[0]).key_spec(DataKeySpec::Aes256).send().await.unwrap();
    let plaintext = made.plaintext().unwrap();
    let mut tampered = made.ciphertext_blob().unwrap().clone().into_inner();
    *tampered.last_mut().unwrap() ^= 1;
    let opened = kms.decrypt().key_id(&keys[0]).ciphertext_blob(Blob::new(tampered)).send().await.unwrap();
    assert_ne!(opened.plaintext(), Some(plaintext), "AWS would answer InvalidCiphertextException");
    let opened =
        kms.decrypt().key_id(&keys[1]).ciphertext_blob(made.ciphertext_blob().unwrap().clone()).send().await.unwrap();
    assert_ne!(opened.plaintext(), Some(plaintext), "AWS would answer IncorrectKeyException");

    let s3 = cloud.s3(PRIMARY_REGION).await;
    bucket(&s3, "near", PRIMARY_REGION).await;
    for key in ["a", "b"] {
        s3.put_object().bucket("near").key(key).body(key.as_bytes().to_vec().into()).send().await.unwrap();
    }
    let copy = s3.copy_object().bucket("near").key("b").copy_source("near/a").if_none_match("*").send().await;
    assert!(copy.is_ok(), "AWS would answer 412");
}
