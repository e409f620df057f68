//! One S3 bucket as an [`ObjectStore`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Config;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, DefaultRetention, ObjectLockMode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{Backoff, Sha256};
use lifeboat_vault::{
    BodySink, CopySource, DefaultLock, KeyPage, LockPeriod, NewObject, ObjectHead, ObjectStore, PAGE_KEYS, Protection,
    PutCondition, ReadObject, StoreError, Version, copy_through,
};
use tokio::sync::OnceCell;

use crate::clients::{ATTEMPT_TIMEOUT, timeouts, transfer_time};

/// The user metadata that carries [`NewObject::mark`].
const MARK: &str = "lifeboat-mark";

/// Tries of a write that met another write to the same key at the same moment (409).
const CONFLICT_ATTEMPTS: u32 = 4;

/// Pauses between them.
const CONFLICT_BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_millis(400) };

/// Longest silence in the middle of a body.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Tries of a body that broke off.
const READ_ATTEMPTS: u32 = 3;

/// Pauses between them.
const READ_BACKOFF: Backoff = Backoff { first: Duration::from_millis(400), longest: Duration::from_secs(1) };

/// The codes of S3 for bytes that do not match their checksum.
const DIGEST_CODES: [&str; 4] =
    ["BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"];

/// Longest lock that a write asks for: twenty years. The bucket's policy denies more than 7,310 days.
const LONGEST_LOCK_DAYS: i64 = 7305;

/// Largest object that one `CopyObject` takes.
const COPY_LIMIT_BYTES: u64 = 5 * 1024 * 1024 * 1024;

/// Objects in one bucket.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    region: String,
    /// How the bucket locks by itself; asked once, when something is to be kept for longer.
    retention: Arc<OnceCell<Option<DefaultRetention>>>,
}

impl S3Store {
    /// A store on `bucket`. The client brings region, credentials and time limits: see [`s3_client`](crate::s3_client).
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        let region = client.config().region().map(ToString::to_string).unwrap_or_default();
        Self { client, bucket: bucket.into(), region, retention: Arc::default() }
    }

    /// The lock that a write asks for: in the bucket's own mode. `None` leaves it to the bucket: when that is what is wanted, in a
    /// bucket that locks nothing, and in one whose settings this caller may not see.
    async fn lock(&self, wanted: LockPeriod) -> Option<(ObjectLockMode, DateTime)> {
        if wanted == LockPeriod::Bucket {
            return None;
        }
        let retention = self.retention.get_or_try_init(|| self.default_retention()).await;
        let retention = retention.inspect_err(|error| {
            tracing::warn!(bucket = self.bucket, %error, "how the bucket locks is not known; its default retention applies");
        });
        let retention = retention.ok()?.as_ref()?;
        let days = lock_days(retention);
        let (now, hours) = (Timestamp::now(), SignedDuration::from_hours);
        let until = match wanted {
            LockPeriod::Bucket => return None,
            // The bucket's policy refuses a shorter lock than its default. The hour is for the way there.
            LockPeriod::AtLeast(until) => until.max(now.checked_add(hours(24 * days + 1)).ok()?),
            LockPeriod::Day => now.checked_add(hours(24)).ok()?,
        };
        let mode = ObjectLockMode::from(retention.mode.as_ref()?.as_str());
        Some((mode, DateTime::from_millis(until.as_millisecond())))
    }

    async fn default_retention(&self) -> Result<Option<DefaultRetention>, StoreError> {
        let request = self.client.get_object_lock_configuration().bucket(&self.bucket).send();
        match request.await.map_err(|error| translate("?object-lock", error)) {
            Ok(answer) => Ok(answer.object_lock_configuration.and_then(|lock| lock.rule?.default_retention)),
            // A bucket that was made without it.
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put_once(&self, key: &str, object: &NewObject, condition: &PutCondition) -> Result<Version, PutRefusal> {
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(BASE64.encode(object.sha256.0))
            .set_metadata(object.mark.clone().map(|mark| [(MARK.to_owned(), mark)].into()))
            .body(ByteStream::from(object.body.clone()));
        let request = match self.lock(object.period).await {
            Some((mode, until)) => request.object_lock_mode(mode).object_lock_retain_until_date(until),
            None => request,
        };
        let request = match condition {
            PutCondition::CreateOnly => request.if_none_match("*"),
            PutCondition::IfMatch(version) => request.if_match(version.as_str()),
        };
        let size_bytes = object.body.len() as u64;
        let answer = request
            .customize()
            // The body is hashed already, and TLS carries it: hashing it again for the signature costs a third of the CPU.
            .disable_payload_signing()
            .config_override(Config::builder().timeout_config(timeouts(size_bytes)))
            .send()
            .await
            .map_err(|error| PutRefusal::of(key, object, error))?;
        Ok(Version::new(answer.e_tag().unwrap_or_default()))
    }

    /// Whether the object that a create-only write met is the one it wrote itself before its answer was lost.
    async fn is_stored(&self, key: &str, object: &NewObject) -> Result<Option<Version>, StoreError> {
        let head = self.head(key).await?;
        let is_ours = |head: &ObjectHead| {
            head.sha256 == Some(object.sha256)
                && head.size_bytes == object.body.len() as u64
                && head.mark == object.mark
        };
        Ok(head.filter(is_ours).map(|head| head.version))
    }

    async fn begin_read(&self, key: &str, limit_bytes: u64) -> Result<GetObjectOutput, StoreError> {
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(|error| translate(key, error))?;
        let size_bytes = length(answer.content_length());
        if size_bytes > limit_bytes {
            return Err(StoreError::TooLarge { key: key.to_owned(), size_bytes, limit_bytes });
        }
        Ok(answer)
    }

    async fn read_once(&self, key: &str, limit_bytes: u64, sink: &mut dyn BodySink) -> Result<ReadObject, StoreError> {
        let mut answer = self.begin_read(key, limit_bytes).await?;
        sink.begin(length(answer.content_length()));
        let mut body = std::mem::take(&mut answer.body);
        let time = body_time(answer.content_length());
        let size_bytes = self.read_body(key, &mut body, limit_bytes, time, sink).await?;
        Ok(ReadObject {
            size_bytes,
            mark: answer.metadata().and_then(|metadata| metadata.get(MARK)).cloned(),
            version: Version::new(answer.e_tag().unwrap_or_default()),
        })
    }

    /// Gives every piece of an object's body to `sink`, and never more than `limit_bytes` in all. Returns their bytes.
    async fn read_body(
        &self,
        key: &str,
        body: &mut ByteStream,
        limit_bytes: u64,
        time: Duration,
        sink: &mut dyn BodySink,
    ) -> Result<u64, StoreError> {
        let mut size_bytes = 0_u64;
        // Counts the store alone: a sink may have to ask the key service.
        let mut waited = Duration::ZERO;
        loop {
            // A body that trickles is never silent: the whole of it has a limit, too.
            let patience = STALL_TIMEOUT.min(time.saturating_sub(waited));
            let began = tokio::time::Instant::now();
            let piece = tokio::time::timeout(patience, body.try_next()).await;
            waited += began.elapsed();
            let piece =
                piece.map_err(|_| StoreError::TimedOut { key: key.to_owned(), after: waited })?.map_err(|error| {
                    StoreError::Unavailable { key: key.to_owned(), retryable: true, source: Box::new(error) }
                })?;
            let Some(piece) = piece else { return Ok(size_bytes) };
            size_bytes = size_bytes.saturating_add(piece.len() as u64);
            if size_bytes > limit_bytes {
                return Err(StoreError::TooLarge { key: key.to_owned(), size_bytes, limit_bytes });
            }
            sink.take(&piece).await;
        }
    }

    /// Whether a read that failed is worth another try here: the SDK retries only up to the first byte of a body.
    fn broke_off(error: &StoreError, attempt: u32) -> bool {
        attempt < READ_ATTEMPTS
            && matches!(error, StoreError::TimedOut { .. } | StoreError::Unavailable { retryable: true, .. })
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put(&self, key: &str, object: NewObject, condition: PutCondition) -> Result<Version, StoreError> {
        let mut attempt = 1;
        loop {
            match self.put_once(key, &object, &condition).await {
                Ok(version) => return Ok(version),
                Err(PutRefusal::Conflict(_)) if attempt < CONFLICT_ATTEMPTS => {
                    tokio::time::sleep(CONFLICT_BACKOFF.pause(attempt)).await;
                    attempt += 1;
                }
                // Others are writing there all the time: the caller looks again at what is there now.
                Err(PutRefusal::Conflict(_)) if condition != PutCondition::CreateOnly => {
                    return Err(StoreError::VersionChanged { key: key.to_owned() });
                }
                Err(PutRefusal::Conflict(error) | PutRefusal::Failed(error)) => return Err(error),
                Err(PutRefusal::Condition) if condition == PutCondition::CreateOnly => {
                    let stored = self.is_stored(key, &object).await?;
                    return stored.ok_or_else(|| StoreError::AlreadyExists { key: key.to_owned() });
                }
                Err(PutRefusal::Condition) => return Err(StoreError::VersionChanged { key: key.to_owned() }),
            }
        }
    }

    async fn read(&self, key: &str, limit_bytes: u64, sink: &mut dyn BodySink) -> Result<ReadObject, StoreError> {
        let mut attempt = 1;
        loop {
            match self.read_once(key, limit_bytes, sink).await {
                Err(error) if Self::broke_off(&error, attempt) => {
                    tokio::time::sleep(READ_BACKOFF.pause(attempt)).await;
                    attempt += 1;
                }
                answer => return answer,
            }
        }
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        let answer =
            self.client.head_object().bucket(&self.bucket).key(key).checksum_mode(ChecksumMode::Enabled).send().await;
        let answer = match answer.map_err(|error| translate(key, error)) {
            Ok(answer) => answer,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(ObjectHead {
            size_bytes: length(answer.content_length()),
            sha256: answer.checksum_sha256().and_then(decode_sha256),
            mark: answer.metadata().and_then(|metadata| metadata.get(MARK)).cloned(),
            version: Version::new(answer.e_tag().unwrap_or_default()),
        }))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<KeyPage, StoreError> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_start_after(after.map(str::to_owned))
            .max_keys(i32::try_from(PAGE_KEYS).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| translate(prefix, error))?;
        let more = answer.is_truncated().unwrap_or(false);
        let keys = answer.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect();
        Ok(KeyPage { keys, more })
    }

    async fn copy_from(
        &self,
        source: &dyn ObjectStore,
        key: &str,
        expected: &Sha256,
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        let from = match source.copy_source() {
            Some(from) if size_bytes <= COPY_LIMIT_BYTES => from,
            _ => return copy_through(self, source, key, expected, size_bytes).await,
        };
        let answer = self
            .client
            .copy_object()
            .bucket(&self.bucket)
            .key(key)
            // Our keys are of `a-z 0-9 - _ . /` only: nothing to escape.
            .copy_source(format!("{}/{key}", from.bucket))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .if_none_match("*")
            .customize()
            .config_override(Config::builder().timeout_config(timeouts(size_bytes)))
            .send()
            .await
            .map_err(|error| translate(key, error))?;
        let told = answer.copy_object_result().and_then(|result| result.checksum_sha256()).and_then(decode_sha256);
        let actual = match told {
            Some(actual) => Some(actual),
            // Older regions of S3, and emulators, compute it without saying so.
            None => self.head(key).await?.and_then(|head| head.sha256),
        };
        if actual == Some(*expected) {
            return Ok(());
        }
        Err(StoreError::Corrupt { key: key.to_owned(), expected: *expected, actual })
    }

    async fn protection(&self) -> Result<Protection, StoreError> {
        if let Some(retention) = self.default_retention().await? {
            let mode = retention.mode.as_ref().map(|mode| mode.as_str().to_owned()).unwrap_or_default();
            let lock = DefaultLock { mode, days: lock_days(&retention).unsigned_abs() };
            // Object Lock needs versioning, and S3 does not let it be turned off then.
            return Ok(Protection { versioned: true, lock: Some(lock) });
        }
        let request = self.client.get_bucket_versioning().bucket(&self.bucket).send();
        let versioning = request.await.map_err(|error| translate("?versioning", error))?;
        Ok(Protection { versioned: versioning.status() == Some(&BucketVersioningStatus::Enabled), lock: None })
    }

    fn copy_source(&self) -> Option<CopySource> {
        Some(CopySource { bucket: self.bucket.clone() })
    }

    fn describe(&self) -> String {
        format!("s3://{} ({})", self.bucket, self.region)
    }
}

/// Why a conditional write did not happen.
enum PutRefusal {
    /// 412: the condition does not hold.
    Condition,
    /// 409: another write to the same key was on its way.
    Conflict(StoreError),
    Failed(StoreError),
}

impl PutRefusal {
    fn of(key: &str, object: &NewObject, error: SdkError<PutObjectError, HttpResponse>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        match (status, translate(key, error)) {
            (Some(412), _) => Self::Condition,
            (Some(409), error) => Self::Conflict(error),
            (_, StoreError::Rejected { key, code, .. }) if DIGEST_CODES.contains(&code.as_str()) => {
                Self::Failed(StoreError::Corrupt { key, expected: object.sha256, actual: None })
            }
            (_, error) => Self::Failed(error),
        }
    }
}

/// The days of a default retention: with each leap day that may be in its years, and never more than a policy of the bucket allows.
fn lock_days(retention: &DefaultRetention) -> i64 {
    let [days, years] = [retention.days, retention.years].map(|count| i64::from(count.unwrap_or_default()));
    days.saturating_add(years.saturating_mul(1461).saturating_add(3) / 4).clamp(0, LONGEST_LOCK_DAYS)
}

/// How long a body of this length may take.
fn body_time(content_length: Option<i64>) -> Duration {
    STALL_TIMEOUT + transfer_time(length(content_length))
}

fn length(content_length: Option<i64>) -> u64 {
    content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default()
}

fn decode_sha256(base64: &str) -> Option<Sha256> {
    BASE64.decode(base64).ok()?.try_into().ok().map(Sha256)
}

/// The answer of S3 without the layers of the SDK: people read it in an alert.
#[derive(Debug, thiserror::Error)]
#[error("S3 answered {status} {said}")]
struct Answer {
    status: u16,
    said: String,
}

impl Answer {
    /// The answer to a `HEAD` has no body, and so neither code nor message.
    fn new(status: u16, code: Option<&str>, message: Option<&str>) -> Self {
        let message = message.unwrap_or("without a word").trim_end_matches('.');
        let said = code.map_or_else(|| message.to_owned(), |code| format!("`{code}`: {message}"));
        Self { status, said }
    }
}

/// The meaning of a failed request. The SDK has already retried it where that can help.
fn translate<E>(key: &str, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let key = key.to_owned();
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.code().unwrap_or_default().to_owned();
    let answer = |status| Box::new(Answer::new(status, error.code(), error.message()));
    match (status, code.as_str()) {
        (_, "NoSuchBucket") => StoreError::NoBucket { key },
        (Some(404), _) => StoreError::NotFound { key },
        // Only a copy comes here with it: writes tell their conditions apart themselves.
        (Some(412), _) => StoreError::AlreadyExists { key },
        (Some(status @ (401 | 403)), _) => StoreError::Denied { key, source: answer(status) },
        (Some(status @ (409 | 429 | 500..=599)), _) => {
            StoreError::Unavailable { key, retryable: true, source: answer(status) }
        }
        (Some(status), _) => StoreError::Rejected { key, code, source: answer(status) },
        (None, _) => match error {
            SdkError::TimeoutError(_) => StoreError::TimedOut { key, after: ATTEMPT_TIMEOUT },
            SdkError::ConstructionFailure(_) => {
                StoreError::Unavailable { key, retryable: false, source: Box::new(error) }
            }
            other => StoreError::Unavailable { key, retryable: true, source: Box::new(other) },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_retention_in_years_counts_its_leap_days_and_never_more_than_a_bucket_allows() {
        let days = |days, years| lock_days(&DefaultRetention::builder().set_days(days).set_years(years).build());
        assert_eq!([days(Some(120), None), days(None, None)], [120, 0]);
        assert_eq!([1, 2, 4, 20].map(|years| days(None, Some(years))), [366, 731, 1461, 7305]);
        assert_eq!([days(None, Some(100)), days(Some(i32::MAX), None)], [7305, 7305]);
    }
}
