//! The pauses of a writer whose change others were faster than.

use std::time::Duration;

use lifeboat_model::Backoff;
use tokio::time::Instant;

/// Times that a change is tried when others change the same key. Each time one of them succeeds. In a simulation of eight writers that
/// never rest, the slowest of 20,000 changes took 29.
pub(crate) const ATTEMPTS: u32 = 48;

/// The longest pause, in attempts: a crowd of twice as many writers as run at once spreads out over it.
const LONGEST_ATTEMPTS: u32 = 16;

/// Attempts after which a writer no longer pauses: it has waited for longest, and newcomers make way.
const PATIENT_ATTEMPTS: u32 = ATTEMPTS / 2;

/// A pause that no writer exceeds, however slow the store is.
const LONGEST: Duration = Duration::from_secs(4);

/// The attempts of one writer at one change.
pub(crate) struct Race {
    lost: u32,
    /// When the current attempt began.
    began: Instant,
}

impl Race {
    /// The first attempt begins.
    pub(crate) fn begin() -> Self {
        Self { lost: 0, began: Instant::now() }
    }

    /// Another writer was faster. Pauses, and the next attempt begins.
    pub(crate) async fn lost(&mut self) {
        self.lost = self.lost.saturating_add(1);
        let ceiling = ceiling(self.lost, self.began.elapsed());
        tokio::time::sleep(Backoff { first: ceiling, longest: ceiling }.pause(1)).await;
        self.began = Instant::now();
    }
}

/// The longest pause after the `lost`-th attempt, when an attempt takes so long. Pauses are in attempts: on a slow store, short ones would
/// let nobody by. They double at first, for two writers that met by chance. Later they shrink, so that nobody is left behind for ever.
fn ceiling(lost: u32, attempt: Duration) -> Duration {
    let doubled = attempt.saturating_mul(2_u32.saturating_pow(lost.saturating_sub(1)));
    let left = PATIENT_ATTEMPTS.saturating_sub(lost);
    let shrunk = attempt.saturating_mul(LONGEST_ATTEMPTS.saturating_mul(left)) / PATIENT_ATTEMPTS;
    doubled.min(shrunk).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceilings(attempt: Duration) -> Vec<u128> {
        (1..=30).map(|lost| ceiling(lost, attempt).as_millis()).collect()
    }

    #[test]
    fn a_pause_is_measured_by_the_attempt_before_it_and_ends_for_who_has_waited_longest() {
        let fast = ceilings(Duration::from_millis(30));
        assert_eq!(fast[..5], [30, 60, 120, 240, 380]);
        assert_eq!(fast[22..], [20, 0, 0, 0, 0, 0, 0, 0]);
        assert!(fast[4..].is_sorted_by(|earlier, later| earlier >= later), "{fast:?}");
        // On a machine that is ten times as slow, a crowd spreads out just as far.
        let slow = ceilings(Duration::from_millis(300));
        assert!(
            fast.iter().zip(&slow).all(|(fast, slow)| fast * 10 == *slow || *slow == LONGEST.as_millis()),
            "{slow:?}"
        );
        assert_eq!(ceiling(5, Duration::MAX), LONGEST);
    }
}
