//! How a run reports its progress. The CLI draws bars; a function shows nothing.

use std::sync::Arc;

/// Receives the steps of a run and the work done within a step. Several tasks call it at the same time.
pub trait Progress: Send + Sync {
    /// A step of the verb begins. `total` is the amount of its work, if known.
    fn step(&self, name: &str, total: Option<u64>);

    /// Another `amount` of the current step's work is done.
    fn advance(&self, amount: u64);
}

/// Ignores all progress.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn step(&self, _: &str, _: Option<u64>) {}

    fn advance(&self, _: u64) {}
}

impl Unwatched {
    /// The shared object that a [`Run`](crate::Run) holds.
    pub fn shared() -> Arc<dyn Progress> {
        Arc::new(Self)
    }
}
