//! The port for events and alerts.

use async_trait::async_trait;
use lifeboat_model::{Alert, Event};

use crate::error::SignalError;

/// Sends signals about things that are already durable.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Puts an event on the bus. Returns when the bus has accepted it.
    async fn publish(&self, event: &Event) -> Result<(), SignalError>;

    /// Sends an alert to its subscribers. Returns when the topic has accepted it.
    async fn alert(&self, alert: &Alert) -> Result<(), SignalError>;

    /// Those of `alerts` that would reach nobody: no confirmed subscription lets them through. Sends nothing.
    async fn unheard(&self, alerts: Vec<Alert>) -> Result<Vec<Alert>, SignalError>;

    /// Whether CloudWatch's alarms about Lifeboat itself would reach nobody. No, where this process does not know their topic. Sends nothing.
    async fn alarms_are_unheard(&self) -> Result<bool, SignalError> {
        Ok(false)
    }

    /// Whether alerts reach anybody. If not, an alert stays owed until a process with subscribers sends it.
    fn reaches_people(&self) -> bool {
        true
    }
}
