//! Why the status could not be written.

/// The status that could not be written. A defect of ours: its input is a document of ours.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The status could not be written as a page.
    #[error("could not write the status page")]
    Page(#[source] askama::Error),
    /// The status could not be written as metrics.
    #[error("could not write the metrics")]
    Exposition(#[source] std::fmt::Error),
}
