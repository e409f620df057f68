//! The moment by which a run must have ended.

use std::time::{Duration, Instant};

/// When the platform ends this process. A run stops early enough to say how far it got.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Time kept back for the last steps: in-flight slices, the failed event, the ledger entry.
    const MARGIN: Duration = Duration::from_secs(30);

    /// No end: the CLI, tests.
    pub fn none() -> Self {
        Self(None)
    }

    /// The process ends `remaining` from now.
    pub fn after(remaining: Duration) -> Self {
        Self(Instant::now().checked_add(remaining))
    }

    /// Whether no new piece of work should be begun. Of a short time to live, at most half is margin.
    pub fn is_near(&self, began: Instant) -> bool {
        self.0.is_some_and(|end| {
            let margin = Self::MARGIN.min(end.saturating_duration_since(began) / 2);
            Instant::now() + margin >= end
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_near_before_it_is_reached_and_none_never_is() {
        let began = Instant::now();
        assert!(!Deadline::none().is_near(began));
        assert!(!Deadline::after(Duration::from_secs(900)).is_near(began));
        assert!(Deadline::after(Duration::from_secs(0)).is_near(began));
    }
}
