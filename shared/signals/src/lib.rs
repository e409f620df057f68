//! What Lifeboat tells the world: events on the bus, alerts to people, metrics, log lines, and the status as a page and for Prometheus.
//!
//! This crate owns the ways out (EventBridge, SNS, embedded metric format, JSON logs, HTML, OpenMetrics) and the names of fields and
//! metrics. It must never know who sends a signal or why: verbs hand it finished events, alerts and the status.

mod aws;
mod error;
mod exposition;
mod log;
mod message;
mod metrics;
mod outbox;
mod page;

pub use aws::AwsOutbox;
pub use error::SignalError;
pub use exposition::{EXPOSITION_TYPE, exposition};
pub use log::start_logging;
pub use message::Message;
pub use metrics::{Metric, MetricsLine, Unit};
pub use outbox::{Outbox, RecordingOutbox};
pub use page::{PAGE_POLICY, page};
