//! Counts what is asked of S3 and KMS, as AWS counts it for the bill: each request that leaves, also one that is repeated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use lifeboat_model::Usage;

/// In the query of a listing, which S3 prices as a write.
const LISTING: &str = "list-type=2";

/// What the clients of a process have asked. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    writes: AtomicU64,
    reads: AtomicU64,
    key_requests: AtomicU64,
}

impl Meter {
    /// All requests until now; no compute.
    pub fn requests(&self) -> Usage {
        Usage {
            writes: self.0.writes.load(Ordering::Relaxed),
            reads: self.0.reads.load(Ordering::Relaxed),
            key_requests: self.0.key_requests.load(Ordering::Relaxed),
            gb_seconds: 0.0,
        }
    }
}

/// Counts the requests of a client of S3.
#[derive(Debug)]
pub(crate) struct CountStore(pub(crate) Meter);

/// Counts the requests of a client of KMS.
#[derive(Debug)]
pub(crate) struct CountKeys(pub(crate) Meter);

impl Intercept for CountStore {
    fn name(&self) -> &'static str {
        "CountStore"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Self(Meter(counts)) = self;
        let request = context.request();
        let is_read = matches!(request.method(), "GET" | "HEAD") && !request.uri().contains(LISTING);
        let counter = if is_read { &counts.reads } else { &counts.writes };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Intercept for CountKeys {
    fn name(&self) -> &'static str {
        "CountKeys"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Self(Meter(counts)) = self;
        counts.key_requests.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
