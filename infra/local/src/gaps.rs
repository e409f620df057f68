//! The gaps between the emulator and AWS. The public API closes those that it can. The others are named.

use anyhow::{Context, Result};
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, DefaultRetention, ExpirationStatus,
    LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, NoncurrentVersionExpiration, ObjectLockConfiguration,
    ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use serde_json::Value;

use crate::stack::Stack;
use crate::template::{Parameters, Resource, Template};

/// A difference from AWS: the templates it applies to, and its description in one or two sentences.
type Difference = (fn(&Template) -> bool, &'static str);

/// The remaining differences. A test that relies on one of these proves nothing.
const DIFFERENCES: &[Difference] = &[
    (
        |template| has(template, "AWS::Serverless::LayerVersion"),
        "The layer is an empty package and is not mounted. Functions run the pg_dump and pg_restore of this machine.",
    ),
    (
        |template| has(template, "AWS::Serverless::Function"),
        "Functions are processes on this machine. Their memory, /tmp size and architecture are not limited, and they share /tmp.",
    ),
    (
        |template| template.to_json().contains("<aws.scheduler.scheduled-time>"),
        "The Scheduler does not replace <aws.scheduler.scheduled-time>. Functions get the placeholder itself.",
    ),
    (
        |template| template.to_json().contains("\"RetryPolicy\""),
        "A failed invocation by a schedule or a rule is never repeated and reaches no failure queue. Asynchronous invocations \
         through the Lambda API do both.",
    ),
    (
        |template| template.to_json().contains("aws:SecureTransport"),
        "All traffic is plain HTTP, so the statements that deny it are removed from the deployed policies. All other \
         statements and the functions' roles are enforced.",
    ),
    (
        |template| has(template, "AWS::KMS::Key"),
        "KMS does not authenticate. A tampered data key decrypts to other bytes without an error, and so does a data key \
         under the wrong key.",
    ),
    (|template| has(template, TRAIL), "There is no CloudTrail. The trail is left out, and its log group stays empty."),
    (
        |template| has(template, ALARM),
        "CloudWatch alarms and the dashboard are created but not evaluated. An alarm on an expression becomes an alarm on its metric.",
    ),
    (
        |template| has(template, "AWS::S3::Bucket"),
        "Buckets are not encrypted at rest, and CopyObject ignores If-None-Match.",
    ),
    (
        |template| template.to_json().contains("\"DeletionPolicy\":\"Retain\""),
        "Nothing is retained. Buckets and keys live in memory and disappear with the emulator.",
    ),
    (
        |template| has(template, "AWS::SNS::Topic"),
        "E-mails and SMS are not sent, and the signatures of SNS messages are fake.",
    ),
];

/// A resource that the emulator does not know.
const TRAIL: &str = "AWS::CloudTrail::Trail";

const ALARM: &str = "AWS::CloudWatch::Alarm";

/// The template in a form that the emulator can deploy: without what it does not know.
pub fn deployable(template: &Template) -> Result<String> {
    let mut body: Value = serde_json::from_str(&template.to_json())?;
    simplify_alarms(&mut body);
    if let Some(resources) = body.get_mut("Resources").and_then(Value::as_object_mut) {
        resources.retain(|_, one| one.get("Type").and_then(Value::as_str) != Some(TRAIL));
    }
    Ok(body.to_string())
}

/// Turns an alarm on an expression into an alarm on the metric that the expression uses.
fn simplify_alarms(body: &mut Value) {
    let resources = body.get_mut("Resources").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, alarm) in resources.filter(|(_, one)| one.get("Type").and_then(Value::as_str) == Some(ALARM)) {
        let Some(properties) = alarm.get_mut("Properties").and_then(Value::as_object_mut) else { continue };
        let Some(queries) = properties.remove("Metrics") else { continue };
        let stat = queries.as_array().into_iter().flatten().find_map(|query| query.get("MetricStat"));
        let Some(stat) = stat else { continue };
        for (name, pointer) in [
            ("Namespace", "/Metric/Namespace"),
            ("MetricName", "/Metric/MetricName"),
            ("Dimensions", "/Metric/Dimensions"),
            ("Period", "/Period"),
            ("Statistic", "/Stat"),
        ] {
            properties.extend(stat.pointer(pointer).map(|value| (name.to_owned(), value.clone())));
        }
    }
}

fn has(template: &Template, kind: &str) -> bool {
    template.resources().any(|resource| resource.kind == kind)
}

/// The sentences that apply to a template.
pub(crate) fn name_open(template: &Template) -> Vec<String> {
    DIFFERENCES.iter().filter(|(shows, _)| shows(template)).map(|(_, sentence)| (*sentence).to_owned()).collect()
}

/// Applies the bucket properties of the template that the emulator's CloudFormation ignores, and reads each back: Object
/// Lock, lifecycle and encryption. The emulator stores them, and enforces Object Lock.
pub(crate) async fn close(s3: &Client, template: &Template, given: &Parameters, stack: &Stack) -> Result<()> {
    for Resource { logical_id, properties, .. } in template.resources().filter(|one| one.kind == "AWS::S3::Bucket") {
        let bucket =
            stack.physical_ids.get(logical_id).with_context(|| format!("no bucket was made for `{logical_id}`"))?;
        let properties = template.resolve(properties, given);
        for property in ["ObjectLockConfiguration", "LifecycleConfiguration", "BucketEncryption"] {
            let Some(wanted) = properties.get(property) else { continue };
            match property {
                "ObjectLockConfiguration" => lock(s3, bucket, wanted).await,
                "LifecycleConfiguration" => set_lifecycle(s3, bucket, wanted).await,
                _ => encrypt(s3, bucket, wanted).await,
            }
            .with_context(|| format!("cannot apply `{property}` of `{logical_id}`"))?;
        }
    }
    Ok(())
}

async fn lock(s3: &Client, bucket: &str, wanted: &Value) -> Result<()> {
    let retention = DefaultRetention::builder()
        .mode(ObjectLockRetentionMode::from(text(wanted, "/Rule/DefaultRetention/Mode")?.as_str()))
        .days(number(wanted, "/Rule/DefaultRetention/Days")?)
        .build();
    let configuration = ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(ObjectLockRule::builder().default_retention(retention).build())
        .build();
    s3.put_object_lock_configuration().bucket(bucket).object_lock_configuration(configuration.clone()).send().await?;
    let held = s3.get_object_lock_configuration().bucket(bucket).send().await?;
    anyhow::ensure!(
        held.object_lock_configuration() == Some(&configuration),
        "the emulator holds another value than the one that was put"
    );
    Ok(())
}

async fn set_lifecycle(s3: &Client, bucket: &str, wanted: &Value) -> Result<()> {
    let rules = wanted.get("Rules").and_then(Value::as_array).context("it has no rules")?;
    let mut configuration = BucketLifecycleConfiguration::builder();
    for rule in rules {
        let abort = rule.get("AbortIncompleteMultipartUpload").map(|abort| number(abort, "/DaysAfterInitiation"));
        let abort = abort
            .transpose()?
            .map(|days| AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build());
        let expire = rule.get("NoncurrentVersionExpiration").map(|expire| number(expire, "/NoncurrentDays"));
        let expire =
            expire.transpose()?.map(|days| NoncurrentVersionExpiration::builder().noncurrent_days(days).build());
        let end = rule.get("ExpirationInDays").map(|_| number(rule, "/ExpirationInDays")).transpose()?;
        let end = end.map(|days| LifecycleExpiration::builder().days(days).build());
        let prefix = rule.get("Prefix").and_then(Value::as_str).unwrap_or_default();
        configuration = configuration.rules(
            LifecycleRule::builder()
                .id(text(rule, "/Id")?)
                .status(ExpirationStatus::from(text(rule, "/Status")?.as_str()))
                .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
                .set_abort_incomplete_multipart_upload(abort)
                .set_noncurrent_version_expiration(expire)
                .set_expiration(end)
                .build()?,
        );
    }
    let configuration = configuration.build()?;
    let put = s3.put_bucket_lifecycle_configuration().bucket(bucket);
    put.lifecycle_configuration(configuration.clone()).send().await?;
    let held = s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await?;
    anyhow::ensure!(
        held.rules() == configuration.rules(),
        "the emulator holds another value than the one that was put"
    );
    Ok(())
}

async fn encrypt(s3: &Client, bucket: &str, wanted: &Value) -> Result<()> {
    let algorithm = text(wanted, "/ServerSideEncryptionConfiguration/0/ServerSideEncryptionByDefault/SSEAlgorithm")?;
    let by_default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::from(algorithm.as_str()))
        .build()?;
    let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(by_default).build();
    let configuration = ServerSideEncryptionConfiguration::builder().rules(rule).build()?;
    let put = s3.put_bucket_encryption().bucket(bucket);
    put.server_side_encryption_configuration(configuration).send().await?;
    Ok(())
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("no text at `{pointer}`"))
}

/// A number, which is text if it came from a parameter.
fn number(value: &Value, pointer: &str) -> Result<i32> {
    let found = value.pointer(pointer).with_context(|| format!("no number at `{pointer}`"))?;
    let parsed = match found {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64().and_then(|number| i32::try_from(number).ok()),
    };
    parsed.with_context(|| format!("no number at `{pointer}`"))
}
