//! A summary of the audit trail: the last success of each act, the last runs, and the usage of each month. It is derived from
//! the ledger, and rebuilt when it is lost. Every function may append to the ledger, so it is no proof that another function's act happened.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::act::Act;
use crate::fact::Fact;
use crate::identity::{CLOCK_TOLERANCE, DatabaseName, Site};
use crate::ledger::{LedgerEntry, Outcome};
use crate::usage::Usage;
use crate::verification::VerificationScope;

/// Runs that are kept of each action of each database: two and a half days of hourly backups.
pub const RUNS_KEPT: usize = 60;

/// Months that are kept: one may be compared with the same a year before.
const MONTHS_KEPT: usize = 13;

/// Largest number of databases with runs, without those that have a schedule. A ledger with many names must not make the
/// document unreadable.
const DATABASES_KEPT: usize = 100;

/// `state/history.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The number of the oldest entry included, or 0 without one. Above 1, the history was lost and rebuilt, so sums are too small.
    pub first: u64,
    /// The number of the newest entry included.
    pub folded: u64,
    /// By database.
    pub databases: BTreeMap<DatabaseName, DatabaseHistory>,
    /// The usage of each month, by `2026-11`, in UTC.
    pub months: BTreeMap<String, Usage>,
    /// Bytes that backups have stored on each site.
    pub stored_bytes: u64,
}

/// The history of one database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DatabaseHistory {
    /// Since when each action is expected.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub awaited: BTreeMap<String, Timestamp>,
    /// The last success of each action.
    pub last: BTreeMap<String, Timestamp>,
    /// Since when a drill from each site is expected: since the site was first seen to be configured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sites_since: BTreeMap<Site, Timestamp>,
    /// The last runs of each action, oldest first.
    pub runs: BTreeMap<String, VecDeque<PastRun>>,
}

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastRun {
    /// When it was recorded.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// The backup's id, or the database.
    pub subject: String,
    /// How long it took; for a drill, the measured recovery time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Rows that were copied or compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Plaintext bytes of all that a backup holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_bytes: Option<u64>,
    /// Bytes of the objects that a backup stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
    /// Bytes of the objects that it reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused_bytes: Option<u64>,
    /// The number of findings of a verification or drill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<u64>,
    /// How many of these were healed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed: Option<u64>,
    /// Relations whose rows policy left out of the backup that a drill restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
    /// The site that a drill restored from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// Its usage of AWS.
    pub usage: Usage,
}

impl History {
    /// Adds the next entry. A success that claims to be later than `now` is no success: it would never be overdue again.
    pub fn fold(&mut self, entry: &LedgerEntry, now: Timestamp) {
        if self.first == 0 {
            self.first = entry.number;
        }
        self.folded = entry.number;
        *self.months.entry(month(entry.at)).or_default() += Usage::of(&entry.detail);
        while self.months.len() > MONTHS_KEPT {
            self.months.pop_first();
        }
        if entry.act() == Some(Act::Backup) && entry.outcome == Outcome::Completed {
            self.stored_bytes = self.stored_bytes.saturating_add(Fact::StoredBytes.read(&entry.detail).unwrap_or(0));
        }
        let Some(database) = Fact::Database.read::<DatabaseName>(&entry.detail) else { return };
        if self.databases.len() < DATABASES_KEPT || self.databases.contains_key(&database) {
            self.databases.entry(database).or_default().fold(entry, now);
        }
    }

    /// Expects `action` from `now` on, unless it is expected already.
    pub fn wait_for(&mut self, database: &DatabaseName, act: Act, now: Timestamp) {
        let known = self.databases.entry(database.clone()).or_default();
        known.awaited.entry(act.as_str().to_owned()).or_insert(now);
    }

    /// The time since which an `action` is expected.
    pub fn awaited(&self, database: &DatabaseName, act: Act) -> Option<Timestamp> {
        self.databases.get(database)?.awaited.get(act.as_str()).copied()
    }

    /// When `action` last succeeded for `database`; `None` when it never has.
    pub fn last(&self, database: &DatabaseName, act: Act) -> Option<Timestamp> {
        self.databases.get(database)?.last.get(act.as_str()).copied()
    }

    /// Since when a drill of `database` from `site` is expected.
    pub fn drill_awaited(&self, database: &DatabaseName, site: Site) -> Option<Timestamp> {
        self.databases.get(database)?.sites_since.get(&site).copied()
    }

    /// Expects drills from these sites from `now` on, unless they are expected already, and none from other sites.
    pub fn wait_for_sites(&mut self, database: &DatabaseName, sites: &[Site], now: Timestamp) {
        let known = self.databases.entry(database.clone()).or_default();
        known.sites_since.retain(|site, _| sites.contains(site));
        for site in sites {
            known.sites_since.entry(*site).or_insert(now);
        }
    }

    /// The last runs of an action, oldest first.
    pub fn runs(&self, database: &DatabaseName, act: Act) -> impl DoubleEndedIterator<Item = &PastRun> {
        self.databases.get(database).and_then(|known| known.runs.get(act.as_str())).into_iter().flatten()
    }

    /// The usage of the month of `at` so far.
    pub fn month(&self, at: Timestamp) -> Usage {
        self.months.get(&month(at)).copied().unwrap_or_default()
    }
}

impl DatabaseHistory {
    fn fold(&mut self, entry: &LedgerEntry, now: Timestamp) {
        if entry.act().is_none_or(|act| act.profile().overdue.is_none()) {
            return;
        }
        // A verification of one backup is not part of the rotation: the rotation may have stopped while it still runs.
        let scope = Fact::Scope.read::<VerificationScope>(&entry.detail);
        let is_of_one_backup = matches!(scope, Some(VerificationScope::Backup { .. }));
        let is_success = entry.outcome == Outcome::Completed && entry.at <= now + CLOCK_TOLERANCE;
        if is_success && !is_of_one_backup {
            let last = self.last.entry(entry.action.clone()).or_insert(entry.at);
            *last = entry.at.max(*last);
        }
        let runs = self.runs.entry(entry.action.clone()).or_default();
        runs.push_back(PastRun::of(entry));
        while runs.len() > RUNS_KEPT {
            runs.pop_front();
        }
    }
}

impl PastRun {
    /// The share of a backup's stored bytes that was reused: 0 to 1.
    pub fn reused_ratio(&self) -> Option<f64> {
        let (stored, reused) = (self.stored_bytes? as f64, self.reused_bytes? as f64);
        (stored + reused > 0.0).then(|| reused / (stored + reused))
    }

    fn of(entry: &LedgerEntry) -> Self {
        let facts = &entry.detail;
        Self {
            at: entry.at,
            outcome: entry.outcome,
            subject: entry.subject.clone(),
            seconds: Fact::Seconds.read(facts).filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0),
            rows: Fact::Rows.read(facts),
            raw_bytes: Fact::RawBytes.read(facts),
            stored_bytes: Fact::StoredBytes.read(facts),
            reused_bytes: Fact::ReusedBytes.read(facts),
            findings: Fact::Findings.read(facts),
            healed: Fact::Healed.read(facts),
            left_out: Fact::LeftOut.read(facts),
            site: Fact::Site.read(facts),
            usage: Usage::of(facts),
        }
    }
}

fn month(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m").to_string()
}
