//! The region of a bucket that is known only by its name.

use aws_config::SdkConfig;
use lifeboat_model::Meter;

use crate::clients::s3_client;

/// S3 names the region of a bucket in this header, also when it refuses the request for its region or its credentials.
const REGION_HEADER: &str = "x-amz-bucket-region";

/// Asks S3 for the region of a bucket, from the region of `config`; `None` when it does not say.
///
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html>.
pub async fn bucket_region(config: &SdkConfig, bucket: &str) -> Option<String> {
    let region = config.region().map_or("us-east-1", |region| region.as_ref());
    let client = s3_client(config, region, None, &Meter::default());
    match client.head_bucket().bucket(bucket).send().await {
        Ok(answer) => answer.bucket_region().map(str::to_owned),
        Err(error) => error.raw_response()?.headers().get(REGION_HEADER).map(str::to_owned),
    }
}
