//! The pause after a lost race.

use std::time::Duration;

use crate::error::VaultError;
use crate::repository::random;

/// Longest pause between two tries: many times the round trip of a write, so that a crowd spreads out.
const PAUSE_LIMIT: Duration = Duration::from_millis(400);

/// Grows with each lost race, and differs between writers.
pub(crate) fn pause(attempt: u32) -> Result<Duration, VaultError> {
    let [random] = random::<1>()?;
    let longest = Duration::from_millis(10 * u64::from(attempt + 1)).min(PAUSE_LIMIT);
    Ok(longest.mul_f64(0.25 + 0.75 * f64::from(random) / 255.0))
}
