//! What Lifeboat tells the world: events on the bus, alerts to people, metrics and log lines.
//!
//! This crate owns the ways out (EventBridge, SNS, embedded metric format, JSON logs) and the names of fields and
//! metrics. It must never know who sends a signal or why: verbs hand it finished events and alerts.

mod aws;
mod error;
mod log;
mod metrics;
mod outbox;

pub use aws::AwsOutbox;
pub use error::SignalError;
pub use log::start_logging;
pub use metrics::{Metric, MetricsLine, Unit};
pub use outbox::{Outbox, RecordingOutbox};
