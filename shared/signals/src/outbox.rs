//! The port for events and alerts, and the outbox that keeps them for a test.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use lifeboat_model::{Alert, Event};

use crate::error::SignalError;

/// Takes signals that speak of something already durable.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Puts an event on the bus. Returns when the bus has taken it.
    async fn publish(&self, event: &Event) -> Result<(), SignalError>;

    /// Sends an alert to its subscribers. Returns when the topic has taken it.
    async fn alert(&self, alert: &Alert) -> Result<(), SignalError>;

    /// Whether an alert gets to anybody: one that does not stays owed, for a process that reaches people.
    fn reaches_people(&self) -> bool {
        true
    }
}

/// Keeps what it is given, in order: for tests, and for a CLI that runs a verb without a cloud.
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
