//! Interceptors of the SDK that count what leaves: each request, also one that is repeated, as AWS counts it for the bill.

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use lifeboat_model::Meter;

/// In the query of a listing, which S3 prices as a write.
const LISTING: &str = "list-type=2";

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
        let Self(meter) = self;
        let request = context.request();
        let is_read = matches!(request.method(), "GET" | "HEAD") && !request.uri().contains(LISTING);
        if is_read {
            meter.count_read()
        } else {
            meter.count_write()
        }
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
        let Self(meter) = self;
        meter.count_key_request();
        Ok(())
    }
}
