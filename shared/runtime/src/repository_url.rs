//! The address of a repository, for somebody who has nothing else.

use std::fmt;
use std::str::FromStr;

/// A bucket: `s3://bucket`, or `s3://bucket?region=eu-west-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryUrl {
    /// The bucket's name.
    pub bucket: String,
    /// Its region, where it is stated. S3 is asked otherwise.
    pub region: Option<String>,
}

/// A text that is no address of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a repository is `s3://BUCKET` or `s3://BUCKET?region=REGION`")]
pub struct NoRepositoryUrl;

impl FromStr for RepositoryUrl {
    type Err = NoRepositoryUrl;

    fn from_str(text: &str) -> Result<Self, NoRepositoryUrl> {
        let rest = text.strip_prefix("s3://").ok_or(NoRepositoryUrl)?;
        let (bucket, region) = match rest.split_once('?') {
            Some((bucket, query)) => (bucket, Some(query.strip_prefix("region=").ok_or(NoRepositoryUrl)?)),
            None => (rest, None),
        };
        let bucket = bucket.strip_suffix('/').unwrap_or(bucket);
        let is_plain =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        if !is_plain(bucket) || !region.is_none_or(is_plain) {
            return Err(NoRepositoryUrl);
        }
        Ok(Self { bucket: bucket.to_owned(), region: region.map(str::to_owned) })
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_a_bucket_and_perhaps_its_region() {
        let url = |text: &str| text.parse::<RepositoryUrl>();
        let plain = RepositoryUrl { bucket: "clinic-backups".to_owned(), region: None };
        assert_eq!(url("s3://clinic-backups"), Ok(plain.clone()));
        assert_eq!(url("s3://clinic-backups/"), Ok(plain));
        assert_eq!(url("s3://b?region=eu-west-1").unwrap().region.as_deref(), Some("eu-west-1"));
        for wrong in ["clinic-backups", "s3://", "s3://b/folder", "s3://b?region=", "s3://b?key=x", "https://b"] {
            assert_eq!(url(wrong), Err(NoRepositoryUrl), "{wrong}");
        }
    }
}
