//! What several writers of one key do when one was faster.

use std::time::Duration;

use lifeboat_model::Backoff;

/// The longest pause is many times the round trip of a write, so that a crowd spreads out.
pub(crate) const LOST_RACE: Backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(400) };
