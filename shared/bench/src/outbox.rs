//! An outbox that records everything that is sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use lifeboat_model::{Alert, Event, Severity};
use lifeboat_notify::{Outbox, SignalError};

/// Records everything that is sent, in order.
#[derive(Debug, Default)]
pub struct RecordingOutbox {
    taken: Mutex<(Vec<Event>, Vec<Alert>)>,
    deaf_to: Mutex<Vec<Severity>>,
    deaf_to_alarms: AtomicBool,
}

impl RecordingOutbox {
    /// From now on, alerts of these severities have no subscriber.
    pub fn deafen(&self, severities: &[Severity]) {
        *self.deaf_to.lock().unwrap_or_else(PoisonError::into_inner) = severities.to_vec();
    }

    /// From now on, whether CloudWatch's alarms have no subscriber.
    pub fn deafen_to_alarms(&self, is_deaf: bool) {
        self.deaf_to_alarms.store(is_deaf, Ordering::Relaxed);
    }

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

    async fn unheard(&self, mut alerts: Vec<Alert>) -> Result<Vec<Alert>, SignalError> {
        let deaf_to = self.deaf_to.lock().unwrap_or_else(PoisonError::into_inner);
        alerts.retain(|alert| deaf_to.contains(&alert.severity));
        Ok(alerts)
    }

    async fn alarms_are_unheard(&self) -> Result<bool, SignalError> {
        Ok(self.deaf_to_alarms.load(Ordering::Relaxed))
    }
}
