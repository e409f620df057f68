//! The port for events and alerts.

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
