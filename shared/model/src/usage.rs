//! The usage of AWS by a run, as AWS counts it for the bill, and its cost at the policy's prices.

use std::collections::BTreeMap;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use crate::fact::{Fact, Facts};
use crate::policy::Prices;

/// Bytes of a gigabyte by which storage is priced.
const GIGABYTE: f64 = 1e9;

/// The requests and the compute of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Requests to S3 that write or list, retries included.
    pub writes: u64,
    /// Every other request to S3.
    pub reads: u64,
    /// Requests to KMS.
    pub key_requests: u64,
    /// Gigabytes (2^30 bytes) of a function's memory, times the seconds that it ran.
    pub gb_seconds: f64,
}

/// A cost, in the currency of the policy's prices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Requests to S3 and KMS.
    pub requests: f64,
    /// Bytes kept for a month.
    pub storage: f64,
    /// Functions that ran.
    pub compute: f64,
    /// All of it.
    pub total: f64,
}

impl Usage {
    /// As facts of an entry in the ledger, which [`Usage::of`] reads again.
    pub fn facts(&self) -> Facts {
        Facts::new()
            .with(Fact::Writes, self.writes)
            .with(Fact::Reads, self.reads)
            .with(Fact::KeyRequests, self.key_requests)
            .with(Fact::GbSeconds, format_args!("{:.3}", self.gb_seconds))
    }

    /// The usage that an entry's detail states; empty when it states none.
    pub fn of(detail: &BTreeMap<String, String>) -> Self {
        Self {
            writes: Fact::Writes.read(detail).unwrap_or_default(),
            reads: Fact::Reads.read(detail).unwrap_or_default(),
            key_requests: Fact::KeyRequests.read(detail).unwrap_or_default(),
            gb_seconds: Fact::GbSeconds.read(detail).filter(|seconds: &f64| seconds.is_finite()).unwrap_or_default(),
        }
    }

    /// Its cost, including `stored_bytes` kept for a month.
    pub fn cost(&self, stored_bytes: u64, prices: &Prices) -> Cost {
        let requests = self.writes as f64 / 1000.0 * prices.writes_per_thousand
            + self.reads as f64 / 1000.0 * prices.reads_per_thousand
            + self.key_requests as f64 / 10_000.0 * prices.keys_per_ten_thousand;
        let storage = stored_bytes as f64 / GIGABYTE * prices.storage_gb_month;
        let compute = self.gb_seconds * prices.compute_gb_second;
        Cost { requests, storage, compute, total: requests + storage + compute }
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            writes: self.writes.saturating_add(other.writes),
            reads: self.reads.saturating_add(other.reads),
            key_requests: self.key_requests.saturating_add(other.key_requests),
            gb_seconds: self.gb_seconds + other.gb_seconds,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
