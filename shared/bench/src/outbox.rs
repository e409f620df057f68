//! An outbox that records everything that is sent.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use lifeboat_model::{Alert, Event};
use lifeboat_notify::{Outbox, SignalError};

/// Records everything that is sent, in order.
#[derive(Debug, Default)]
pub struct RecordingOutbox {
    taken: Mutex<(Vec<Event>, Vec<Alert>)>,
}

impl RecordingOutbox {
    /// The events so far.
    pub fn events(&self) -> Vec<Event> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// The alerts so far.
    pub fn alerts(&self) -> Vec<Alert> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

#[async_trait]
impl Outbox for RecordingOutbox {
    async fn publish(&self, event: &Event) -> Result<(), SignalError> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).0.push(event.clone());
        Ok(())
    }

    async fn alert(&self, alert: &Alert) -> Result<(), SignalError> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).1.push(alert.clone());
        Ok(())
    }
}
