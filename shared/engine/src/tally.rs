//! What a run asks of AWS, for the ledger.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lifeboat_model::Meter;
use lifeboat_model::Usage;

/// Megabytes of a gigabyte of memory.
const MB_PER_GB: f64 = 1024.0;

/// Counts from when the run began, and from one act on record to the next: what is on record of one is not of another.
#[derive(Debug, Clone)]
pub struct Tally {
    meter: Meter,
    memory_mb: u32,
    since: Arc<Mutex<(Usage, Instant)>>,
}

impl Tally {
    /// Begins. `memory_mb` is what the function has; 0 where nobody is billed for it.
    pub fn begin(meter: &Meter, memory_mb: u32) -> Self {
        let since = (meter.requests(), Instant::now());
        Self { meter: meter.clone(), memory_mb, since: Arc::new(Mutex::new(since)) }
    }

    /// What has been used since the last time that this was asked.
    pub(crate) fn take(&self) -> Usage {
        let (now, at) = (self.meter.requests(), Instant::now());
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, began) = std::mem::replace(&mut *since, (now, at));
        Usage {
            writes: now.writes.saturating_sub(before.writes),
            reads: now.reads.saturating_sub(before.reads),
            key_requests: now.key_requests.saturating_sub(before.key_requests),
            gb_seconds: f64::from(self.memory_mb) / MB_PER_GB * at.duration_since(began).as_secs_f64(),
        }
    }
}
