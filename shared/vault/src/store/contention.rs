//! The pause of a writer after another writer of the same key was faster.

use std::time::Duration;

use lifeboat_model::Backoff;

/// The longest pause is many times the round trip of a write, so that a crowd spreads out.
pub(crate) const LOST_RACE: Backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(400) };
