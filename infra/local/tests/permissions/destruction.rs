//! What only the break-glass role may do, action by action.

use lifeboat_local::{ACCOUNT, Cloud, Deployment, OFFSITE_REGION};
use serde_json::json;

use crate::caller::Answer;
use crate::record::Record;
use crate::statements::{beside_everything, decide, trail_bucket};

/// What only the break-glass role may do to a site's bucket.
const BUCKET_DESTRUCTION: [&str; 19] = [
    "s3:BypassGovernanceRetention",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:PutBucketAcl",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:PutObjectLegalHold",
    "s3:PutReplicationConfiguration",
    "s3:ReplicateDelete",
    "s3:ReplicateObject",
    "s3:ReplicateTags",
    "s3:UpdateObjectEncryption",
];

/// The same for the bucket of its trail.
const TRAIL_DESTRUCTION: [&str; 13] = [
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:PutBucketAcl",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketVersioning",
    "s3:PutLifecycleConfiguration",
    "s3:PutReplicationConfiguration",
    "s3:ReplicateDelete",
    "s3:ReplicateObject",
];

/// The same for its keys. The key of the audit trail has no rotation that anybody could disable.
const KEY_DESTRUCTION: [&str; 6] = [
    "kms:DisableKeyRotation",
    "kms:CreateGrant",
    "kms:DeleteImportedKeyMaterial",
    "kms:DisableKey",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
];

/// Each action that destroys, by itself. Beside the deployed policy, everything is allowed.
pub async fn each_destruction(record: &mut Record, cloud: &Cloud, at: &Deployment) {
    let (s3, kms) = (cloud.s3(OFFSITE_REGION).await, cloud.kms(OFFSITE_REGION).await);
    let far = at.offsite.clone().unwrap();
    let trail = trail_bucket(cloud, OFFSITE_REGION).await;
    let of_bucket = async |bucket: &str| {
        let answer = s3.get_bucket_policy().bucket(bucket).send().await.unwrap();
        (answer.policy().unwrap().to_owned(), format!("arn:aws:s3:::{bucket}"))
    };
    let of_key = async |key: &str| {
        let answer = kms.get_key_policy().key_id(key).send().await.unwrap();
        (answer.policy().unwrap().to_owned(), key.to_owned())
    };
    let policies = [
        ("Bucket", of_bucket(&far.bucket).await, &BUCKET_DESTRUCTION[..]),
        ("TrailBucket", of_bucket(&trail).await, &TRAIL_DESTRUCTION),
        ("Key", of_key(&far.key_arn).await, &KEY_DESTRUCTION),
        ("MacKey", of_key(&far.mac_key_arn).await, &KEY_DESTRUCTION[1..]),
    ];
    for (owner, (policy, resource), actions) in policies {
        let open = beside_everything(&policy);
        let ask = |person: &str, action: &str| {
            let resource =
                if action.contains("Object") { format!("{resource}/chunks/0001/ab/cd") } else { resource.clone() };
            let principal = format!("arn:aws:iam::{ACCOUNT}:role/{person}");
            json!({ "policy": open, "principal": principal, "action": action, "resource": resource, "keys": {} })
        };
        let asked: Vec<_> = actions
            .iter()
            .flat_map(|action| ["break-glass", "administrator"].map(|person| ask(person, action)))
            .collect();
        for (action, answers) in actions.iter().zip(decide(&asked).await.chunks(2)) {
            record.statement(&format!("{owner}/OnlyBreakGlassDestroys"), answers[0], answers[1]);
            assert_eq!(answers, [Answer::Allowed, Answer::Denied], "{owner} {action}");
        }
    }
    let (policy, bucket) = of_bucket(&trail).await;
    let write = |principal: &str, is_service: &str| {
        let keys = json!({ "aws:PrincipalIsAWSService": is_service });
        let (resource, policy) = (format!("{bucket}/AWSLogs/x"), beside_everything(&policy));
        json!({ "policy": policy, "principal": principal, "action": "s3:PutObject", "resource": resource, "keys": keys })
    };
    let person = format!("arn:aws:iam::{ACCOUNT}:role/break-glass");
    let answers = decide(&[write("cloudtrail.amazonaws.com", "true"), write(&person, "false")]).await;
    record.statement("TrailBucket/OnlyCloudTrailWrites", answers[0], answers[1]);
}

/// What is sealed opens for nobody but Lifeboat's roles and the break-glass role, also not under another key. Beside the deployed policy,
/// everything is allowed.
pub async fn each_opening(cloud: &Cloud, at: &Deployment) {
    let key = at.offsite.clone().unwrap().key_arn;
    let answer = cloud.kms(OFFSITE_REGION).await.get_key_policy().key_id(&key).send().await.unwrap();
    let open = beside_everything(answer.policy().unwrap());
    let opening = ["kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo"];
    let people = ["break-glass", "administrator"];
    let asked: Vec<_> = opening
        .iter()
        .flat_map(|action| people.map(|person| (*action, person)))
        .map(|(action, person)| {
            let principal = format!("arn:aws:iam::{ACCOUNT}:role/{person}");
            let keys = json!({ "kms:EncryptionContext:lifeboat-purpose": "chunk" });
            json!({ "policy": open, "principal": principal, "action": action, "resource": key, "keys": keys })
        })
        .collect();
    for (action, answers) in opening.iter().zip(decide(&asked).await.chunks(2)) {
        assert_eq!(answers, [Answer::Allowed, Answer::Denied], "{action}");
    }
}
