//! The pauses between retries.

use std::time::Duration;

/// Pauses that double with each try, up to a longest one. Each is random within the upper three quarters of its
/// length, so callers that failed together do not retry together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Length of the pause after the first try.
    pub first: Duration,
    /// Length that no pause exceeds.
    pub longest: Duration,
}

impl Backoff {
    /// The pause after the `attempt`-th try, from 1.
    pub fn pause(&self, attempt: u32) -> Duration {
        self.ceiling(attempt).mul_f64(0.25 + 0.75 * fastrand::f64())
    }

    fn ceiling(&self, attempt: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(400) };

    #[test]
    fn pauses_double_and_end_at_the_longest() {
        let ceilings: Vec<u128> = (0..9).map(|attempt| BACKOFF.ceiling(attempt).as_millis()).collect();
        assert_eq!(ceilings, [10, 10, 20, 40, 80, 160, 320, 400, 400]);
        assert_eq!(BACKOFF.ceiling(u32::MAX), BACKOFF.longest);
    }

    #[test]
    fn a_pause_is_between_a_quarter_of_its_ceiling_and_the_ceiling() {
        for attempt in (1..200).map(|round| round % 10) {
            let (pause, ceiling) = (BACKOFF.pause(attempt), BACKOFF.ceiling(attempt));
            assert!(pause <= ceiling && pause >= ceiling / 4, "{pause:?} of {ceiling:?}");
        }
    }
}
