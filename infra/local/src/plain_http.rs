//! Removes the statements that deny plain HTTP from the deployed policies. We use the emulator over plain HTTP, and it
//! enforces the policies. Their other statements stay.

use anyhow::{Context, Result};
use aws_config::SdkConfig;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

use crate::stack::Stack;
use crate::template::{Resource, Template};

/// The condition that identifies such a statement.
const CONDITION: &str = "aws:SecureTransport";

/// Removes the denials from the policies of every bucket, topic and queue of a stack.
pub(crate) async fn allow(config: &SdkConfig, template: &Template, stack: &Stack) -> Result<()> {
    for Resource { logical_id, kind, .. } in template.resources() {
        let Some(id) = stack.physical_ids.get(logical_id) else { continue };
        match kind {
            "AWS::S3::Bucket" => bucket(&aws_sdk_s3::Client::new(config), id).await,
            "AWS::SNS::Topic" => topic(&aws_sdk_sns::Client::new(config), id).await,
            "AWS::SQS::Queue" => queue(&aws_sdk_sqs::Client::new(config), id).await,
            _ => continue,
        }
        .with_context(|| format!("cannot change the policy of `{logical_id}`"))?;
    }
    Ok(())
}

async fn bucket(s3: &aws_sdk_s3::Client, bucket: &str) -> Result<()> {
    let held = match s3.get_bucket_policy().bucket(bucket).send().await {
        Err(error) if error.code() == Some("NoSuchBucketPolicy") => return Ok(()),
        answer => answer?,
    };
    match without_denial(held.policy())? {
        Rest::Same => {}
        Rest::Some(policy) => s3.put_bucket_policy().bucket(bucket).policy(policy).send().await.map(drop)?,
        Rest::Nothing => s3.delete_bucket_policy().bucket(bucket).send().await.map(drop)?,
    }
    Ok(())
}

async fn topic(sns: &aws_sdk_sns::Client, arn: &str) -> Result<()> {
    let held = sns.get_topic_attributes().topic_arn(arn).send().await?;
    let policy = held.attributes().and_then(|attributes| attributes.get("Policy"));
    let policy = match without_denial(policy.map(String::as_str))? {
        Rest::Same => return Ok(()),
        Rest::Some(policy) => policy,
        // SNS's default policy, under which the owner's account decides.
        Rest::Nothing => String::new(),
    };
    sns.set_topic_attributes().topic_arn(arn).attribute_name("Policy").attribute_value(policy).send().await?;
    Ok(())
}

async fn queue(sqs: &aws_sdk_sqs::Client, url: &str) -> Result<()> {
    let held = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::Policy).send().await?;
    let policy = held.attributes().and_then(|attributes| attributes.get(&QueueAttributeName::Policy));
    let policy = match without_denial(policy.map(String::as_str))? {
        Rest::Same => return Ok(()),
        Rest::Some(policy) => policy,
        Rest::Nothing => String::new(),
    };
    sqs.set_queue_attributes().queue_url(url).attributes(QueueAttributeName::Policy, policy).send().await?;
    Ok(())
}

/// The rest of a policy.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// It did not deny plain HTTP.
    Same,
    /// It had no other statement.
    Nothing,
    /// The policy without the denials.
    Some(String),
}

/// The policy without the statements that deny plain HTTP.
fn without_denial(policy: Option<&str>) -> Result<Rest> {
    let Some(policy) = policy.filter(|policy| policy.contains(CONDITION)) else { return Ok(Rest::Same) };
    let mut policy: Value = serde_json::from_str(policy)?;
    let statements = policy.get_mut("Statement").and_then(Value::as_array_mut).context("it has no statements")?;
    statements.retain(|statement| !statement.to_string().contains(CONDITION));
    Ok(if statements.is_empty() { Rest::Nothing } else { Rest::Some(policy.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_denial_of_plain_http_is_taken_out() {
        let denial = r#"{"Effect":"Deny","Condition":{"Bool":{"aws:SecureTransport":"false"}}}"#;
        let other = r#"{"Effect":"Allow","Sid":"Other"}"#;
        let both = format!(r#"{{"Statement":[{denial},{other}]}}"#);
        let Rest::Some(rest) = without_denial(Some(&both)).unwrap() else { panic!("a statement must be left") };
        let rest: Value = serde_json::from_str(&rest).unwrap();
        assert_eq!(rest["Statement"], serde_json::json!([{ "Effect": "Allow", "Sid": "Other" }]));
        assert_eq!(without_denial(Some(&format!(r#"{{"Statement":[{denial}]}}"#))).unwrap(), Rest::Nothing);
        assert_eq!(without_denial(Some(&format!(r#"{{"Statement":[{other}]}}"#))).unwrap(), Rest::Same);
        assert_eq!(without_denial(None).unwrap(), Rest::Same);
    }
}
