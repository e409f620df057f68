//! The status for people and for machines: a page of HTML, and OpenMetrics.
//!
//! This crate owns the page, its words and charts, and the names of the exposition's metrics. It must never know where a status comes
//! from or how it is delivered.

mod error;
mod exposition;
mod page;

pub use error::ReportError;
pub use exposition::{EXPOSITION_TYPE, exposition};
pub use page::{PAGE_POLICY, page};
