//! The policy: one TOML document in which users decide, read as a whole.
//!
//! It is an SSM parameter. `infra/policy.toml` is the default and explains each line; omitted values are taken from it.

mod difference;
mod document;
mod read;

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::act::Act;
use crate::alert::{AlertKind, AlertRule, Escalation};

pub use difference::PolicyDifference;
pub use document::{PolicyAge, PolicyDocument, PolicyVersions};

/// The version of the document that this code reads.
pub const POLICY_VERSION: i64 = 1;

/// Longest document, in bytes: what an advanced SSM parameter holds.
pub const POLICY_LIMIT_BYTES: usize = 8192;

/// Everything that policy decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// How long things are kept.
    pub retention: Retention,
    /// Days within which every stored byte is read again.
    pub rotation_days: u32,
    /// Relations whose rows are left out of backups.
    pub left_out: Vec<LeftOut>,
    /// How many backups of databases on one server may run at the same time.
    pub per_server: u32,
    /// How old the newest of each thing may be.
    pub freshness: Freshness,
    /// When people work.
    pub hours: BusinessHours,
    /// How people are notified.
    pub alerts: Alerts,
    /// The prices of AWS.
    pub prices: Prices,
}

/// How long things are kept, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Days for which an entry of the audit trail cannot be deleted.
    pub ledger_days: u32,
}

/// A relation whose rows are left out of backups; its definition is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Why, for the coverage report of every backup.
    pub reason: String,
}

/// How old the newest of each thing may be before it is overdue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// The newest complete backup of each database.
    pub backup: SignedDuration,
    /// The newest verification of each database.
    pub verification: SignedDuration,
    /// The newest drill of each database.
    pub drill: SignedDuration,
    /// A backup that is on the primary and not on the off-site.
    pub offsite: SignedDuration,
}

impl Freshness {
    /// The longest time since an act last succeeded; absent for an act without a schedule.
    pub fn limit(&self, act: Act) -> Option<SignedDuration> {
        match act {
            Act::Backup => Some(self.backup),
            Act::Verify => Some(self.verification),
            Act::TestRestore => Some(self.drill),
            _ => None,
        }
    }
}

/// When people work.
#[derive(Debug, Clone, PartialEq)]
pub struct BusinessHours {
    /// The time zone of the hours.
    pub time_zone: TimeZone,
    /// The days of work.
    pub days: Vec<Weekday>,
    /// When work begins.
    pub from: Time,
    /// When it ends; later than `from`.
    pub to: Time,
}

/// How people are notified.
#[derive(Debug, Clone, PartialEq)]
pub struct Alerts {
    /// Whether good news is sent as well, with severity `info`.
    pub notices: bool,
    /// The time between reminders of an incident with immediate escalation.
    pub repeat: SignedDuration,
    /// How long an acknowledgement holds.
    pub acknowledged: SignedDuration,
    /// A rule for each kind of incident.
    pub rules: BTreeMap<AlertKind, AlertRule>,
}

/// The prices of AWS, in the currency of the user's bill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// A gigabyte (10^9 bytes) stored for a month.
    pub storage_gb_month: f64,
    /// A thousand requests that write or list.
    pub writes_per_thousand: f64,
    /// A thousand requests that read.
    pub reads_per_thousand: f64,
    /// A gigabyte of memory (2^30 bytes) for a second.
    pub compute_gb_second: f64,
    /// Ten thousand requests to KMS.
    pub keys_per_ten_thousand: f64,
}

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFault {
    /// From 1.
    pub line: usize,
    /// The fault, and the expected value.
    pub reason: String,
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl Policy {
    /// The rule for a kind. Notices have severity `info` and go to every channel.
    pub fn rule(&self, kind: AlertKind) -> AlertRule {
        self.alerts.rules.get(&kind).cloned().unwrap_or_else(|| AlertRule::of(kind))
    }

    /// The first moment at or after `at` at which a message of this kind may be sent.
    pub fn first_moment(&self, kind: AlertKind, at: Timestamp) -> Timestamp {
        match self.rule(kind).escalation {
            Escalation::Immediate | Escalation::Daily => at,
            Escalation::BusinessHours => self.hours.next(at),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retention: Retention { ledger_days: 2555 },
            rotation_days: 30,
            left_out: Vec::new(),
            per_server: 1,
            freshness: Freshness {
                backup: SignedDuration::from_mins(90),
                verification: SignedDuration::from_hours(36),
                drill: SignedDuration::from_hours(8 * 24),
                offsite: SignedDuration::from_mins(90),
            },
            hours: BusinessHours {
                time_zone: TimeZone::UTC,
                days: vec![Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday],
                from: Time::constant(8, 0, 0, 0),
                to: Time::constant(18, 0, 0, 0),
            },
            alerts: Alerts {
                notices: true,
                repeat: SignedDuration::from_mins(60),
                acknowledged: SignedDuration::from_hours(24 * 30),
                rules: BTreeMap::new(),
            },
            prices: Prices {
                storage_gb_month: 0.023,
                writes_per_thousand: 0.005,
                reads_per_thousand: 0.0004,
                compute_gb_second: 0.000_013_333_4,
                keys_per_ten_thousand: 0.03,
            },
        }
    }
}

/// Days that are looked ahead for one with business hours: policy has at least one in a week.
const DAYS_AHEAD: i64 = 8;

impl BusinessHours {
    /// The first moment at or after `at` that is in the hours.
    pub fn next(&self, at: Timestamp) -> Timestamp {
        let local = at.to_zoned(self.time_zone.clone());
        for days in 0..DAYS_AHEAD {
            let Ok(date) = local.date().checked_add(SignedDuration::from_hours(24 * days)) else { break };
            if !self.days.contains(&date.weekday()) {
                continue;
            }
            let bounds = [self.from, self.to].map(|time| self.time_zone.to_timestamp(date.to_datetime(time)));
            if let [Ok(from), Ok(to)] = bounds
                && at < to
            {
                return at.max(from);
            }
        }
        at
    }
}
