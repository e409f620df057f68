//! How a run tells a watching person where it is. A function watches nothing; the CLI draws bars.

use std::sync::Arc;

/// Told of steps and of work done within a step. Calls come from several tasks at once.
pub trait Progress: Send + Sync {
    /// A step of the verb begins; `total` is how much work it is, where that is known.
    fn step(&self, name: &str, total: Option<u64>);

    /// `amount` more of the current step's work is done.
    fn advance(&self, amount: u64);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn step(&self, _: &str, _: Option<u64>) {}

    fn advance(&self, _: u64) {}
}

impl Unwatched {
    /// As the shared object that a [`Run`](crate::Run) holds.
    pub fn shared() -> Arc<dyn Progress> {
        Arc::new(Self)
    }
}
