//! Why the status could not be written.

/// The status could not be written. This is a defect, because the input is our own document.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The status could not be written as a page.
    #[error("could not write the status page")]
    Page(#[source] askama::Error),
    /// The status could not be written as metrics.
    #[error("could not write the metrics")]
    Exposition(#[source] std::fmt::Error),
}
