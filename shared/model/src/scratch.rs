//! Scratch databases on record: those that drills have made and that nobody has confirmed as dropped.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::identity::DatabaseName;

/// No run states a time further ahead than this. An entry that does was written by a wrong clock, and must not hide its database for years.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

/// `state/scratch.json`: every scratch database from before it is created until after its drop is confirmed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScratchList {
    /// Grows with each change.
    pub revision: u64,
    /// The databases, in the order in which they were recorded.
    pub databases: Vec<ScratchEntry>,
}

/// One scratch database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScratchEntry {
    /// Its name on the scratch server.
    pub name: String,
    /// The scratch server as `host:port`.
    pub server: String,
    /// `pg_control_system().system_identifier` of the scratch server, where the role may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<String>,
    /// The database whose rows are in it; absent for one that was found on the server without being on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseName>,
    /// When its server had started, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_started_at: Option<Timestamp>,
    /// The run that recorded it.
    pub run_id: String,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When its run counts as dead. A living run moves this on.
    pub expires_at: Timestamp,
    /// Why it could not be dropped, in one sentence, after somebody tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl ScratchEntry {
    /// Whether no run is responsible for it any longer.
    pub fn is_left(&self, now: Timestamp) -> bool {
        self.expires_at <= now || now.checked_add(LONGEST).is_ok_and(|latest| latest < self.expires_at)
    }

    /// Whether it is on this server. The identifier decides where both are known: behind a tunnel, two servers have one address.
    pub fn is_on(&self, server: &str, system_identifier: Option<&str>) -> bool {
        match (self.system_identifier.as_deref(), system_identifier) {
            (Some(recorded), Some(found)) => recorded == found,
            _ => self.server == server,
        }
    }

    /// Whether it is on this server for certain, so that it no longer exists when this server does not have it. Servers made from one image
    /// share the identifier, and servers behind one tunnel the address. A server that still runs has another address and the same start.
    pub fn is_surely_on(&self, server: &str, system_identifier: Option<&str>, started_at: Timestamp) -> bool {
        let is_same_place = self.server == server || self.server_started_at == Some(started_at);
        is_same_place && self.system_identifier.as_deref() == system_identifier
    }

    /// Whether it may still exist although this server had a database of its name and dropped it. The server may have been restored from a
    /// snapshot of the recorded one, with all its databases. It has the recorded identifier then, but another address and another start.
    pub fn may_have_a_copy_on(&self, server: &str, system_identifier: Option<&str>, started_at: Timestamp) -> bool {
        let is_same_place = self.server == server || self.server_started_at == Some(started_at);
        system_identifier.is_some() && self.system_identifier.as_deref() == system_identifier && !is_same_place
    }
}

impl fmt::Display for ScratchEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` on `{}`", self.name, self.server)
    }
}

/// The result of a cleanup of a scratch server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupReport {
    /// Databases that it dropped.
    pub dropped: Vec<String>,
    /// Databases on record that the server no longer has. A person may also have stated that.
    pub gone: Vec<String>,
    /// Databases on record that may still hold rows. Some may be on another server, or belong to a drill that is running.
    pub left: Vec<ScratchEntry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(expires_at: Timestamp) -> ScratchEntry {
        ScratchEntry {
            name: "lifeboat_drill_0123abcd".to_owned(),
            server: "db:5432".to_owned(),
            system_identifier: Some("7".to_owned()),
            database: None,
            server_started_at: Some(Timestamp::UNIX_EPOCH),
            run_id: "run-1".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            expires_at,
            fault: None,
        }
    }

    #[test]
    fn an_entry_is_left_when_its_run_is_dead_or_its_time_cannot_be_true() {
        let now: Timestamp = "2026-11-21T20:00:00Z".parse().unwrap();
        let at = |minutes| now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        assert!(!entry(at(10)).is_left(now));
        assert!(entry(now).is_left(now) && entry(at(-1)).is_left(now));
        assert!(entry(at(61)).is_left(now), "no run states so late a time");
    }

    #[test]
    fn the_identifier_decides_which_server_it_is_on_and_the_address_where_one_is_unknown() {
        let entry = entry(Timestamp::UNIX_EPOCH);
        assert!(entry.is_on("elsewhere:1", Some("7")), "the same server under another address");
        assert!(!entry.is_on("db:5432", Some("8")), "another server behind the same tunnel");
        assert!(entry.is_on("db:5432", None) && !entry.is_on("elsewhere:1", None));
        let surely = [("db:5432", Some("7")), ("elsewhere:1", Some("7")), ("db:5432", Some("8")), ("db:5432", None)];
        assert_eq!(
            surely.map(|(server, identifier)| entry.is_surely_on(server, identifier, Timestamp::MAX)),
            [true, false, false, false]
        );
        assert!(entry.is_surely_on("elsewhere:1", Some("7"), Timestamp::UNIX_EPOCH), "it runs since then");
        assert!(!entry.is_surely_on("elsewhere:1", Some("8"), Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn a_server_with_the_same_identifier_another_address_and_another_start_may_have_dropped_a_copy() {
        let entry = entry(Timestamp::UNIX_EPOCH);
        assert!(entry.may_have_a_copy_on("elsewhere:1", Some("7"), Timestamp::MAX));
        assert!(!entry.may_have_a_copy_on("db:5432", Some("7"), Timestamp::MAX), "it has restarted");
        assert!(!entry.may_have_a_copy_on("elsewhere:1", Some("7"), Timestamp::UNIX_EPOCH), "it has another address");
        let unknown = ScratchEntry { system_identifier: None, ..entry.clone() };
        assert!(!unknown.may_have_a_copy_on("elsewhere:1", None, Timestamp::MAX));
        assert!(!unknown.may_have_a_copy_on("elsewhere:1", Some("7"), Timestamp::MAX));
    }
}
