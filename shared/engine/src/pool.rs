//! The worker pool: every verb that works in parallel uses it.

use std::sync::{Mutex, PoisonError};

use tokio::task::JoinSet;
use tracing::Instrument;

use crate::error::EngineError;

/// Pieces of work that no worker has taken yet. They are made one by one, because their number grows with the database and memory must not.
pub(crate) struct Queue<T>(Mutex<Box<dyn Iterator<Item = T> + Send>>);

impl<T> Queue<T> {
    pub(crate) fn new(pieces: impl Iterator<Item = T> + Send + 'static) -> Self {
        Self(Mutex::new(Box::new(pieces)))
    }

    /// The next piece, for the first worker that asks.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

/// Workers, each a separate task. The caller decides how many it spawns. The first failure ends all of them. Dropping this ends the workers
/// that are still running.
pub(crate) struct Workers<T>(JoinSet<Result<T, EngineError>>);

impl<T: Send + 'static> Workers<T> {
    pub(crate) fn new() -> Self {
        Self(JoinSet::new())
    }

    /// Starts a worker.
    pub(crate) fn spawn(&mut self, work: impl Future<Output = Result<T, EngineError>> + Send + 'static) {
        self.0.spawn(work.in_current_span());
    }

    /// The number of workers whose result was not taken yet.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The result of the next worker that ends; `None` when there is none left.
    ///
    /// # Errors
    /// The worker's failure; [`EngineError::Worker`].
    pub(crate) async fn next(&mut self) -> Result<Option<T>, EngineError> {
        match self.0.join_next().await {
            Some(ended) => ended.map_err(EngineError::Worker)?.map(Some),
            None => Ok(None),
        }
    }

    /// The results of all, in the order in which they end.
    ///
    /// # Errors
    /// As [`Workers::next`].
    pub(crate) async fn all(mut self) -> Result<Vec<T>, EngineError> {
        let mut results = Vec::with_capacity(self.len());
        while let Some(result) = self.next().await? {
            results.push(result);
        }
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_piece_is_taken_once_however_many_workers_there_are() {
        let queue = Arc::new(Queue::new(0..1000));
        let mut workers = Workers::new();
        for _ in 0..8 {
            let queue = Arc::clone(&queue);
            workers.spawn(async move {
                let mut taken = Vec::new();
                while let Some(piece) = queue.take() {
                    taken.push(piece);
                    tokio::task::yield_now().await;
                }
                Ok(taken)
            });
        }
        let mut taken = workers.all().await.unwrap().concat();
        taken.sort_unstable();
        assert_eq!(taken, (0..1000).collect::<Vec<i32>>());
    }

    #[tokio::test]
    async fn the_first_failure_is_the_result_and_ends_the_others() {
        struct Dropped(Arc<AtomicBool>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let ended = Arc::new(AtomicBool::new(false));
        let mut workers = Workers::new();
        let guard = Dropped(Arc::clone(&ended));
        workers.spawn(async move {
            let _guard = guard;
            std::future::pending::<Result<(), EngineError>>().await
        });
        workers.spawn(async { Err(EngineError::NoAnswer { seconds: 7 }) });
        assert!(matches!(workers.all().await, Err(EngineError::NoAnswer { seconds: 7 })));
        while !ended.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
    }
}
