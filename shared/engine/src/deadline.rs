//! The time by which a run must end.

use std::time::{Duration, Instant};

use crate::error::EngineError;

/// When the platform ends this process. A run stops early enough to report how far it got.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Time reserved for the last steps: slices in flight, the failure's event, the ledger entry.
    const MARGIN: Duration = Duration::from_secs(30);

    /// Time reserved for the ledger, the event bus and the alerts.
    const LAST_WORDS: Duration = Duration::from_secs(15);

    /// No time limit, as in tests.
    pub fn none() -> Self {
        Self(None)
    }

    /// The process ends `remaining` from now.
    pub fn after(remaining: Duration) -> Self {
        Self(Instant::now().checked_add(remaining))
    }

    /// Does `work`, and cancels it when it is not done shortly before the end. This leaves time to report the failure.
    pub async fn bound<T>(&self, work: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
        let Self(Some(end)) = self else { return work.await };
        let time = end.saturating_duration_since(Instant::now());
        let time = time.saturating_sub(Self::LAST_WORDS.min(time / 4));
        tokio::time::timeout(time, work).await.unwrap_or(Err(EngineError::OutOfTime { seconds: time.as_secs() }))
    }

    /// The deadline of work that leaves `reserve` for what must follow it, or a quarter of a short time.
    pub(crate) fn keeping(&self, reserve: Duration) -> Self {
        let earlier = |end: Instant| {
            let time = end.saturating_duration_since(Instant::now());
            end.checked_sub(reserve.min(time / 4)).unwrap_or(end)
        };
        Self(self.0.map(earlier))
    }

    /// Does optional `work` until [`Deadline::is_near`] would refuse a new piece. Then the work is cancelled, and the run succeeds without
    /// it.
    pub async fn spare<T>(&self, began: Instant, work: impl Future<Output = T>) -> Option<T> {
        let Self(Some(end)) = self else { return Some(work.await) };
        let last = end.checked_sub(self.margin(began)).unwrap_or(began);
        tokio::time::timeout_at(last.into(), work).await.ok()
    }

    /// Whether it is too late to begin a new piece of work. The margin is at most half of a short time limit.
    pub fn is_near(&self, began: Instant) -> bool {
        self.0.is_some_and(|end| Instant::now() + self.margin(began) >= end)
    }

    /// The time until the process ends; `None` without a time limit.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.0.map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// Whether so much time is left before [`Deadline::is_near`].
    pub fn leaves(&self, time: Duration) -> bool {
        self.0.is_none_or(|end| Instant::now() + Self::MARGIN + time < end)
    }

    fn margin(&self, began: Instant) -> Duration {
        self.0.map_or(Self::MARGIN, |end| Self::MARGIN.min(end.saturating_duration_since(began) / 2))
    }
}

/// Does `work`, and cancels it when it takes longer than `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let late = |_| Err(EngineError::NoAnswer { seconds: limit.as_secs() });
    tokio::time::timeout(limit, work).await.unwrap_or_else(late)
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

    #[tokio::test]
    async fn work_that_does_not_end_is_dropped_and_work_that_does_is_left_alone() {
        let deadline = Deadline::after(Duration::from_millis(50));
        let stuck = deadline.bound(std::future::pending::<Result<(), EngineError>>()).await;
        assert!(matches!(stuck, Err(EngineError::OutOfTime { .. })));
        assert_eq!(Deadline::after(Duration::from_secs(60)).bound(async { Ok(7) }).await.unwrap(), 7);
        assert_eq!(Deadline::none().bound(async { Ok(7) }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn work_that_keeps_a_reserve_ends_so_early_that_the_reserve_is_left() {
        let deadline = Deadline::after(Duration::from_millis(800));
        let kept = deadline.keeping(Duration::from_secs(60));
        let stuck = kept.bound(std::future::pending::<Result<(), EngineError>>());
        let in_time = deadline.bound(async { Ok(stuck.await) }).await;
        assert!(matches!(in_time, Ok(Err(EngineError::OutOfTime { .. }))), "{in_time:?}");
        assert!(matches!(deadline.bound(async { Ok(7) }).await, Ok(7)), "time is left");
        assert!(Deadline::none().keeping(Duration::from_secs(60)).0.is_none());
    }

    #[tokio::test]
    async fn spare_work_is_dropped_before_the_time_limit_of_the_run_itself() {
        let (began, deadline) = (Instant::now(), Deadline::after(Duration::from_millis(400)));
        let stuck = deadline.spare(began, std::future::pending::<()>());
        let bound = deadline.bound(async { Ok(stuck.await) }).await;
        assert!(matches!(bound, Ok(None)), "{bound:?}");
        assert_eq!(deadline.spare(began, async { 7 }).await, Some(7));
        assert_eq!(Deadline::none().spare(began, async { 7 }).await, Some(7));
    }
}
