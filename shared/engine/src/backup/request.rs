//! Requests for backups.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{DatabaseName, Policy};
use lifeboat_postgres::ConnectionSettings;

use crate::error::EngineError;

/// Which database to back up, and from when a backup answers the request.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// The database's name in the repository.
    pub database: DatabaseName,
    /// The connection to the database.
    pub source: ConnectionSettings,
    /// Which backups answer the request.
    pub asked: Asked,
}

/// Which backups answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A person asks for a backup now. A new one is always taken.
    Now,
    /// An event asks for a backup as of this time. The event may be delivered twice: any complete backup that began since then answers it.
    Since(Timestamp),
}

/// A backup without a turn is requested again for at least this time: for five waits for a turn.
const LEAST_PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// A backup without a turn is requested again for at most this time. A function is billed while it waits, and people should learn within a day
/// that there are too many databases.
const MOST_PATIENCE: SignedDuration = SignedDuration::from_hours(6);

/// How long after its tick a backup is requested again that had no turn on its server. It is half of the age that policy allows, however the
/// schedule is set: the other half is left for the backup itself, and for a person before it is overdue.
fn patience(policy: &Policy) -> SignedDuration {
    (policy.freshness.backup / 2).clamp(LEAST_PATIENCE, MOST_PATIENCE)
}

impl BackupRequest {
    /// Whether a run failed only because another run is answering the same request. A person's request is delivered only once.
    pub fn is_underway(&self, error: &EngineError) -> bool {
        self.asked != Asked::Now && error.is_lease_held()
    }

    /// Whether a run failed only because other backups of the server had their turns, and the request will come again: from its event, or
    /// from the person. An event that has come for too long is a failure.
    pub fn is_postponed(&self, error: &EngineError, policy: &Policy) -> bool {
        let is_recent = match self.asked {
            Asked::Now => true,
            Asked::Since(requested_at) => Timestamp::now().duration_since(requested_at) < patience(policy),
        };
        error.is_server_busy() && is_recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_waits_for_half_of_the_time_within_which_policy_wants_one() {
        let patience_of = |minutes| {
            let mut policy = Policy::default();
            policy.freshness.backup = SignedDuration::from_mins(minutes);
            patience(&policy)
        };
        assert_eq!(patience(&Policy::default()), SignedDuration::from_mins(45));
        assert_eq!(patience_of(8 * 60), SignedDuration::from_hours(4), "so are twenty databases of a daily schedule");
        assert_eq!((patience_of(1), patience_of(60 * 24 * 60)), (LEAST_PATIENCE, MOST_PATIENCE));
    }
}
