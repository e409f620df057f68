//! The identity of this process in AWS.

use aws_config::SdkConfig;

use crate::error::AwsError;

/// The ARN of the caller that runs this process.
///
/// # Errors
/// [`AwsError`] when AWS does not say.
pub async fn caller_arn(config: &SdkConfig) -> Result<String, AwsError> {
    let asked = aws_sdk_sts::Client::new(config).get_caller_identity().send().await;
    let identity = asked.map_err(AwsError::service)?;
    identity.arn().map(str::to_owned).ok_or(AwsError::Absent("ARN"))
}
