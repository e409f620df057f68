//! Log lines: JSON, one a line, with fixed field names.
//!
//! The names are `run_id database backup_id table chunk_id step attempt lsn size_bytes elapsed_ms outcome error`. A field never
//! holds a row value, a key, a password or a connection string.

use tracing_subscriber::EnvFilter;

/// Starts logging for this process: JSON on standard output, filtered by `filter` (such as `info` or
/// `info,lifeboat_vault=debug`). An unreadable filter falls back to `info`. A second call does nothing.
pub fn start_logging(filter: Option<&str>) {
    let filter = filter.and_then(|text| EnvFilter::try_new(text).ok()).unwrap_or_else(|| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter)
        .try_init();
}
