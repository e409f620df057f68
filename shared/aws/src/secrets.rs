//! Texts from Secrets Manager.

use aws_config::SdkConfig;

use crate::error::AwsError;

/// The text of the secret `arn`, in its current version.
///
/// # Errors
/// [`AwsError`], which never has the secret's value.
pub async fn secret_text(config: &SdkConfig, arn: &str) -> Result<String, AwsError> {
    let client = aws_sdk_secretsmanager::Client::new(config);
    let answer = client.get_secret_value().secret_id(arn).send().await.map_err(AwsError::service)?;
    answer.secret_string().map(str::to_owned).ok_or(AwsError::Binary)
}
