//! The summary of the audit trail.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{Act, DatabaseName, Fact, Facts, History, LedgerEntry, Outcome, Site};

fn success(act: Act, number: u64, at: Timestamp) -> LedgerEntry {
    let detail = Facts::new().with(Fact::Database, "clinic").with(Fact::Site, Site::Primary).into_detail();
    LedgerEntry {
        format: 1,
        number,
        previous: None,
        at,
        actor: String::new(),
        reason: String::new(),
        action: act.to_string(),
        subject: "clinic".to_owned(),
        outcome: Outcome::Completed,
        detail,
    }
}

#[test]
fn a_success_that_is_dated_in_the_future_does_not_count() {
    let database: DatabaseName = "clinic".parse().unwrap();
    let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    for act in [Act::Verify, Act::TestRestore] {
        let mut history = History::default();
        history.wait_for(&database, act, now);
        history.fold(&success(act, 1, now + SignedDuration::from_hours(24 * 365)), now);
        assert_eq!((history.last(&database, act), history.awaited(&database, act)), (None, Some(now)), "{act}");
        let soon = now + SignedDuration::from_mins(15);
        history.fold(&success(act, 2, soon), now);
        assert_eq!((history.last(&database, act), history.awaited(&database, act)), (Some(soon), Some(now)), "{act}");
    }
}
