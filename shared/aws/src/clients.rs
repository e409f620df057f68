//! The configuration of all clients, and the clients of S3 and KMS. Every time limit is set: by default the SDK waits for a silent server
//! without end.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::ResponseChecksumValidation;
use aws_smithy_http_client::Builder as HttpClient;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use lifeboat_model::Meter;

use crate::meter::{CountKeys, CountStore};

/// To reach a service within a region or from one to the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// For one try of a small request.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// For all tries of a small request and the pauses between them.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Tries of a request: with pauses of up to 5 s they bridge a throttled moment, not an outage.
pub(crate) const ATTEMPTS: u32 = 4;

/// Ceiling of the first pause; each later one is doubled and taken at random below its ceiling.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Slowest transfer that is waited for. Lambda has 50 to 87 MB/s; a tenth of it is broken.
const SLOWEST_BYTES_PER_SECOND: u64 = 5 * 1000 * 1000;

/// The configuration of every client of a process whose home is `region`. Credentials come from the environment.
pub async fn sdk_config(region: &str) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        // One pool of connections, and one reading of the machine's root certificates, for all services of both regions.
        .http_client(HttpClient::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https())
        .load()
        .await
}

/// A client of S3 in `region`, whose requests `meter` counts. `endpoint` is for a local cloud; absent in AWS.
pub fn s3_client(shared: &SdkConfig, region: &str, endpoint: Option<&str>, meter: &Meter) -> aws_sdk_s3::Client {
    let mut config = aws_sdk_s3::config::Builder::from(shared)
        .region(Region::new(region.to_owned()))
        .timeout_config(timeouts(0))
        .retry_config(retries())
        .interceptor(CountStore(meter.clone()))
        // The readers compare the SHA-256 themselves, and a damaged object must be called damaged, not unreadable.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = endpoint {
        // Local clouds have no wildcard DNS for buckets.
        config = config.endpoint_url(endpoint).force_path_style(true);
    }
    aws_sdk_s3::Client::from_conf(config.build())
}

/// A client of KMS in `region`, whose requests `meter` counts. `endpoint` is for a local cloud; absent in AWS.
pub fn kms_client(shared: &SdkConfig, region: &str, endpoint: Option<&str>, meter: &Meter) -> aws_sdk_kms::Client {
    let mut config = aws_sdk_kms::config::Builder::from(shared)
        .region(Region::new(region.to_owned()))
        .timeout_config(timeouts(0))
        .retry_config(retries())
        .interceptor(CountKeys(meter.clone()));
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint);
    }
    aws_sdk_kms::Client::from_conf(config.build())
}

/// The longest that is waited for `size_bytes` on their way.
pub(crate) fn transfer_time(size_bytes: u64) -> Duration {
    Duration::from_secs(size_bytes / SLOWEST_BYTES_PER_SECOND)
}

/// Limits for a request that moves `size_bytes`.
pub(crate) fn timeouts(size_bytes: u64) -> TimeoutConfig {
    let transfer = transfer_time(size_bytes);
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT + transfer)
        .operation_timeout(OPERATION_TIMEOUT + transfer.saturating_mul(ATTEMPTS))
        .build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_PAUSE)
        .with_max_backoff(LONGEST_PAUSE)
}
