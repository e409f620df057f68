//! Counts what a process asks of S3 and KMS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::usage::Usage;

/// The requests of a process's clients. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    writes: AtomicU64,
    reads: AtomicU64,
    key_requests: AtomicU64,
}

impl Meter {
    /// One more request to S3 that writes or lists.
    pub fn count_write(&self) {
        self.0.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// One more of any other request to S3.
    pub fn count_read(&self) {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// One more request to KMS.
    pub fn count_key_request(&self) {
        self.0.key_requests.fetch_add(1, Ordering::Relaxed);
    }

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
