//! Connections from Secrets Manager.

use aws_config::SdkConfig;
use lifeboat_postgres::ConnectionSettings;

use crate::error::RuntimeError;

/// Fetches the secret `arn`, which holds the connection of `name`, and reads it.
pub(crate) async fn connection(config: &SdkConfig, name: &str, arn: &str) -> Result<ConnectionSettings, RuntimeError> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| RuntimeError::Secret { name: name.to_owned(), source };
    let client = aws_sdk_secretsmanager::Client::new(config);
    let answer = client.get_secret_value().secret_id(arn).send().await.map_err(|error| failed(error.into()))?;
    let text = answer.secret_string().ok_or_else(|| failed("it is binary".into()))?;
    ConnectionSettings::from_secret(text).map_err(|source| RuntimeError::Connection { name: name.to_owned(), source })
}
