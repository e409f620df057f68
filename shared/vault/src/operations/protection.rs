//! Whether a bucket keeps what is stored for as long as backups need it.

use lifeboat_model::{Diagnosis, Site, story};

use crate::repository::epochs::{LEAST_LOCK_DAYS, REUSED_DAYS};
use crate::store::error::StoreError;
use crate::store::port::Protection;

/// What a bucket's answer about its versions and their lock means for backups.
pub fn judge_protection(site: Site, protection: &Result<Protection, StoreError>) -> Diagnosis {
    let check = format!("{site} protected");
    let turn_on = || {
        format!(
            "turn versioning and Object Lock on, with a default retention of at least {LEAST_LOCK_DAYS} days and the break-glass role: \
             `aws s3api put-bucket-versioning` and `put-object-lock-configuration`"
        )
    };
    let judged = match protection {
        Ok(Protection { lock: Some(lock), .. }) if lock.days >= LEAST_LOCK_DAYS => {
            Diagnosis::ok(check, format!("versioned, locked ({lock})"))
        }
        Ok(Protection { lock: Some(lock), .. }) => Diagnosis::warn(
            check,
            format!("locked for too short a time ({lock}): backups reuse chunks that are up to {REUSED_DAYS} days old"),
            format!(
                "set `ObjectLockDays` to {LEAST_LOCK_DAYS} or more in the stack of this bucket, with the break-glass role; objects that \
                 are stored already keep their lock"
            ),
        ),
        Ok(Protection { versioned: true, lock: None }) => Diagnosis::warn(
            check,
            "versioned, but not locked: a role that may delete versions may delete every backup",
            turn_on(),
        ),
        Ok(Protection { versioned: false, lock: None }) => {
            Diagnosis::warn(check, "neither versioned nor locked: an overwritten or deleted object is lost", turn_on())
        }
        Err(error) => Diagnosis::warn(
            check,
            format!("unknown: {}", story(error)),
            "allow this role `s3:GetBucketVersioning` and `s3:GetBucketObjectLockConfiguration` on the bucket",
        ),
    };
    judged.on(site)
}
