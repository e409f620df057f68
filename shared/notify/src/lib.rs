//! Everything that Lifeboat sends: events on the bus, alerts to people, metrics, log lines.
//!
//! This crate owns the port [`Outbox`] to bus and subscribers, and the words of each channel. It also owns the embedded metric
//! format, JSON logs, and the names of fields and metrics. It must never know who sends a signal or why: verbs hand it finished
//! events and alerts.

mod error;
mod log;
mod message;
mod metrics;
mod outbox;

pub use error::SignalError;
pub use log::start_logging;
pub use message::Message;
pub use metrics::{Metric, MetricsLine, Unit};
pub use outbox::Outbox;
