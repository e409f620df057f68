//! The difference between two policies, in words, and which part of it weakens the protection.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use jiff::SignedDuration;
use jiff::civil::{Time, Weekday};

use super::read::WEEKDAYS;
use super::{Alerts, BusinessHours, Freshness, LeftOut, Policy, Prices, Retention};
use crate::alert::{AlertKind, AlertRule, Channel};

/// The key of the relations that are left out. Each is a difference of its own.
const LEAVE_OUT: &str = "backup.leave_out";

/// One key whose value differs between two policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDifference {
    /// The key, as the document spells it; for `backup.leave_out` with the relation.
    pub key: String,
    /// Its value before.
    pub before: String,
    /// Its value now.
    pub after: String,
    /// Whether less is protected, people learn of less or later, or the users' databases bear more.
    pub weakens: bool,
}

impl Display for PolicyDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` from {} to {}", self.key, self.before, self.after)
    }
}

impl Policy {
    /// The differences between this policy and the one `after` it: those that weaken first. The stated reasons are not repeated.
    pub fn differences(&self, after: &Self) -> Vec<PolicyDifference> {
        let mut differences = Differences::default();
        // Named one by one: the compiler asks for a new field here.
        let Self { retention, rotation_days, left_out, per_server, freshness, hours, alerts, prices } = self;
        differences.of_retention(*retention, after.retention);
        differences.add("verification.rotation_days", rotation_days, &after.rotation_days, |old, new| new > old);
        differences.of_left_out(left_out, &after.left_out);
        differences.add("backup.per_server", per_server, &after.per_server, |old, new| new > old);
        differences.of_freshness(*freshness, after.freshness);
        differences.of_hours(hours, &after.hours);
        differences.of_alerts(alerts, &after.alerts);
        for kind in AlertKind::ALL.iter().copied().filter(|kind| kind.has_rule()) {
            differences.of_rule(kind, &self.rule(kind), &after.rule(kind));
        }
        differences.of_prices(*prices, after.prices);
        differences.0.sort_by_key(|difference| !difference.weakens);
        differences.0
    }
}

/// The differences that were found.
#[derive(Default)]
struct Differences(Vec<PolicyDifference>);

impl Differences {
    /// Compares one key. `weakens` is asked when the values differ: the old one, then the new one.
    fn add<T: PartialEq + Display>(
        &mut self,
        key: impl Into<String>,
        before: &T,
        after: &T,
        weakens: impl Fn(&T, &T) -> bool,
    ) {
        if before != after {
            let weakens = weakens(before, after);
            let (before, after) = (before.to_string(), after.to_string());
            self.0.push(PolicyDifference { key: key.into(), before, after, weakens });
        }
    }

    fn of_retention(&mut self, before: Retention, after: Retention) {
        let Retention { ledger_days } = before;
        self.add("retention.ledger_days", &ledger_days, &after.ledger_days, |old, new| new < old);
    }

    fn of_left_out(&mut self, before: &[LeftOut], after: &[LeftOut]) {
        let names = |left_out: &[LeftOut]| -> BTreeSet<String> {
            left_out.iter().map(|LeftOut { schema, name, reason: _ }| format!("{schema}.{name}")).collect()
        };
        let (before, after) = (names(before), names(after));
        for name in before.symmetric_difference(&after) {
            let word = |left_out: &BTreeSet<String>| if left_out.contains(name) { "left out" } else { "copied" };
            let is_new = |_: &&str, new: &&str| *new == "left out";
            self.add(format!("{LEAVE_OUT}: {name}"), &word(&before), &word(&after), is_new);
        }
    }

    fn of_freshness(&mut self, before: Freshness, after: Freshness) {
        let Freshness { backup, verification, drill, offsite } = before;
        let limits = [
            ("freshness.backup_minutes", backup, after.backup, 1),
            ("freshness.verification_hours", verification, after.verification, 60),
            ("freshness.drill_days", drill, after.drill, 24 * 60),
            ("freshness.offsite_minutes", offsite, after.offsite, 1),
        ];
        for (key, before, after, unit) in limits {
            self.add(key, &number_of(before, unit), &number_of(after, unit), |old, new| new > old);
        }
    }

    /// Fewer hours weaken: messages that wait for them wait longer. Another time zone moves them only.
    fn of_hours(&mut self, before: &BusinessHours, after: &BusinessHours) {
        let BusinessHours { time_zone, days, from, to } = before;
        let zone = |hours: &jiff::tz::TimeZone| hours.iana_name().unwrap_or("UTC").to_owned();
        self.add("business_hours.time_zone", &zone(time_zone), &zone(&after.time_zone), |_, _| false);
        let has_lost_days = |_: &String, _: &String| days.iter().any(|day| !after.days.contains(day));
        self.add("business_hours.days", &names_of_days(days), &names_of_days(&after.days), has_lost_days);
        let begins_later = |_: &String, _: &String| after.from > *from;
        self.add("business_hours.from", &hour(*from), &hour(after.from), begins_later);
        let ends_sooner = |_: &String, _: &String| after.to < *to;
        self.add("business_hours.to", &hour(*to), &hour(after.to), ends_sooner);
    }

    fn of_alerts(&mut self, before: &Alerts, after: &Alerts) {
        // Each kind's rule is compared as it counts, also when it is not written.
        let Alerts { notices, repeat, acknowledged, rules: _ } = before;
        self.add("alerts.notices", notices, &after.notices, |_, new| !*new);
        let [old, new] = [*repeat, after.repeat].map(|repeat| number_of(repeat, 1));
        self.add("alerts.repeat_minutes", &old, &new, |old, new| new > old);
        let [old, new] = [*acknowledged, after.acknowledged].map(|acknowledged| number_of(acknowledged, 24 * 60));
        self.add("alerts.acknowledged_days", &old, &new, |old, new| new > old);
    }

    fn of_rule(&mut self, kind: AlertKind, before: &AlertRule, after: &AlertRule) {
        let AlertRule { severity, channels, escalation, after: sightings, threshold } = before;
        let key = |name: &str| format!("alerts.{kind}.{name}");
        self.add(key("severity"), severity, &after.severity, |old, new| new < old);
        let has_lost_channels = |_: &String, _: &String| channels.iter().any(|one| !after.channels.contains(one));
        self.add(key("channels"), &names_of(channels), &names_of(&after.channels), has_lost_channels);
        self.add(key("escalation"), escalation, &after.escalation, |old, new| new > old);
        self.add(key("after"), sightings, &after.after, |old, new| new > old);
        if let (Some(name), Some(old), Some(new)) = (AlertRule::threshold_name(kind), threshold, after.threshold) {
            // Days before something ends: fewer of them are a later alert. Elsewhere a higher value is.
            let is_time_left = kind == AlertKind::CertificateExpiry;
            self.add(key(name), old, &new, |old, new| (new < old) == is_time_left);
        }
    }

    /// Prices protect nothing.
    fn of_prices(&mut self, before: Prices, after: Prices) {
        let Prices {
            storage_gb_month,
            writes_per_thousand,
            reads_per_thousand,
            compute_gb_second,
            keys_per_ten_thousand,
        } = before;
        let prices = [
            ("storage_gb_month", storage_gb_month, after.storage_gb_month),
            ("writes_per_thousand", writes_per_thousand, after.writes_per_thousand),
            ("reads_per_thousand", reads_per_thousand, after.reads_per_thousand),
            ("compute_gb_second", compute_gb_second, after.compute_gb_second),
            ("keys_per_ten_thousand", keys_per_ten_thousand, after.keys_per_ten_thousand),
        ];
        for (name, before, after) in prices {
            self.add(format!("prices.{name}"), &before, &after, |_, _| false);
        }
    }
}

/// A duration in units of so many minutes.
fn number_of(duration: SignedDuration, unit: i64) -> i64 {
    duration.as_mins() / unit
}

fn hour(time: Time) -> String {
    time.strftime("%H:%M").to_string()
}

/// In the order of the list of all: another order is no difference.
fn names_of(channels: &[Channel]) -> String {
    let named: Vec<&str> =
        Channel::ALL.iter().filter(|channel| channels.contains(channel)).map(|one| one.as_str()).collect();
    named.join(", ")
}

fn names_of_days(days: &[Weekday]) -> String {
    let named: Vec<&str> = WEEKDAYS.iter().filter(|(_, day)| days.contains(day)).map(|(name, _)| *name).collect();
    named.join(", ")
}
