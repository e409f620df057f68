//! Reading the document: every fault with its line, every unknown word refused.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    Alerts, BusinessHours, Freshness, LeftOut, POLICY_LIMIT_BYTES, POLICY_VERSION, Policy, PolicyFault, Prices,
    Retention,
};
use crate::alert::{AlertKind, AlertRule, Channel};

pub(super) const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// 20 years, as long as health records are kept in Brazil. The policy of a site's bucket refuses longer locks.
const MOST_LEDGER_DAYS: u32 = 7305;

/// What an earlier version allowed.
const ONCE_MOST_LEDGER_DAYS: u32 = 36_500;

/// The most backups at a time on one server: with four sessions each, a hundred connections.
const MOST_PER_SERVER: u32 = 16;

/// Largest number of relations to leave out. A policy that needs more should use a separate schema.
const MOST_LEFT_OUT: usize = 100;

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// Everything that is wrong with it, by lines. It counts as a whole or not at all.
    pub fn from_toml(text: &str) -> Result<Self, Vec<PolicyFault>> {
        policy(text, MOST_LEDGER_DAYS)
    }

    /// Reads a document that was valid once. What an earlier version allowed beyond today's limit counts as that limit: else the default
    /// would be in force, which may protect less.
    ///
    /// # Errors
    /// As [`Policy::from_toml`].
    pub fn from_kept(text: &str) -> Result<Self, Vec<PolicyFault>> {
        let mut policy = policy(text, ONCE_MOST_LEDGER_DAYS)?;
        policy.retention.ledger_days = policy.retention.ledger_days.min(MOST_LEDGER_DAYS);
        Ok(policy)
    }
}

fn policy(text: &str, most_ledger_days: u32) -> Result<Policy, Vec<PolicyFault>> {
    let mut reader = Reader { text, most_ledger_days, faults: Vec::new() };
    if text.len() > POLICY_LIMIT_BYTES {
        reader.fault(0..0, format!("the document has {} bytes; at most {POLICY_LIMIT_BYTES} are allowed", text.len()));
        return Err(reader.faults);
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let reason = format!("this is not valid TOML: {}", error.message());
        reader.fault(error.span().unwrap_or_default(), reason);
    }
    // After a syntax error, further faults would only hide it.
    if reader.faults.is_empty() {
        let policy = reader.document(&document);
        if reader.faults.is_empty() {
            return Ok(policy);
        }
    }
    reader.faults.sort_by_key(|fault| fault.line);
    Err(reader.faults)
}

struct Reader<'t> {
    text: &'t str,
    most_ledger_days: u32,
    faults: Vec<PolicyFault>,
}

/// A table, and which of its keys are known.
struct Section<'a, 't> {
    /// `alerts.backup-failed`; empty for the document itself.
    name: String,
    table: &'a DeTable<'t>,
    span: Range<usize>,
    known: BTreeSet<&'static str>,
}

impl<'a, 't> Section<'a, 't> {
    fn get(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'t>>> {
        self.known.insert(key);
        self.table.get(key)
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

impl<'t> Reader<'t> {
    fn document(&mut self, document: &Spanned<DeTable<'t>>) -> Policy {
        let otherwise = Policy::default();
        let mut top = Section { name: String::new(), table: document.get_ref(), span: 0..0, known: BTreeSet::new() };
        match top.get("version") {
            None => self.fault(0..0, format!("`version = {POLICY_VERSION}` is missing")),
            Some(value) if integer(value) == Some(POLICY_VERSION) => {}
            Some(value) if integer(value).is_some_and(|version| version > POLICY_VERSION) => {
                let newer = format!("this is of a newer format; the newest supported `version` is {POLICY_VERSION}");
                self.fault(value.span(), newer);
            }
            Some(value) => self.fault(value.span(), format!("the only supported `version` is {POLICY_VERSION}")),
        }
        let retention = self.section(&mut top, "retention").map(|section| self.retention(section, otherwise.retention));
        let rotation = self.section(&mut top, "verification").map(|mut section| {
            let days = self.number(&mut section, "rotation_days", otherwise.rotation_days, 1..=365);
            self.end(&section);
            days
        });
        let backup = self.section(&mut top, "backup").map(|mut section| {
            let per_server = self.number(&mut section, "per_server", otherwise.per_server, 1..=MOST_PER_SERVER);
            (self.left_out(section), per_server)
        });
        let (left_out, per_server) = backup.unwrap_or((otherwise.left_out, otherwise.per_server));
        let freshness = self.section(&mut top, "freshness").map(|section| self.freshness(section, otherwise.freshness));
        let hours =
            self.section(&mut top, "business_hours").map(|section| self.hours(section, otherwise.hours.clone()));
        let alerts = self.section(&mut top, "alerts").map(|section| self.alerts(section, otherwise.alerts.clone()));
        let prices = self.section(&mut top, "prices").map(|section| self.prices(section, otherwise.prices));
        self.end(&top);
        Policy {
            retention: retention.unwrap_or(otherwise.retention),
            rotation_days: rotation.unwrap_or(otherwise.rotation_days),
            left_out,
            per_server,
            freshness: freshness.unwrap_or(otherwise.freshness),
            hours: hours.unwrap_or(otherwise.hours),
            alerts: alerts.unwrap_or(otherwise.alerts),
            prices: prices.unwrap_or(otherwise.prices),
        }
    }

    fn retention(&mut self, mut section: Section<'_, 't>, otherwise: Retention) -> Retention {
        let range = 1..=self.most_ledger_days;
        let ledger_days = self.number(&mut section, "ledger_days", otherwise.ledger_days, range);
        self.end(&section);
        Retention { ledger_days }
    }

    fn left_out(&mut self, mut section: Section<'_, 't>) -> Vec<LeftOut> {
        let mut left_out: Vec<LeftOut> = Vec::new();
        let list = section.get("leave_out");
        self.end(&section);
        let Some(list) = list else { return left_out };
        let Some(items) = list.get_ref().as_array() else {
            self.wrong(list, "`backup.leave_out`", "a list of { relation, reason }");
            return left_out;
        };
        if items.len() > MOST_LEFT_OUT {
            self.fault(list.span(), format!("`backup.leave_out` names more than {MOST_LEFT_OUT} relations"));
        }
        for item in items.iter().take(MOST_LEFT_OUT) {
            let Some(table) = item.get_ref().as_table() else {
                self.wrong(item, "an entry of `backup.leave_out`", "{ relation = \"schema.table\", reason = \"…\" }");
                continue;
            };
            let name = "backup.leave_out".to_owned();
            let mut entry = Section { name, table, span: item.span(), known: BTreeSet::new() };
            let relation = self.text(&mut entry, "relation");
            let reason = self.text(&mut entry, "reason");
            self.end(&entry);
            let (Some(relation), Some(reason)) = (relation, reason) else { continue };
            let Some((schema, name)) = relation.split_once('.').filter(|(schema, name)| {
                !schema.is_empty() && !name.is_empty() && ![schema, name].iter().any(|part| part.contains('*'))
            }) else {
                self.fault(item.span(), format!("`{relation}` is not one relation in the form `schema.table`"));
                continue;
            };
            let one = LeftOut { schema: schema.to_owned(), name: name.to_owned(), reason };
            if left_out.iter().any(|other| other.schema == one.schema && other.name == one.name) {
                self.fault(item.span(), format!("`{relation}` is listed twice"));
            }
            left_out.push(one);
        }
        left_out
    }

    fn freshness(&mut self, mut section: Section<'_, 't>, otherwise: Freshness) -> Freshness {
        let minutes = |duration: SignedDuration| u32::try_from(duration.as_mins()).unwrap_or(u32::MAX);
        let mut duration = |key, otherwise: SignedDuration, unit: u32, most: u32| {
            let number = self.number(&mut section, key, minutes(otherwise) / unit, 1..=most);
            SignedDuration::from_mins(i64::from(number) * i64::from(unit))
        };
        let freshness = Freshness {
            backup: duration("backup_minutes", otherwise.backup, 1, 60 * 24 * 60),
            verification: duration("verification_hours", otherwise.verification, 60, 24 * 365),
            drill: duration("drill_days", otherwise.drill, 24 * 60, 365),
            offsite: duration("offsite_minutes", otherwise.offsite, 1, 60 * 24 * 60),
        };
        self.end(&section);
        freshness
    }

    fn hours(&mut self, mut section: Section<'_, 't>, otherwise: BusinessHours) -> BusinessHours {
        let mut hours = otherwise;
        if let Some(value) = section.get("time_zone") {
            match value.get_ref().as_str().map(TimeZone::get) {
                Some(Ok(time_zone)) => hours.time_zone = time_zone,
                _ => self.wrong(value, "`business_hours.time_zone`", "a name such as \"Europe/Berlin\""),
            }
        }
        let weekday = |text: &str| WEEKDAYS.iter().find(|(name, _)| *name == text).map(|(_, day)| *day);
        if let Some(days) = self.list(&mut section, "days", "a day such as \"monday\"", weekday) {
            hours.days = days;
        }
        let time = |text: &str| Time::strptime("%H:%M", text).ok();
        hours.from = self.parsed(&mut section, "from", "a time such as \"08:00\"", time).unwrap_or(hours.from);
        hours.to = self.parsed(&mut section, "to", "a time such as \"18:00\"", time).unwrap_or(hours.to);
        if hours.from >= hours.to {
            let span = section.get("to").or(section.get("from")).map_or(section.span.clone(), Spanned::span);
            self.fault(span, format!("business hours end at {}, but begin at {}", hours.to, hours.from));
        }
        self.end(&section);
        hours
    }

    fn alerts(&mut self, mut section: Section<'_, 't>, otherwise: Alerts) -> Alerts {
        let minutes = u32::try_from(otherwise.repeat.as_mins()).unwrap_or(u32::MAX);
        let repeat = self.number(&mut section, "repeat_minutes", minutes, 5..=7 * 24 * 60);
        let days = u32::try_from(otherwise.acknowledged.as_hours() / 24).unwrap_or(u32::MAX);
        let days = self.number(&mut section, "acknowledged_days", days, 1..=365);
        let mut alerts = Alerts {
            repeat: SignedDuration::from_mins(i64::from(repeat)),
            acknowledged: SignedDuration::from_hours(24 * i64::from(days)),
            ..otherwise
        };
        if let Some(value) = section.get("notices") {
            match value.get_ref().as_bool() {
                Some(notices) => alerts.notices = notices,
                None => self.wrong(value, "`alerts.notices`", "`true` or `false`"),
            }
        }
        for kind in AlertKind::ALL.iter().copied().filter(|kind| kind.has_rule()) {
            if let Some(rule) = self.section(&mut section, kind.as_str()) {
                alerts.rules.insert(kind, self.rule(rule, kind));
            }
        }
        self.end(&section);
        alerts
    }

    fn rule(&mut self, mut section: Section<'_, 't>, kind: AlertKind) -> AlertRule {
        let mut rule = AlertRule::of(kind);
        let severity = self.word(&mut section, "severity", "`info`, `warning` or `critical`");
        rule.severity = severity.unwrap_or(rule.severity);
        let expected = "a channel: `email`, `sms`, `chat`, `pager` or `dashboard`";
        let channel = |text: &str| text.parse::<Channel>().ok();
        if let Some(channels) = self.list(&mut section, "channels", expected, channel) {
            rule.channels = channels;
        }
        let escalation = self.word(&mut section, "escalation", "`immediate`, `daily` or `business-hours`");
        rule.escalation = escalation.unwrap_or(rule.escalation);
        rule.after = self.number(&mut section, "after", rule.after, 1..=100);
        if let (Some(name), Some(threshold)) = (AlertRule::threshold_name(kind), rule.threshold) {
            rule.threshold = Some(self.decimal(&mut section, name, threshold));
        }
        self.end(&section);
        rule
    }

    fn prices(&mut self, mut section: Section<'_, 't>, otherwise: Prices) -> Prices {
        let mut price = |key, otherwise| self.decimal(&mut section, key, otherwise);
        let prices = Prices {
            storage_gb_month: price("storage_gb_month", otherwise.storage_gb_month),
            writes_per_thousand: price("writes_per_thousand", otherwise.writes_per_thousand),
            reads_per_thousand: price("reads_per_thousand", otherwise.reads_per_thousand),
            compute_gb_second: price("compute_gb_second", otherwise.compute_gb_second),
            keys_per_ten_thousand: price("keys_per_ten_thousand", otherwise.keys_per_ten_thousand),
        };
        self.end(&section);
        prices
    }

    fn section<'a>(&mut self, parent: &mut Section<'a, 't>, key: &'static str) -> Option<Section<'a, 't>> {
        let value = parent.get(key)?;
        let name = parent.path(key);
        match value.get_ref().as_table() {
            Some(table) => Some(Section { name, table, span: value.span(), known: BTreeSet::new() }),
            None => {
                self.wrong(value, &format!("`{name}`"), "a table");
                None
            }
        }
    }

    fn number(
        &mut self,
        section: &mut Section<'_, 't>,
        key: &'static str,
        otherwise: u32,
        range: RangeInclusive<u32>,
    ) -> u32 {
        let Some(value) = section.get(key) else { return otherwise };
        match integer(value).and_then(|number| u32::try_from(number).ok()) {
            Some(number) if range.contains(&number) => number,
            _ => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                self.wrong(value, &format!("`{}`", section.path(key)), &expected);
                otherwise
            }
        }
    }

    /// Not negative, and finite.
    fn decimal(&mut self, section: &mut Section<'_, 't>, key: &'static str, otherwise: f64) -> f64 {
        let Some(value) = section.get(key) else { return otherwise };
        let written = match value.get_ref() {
            DeValue::Integer(_) => integer(value).map(|number| number as f64),
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => None,
        };
        match written {
            Some(number) if number.is_finite() && number >= 0.0 => number,
            _ => {
                self.wrong(value, &format!("`{}`", section.path(key)), "a number that is not negative");
                otherwise
            }
        }
    }

    fn text(&mut self, section: &mut Section<'_, 't>, key: &'static str) -> Option<String> {
        let Some(value) = section.get(key) else {
            self.fault(section.span.clone(), format!("`{}` is missing", section.path(key)));
            return None;
        };
        let text = value.get_ref().as_str().filter(|text| !text.trim().is_empty() && text.len() <= 200);
        if text.is_none() {
            self.wrong(value, &format!("`{}`", section.path(key)), "a text of 1 to 200 characters");
        }
        text.map(str::to_owned)
    }

    fn word<T: FromStr>(&mut self, section: &mut Section<'_, 't>, key: &'static str, expected: &str) -> Option<T> {
        self.parsed(section, key, expected, |text| text.parse().ok())
    }

    fn parsed<T>(
        &mut self,
        section: &mut Section<'_, 't>,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = section.get(key)?;
        let parsed = value.get_ref().as_str().and_then(parse);
        if parsed.is_none() {
            self.wrong(value, &format!("`{}`", section.path(key)), expected);
        }
        parsed
    }

    /// At least one, none twice.
    fn list<T: PartialEq>(
        &mut self,
        section: &mut Section<'_, 't>,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = section.get(key)?;
        let path = format!("`{}`", section.path(key));
        let Some(items) = value.get_ref().as_array().filter(|items| !items.is_empty()) else {
            self.wrong(value, &path, format!("a list, each entry {expected}"));
            return None;
        };
        let mut list = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_str().and_then(&parse) {
                Some(one) if list.contains(&one) => self.fault(item.span(), format!("{path} lists an entry twice")),
                Some(one) => list.push(one),
                None => self.wrong(item, &format!("an entry of {path}"), expected),
            }
        }
        Some(list)
    }

    /// Reports every key that the reader did not ask for: it is unknown.
    fn end(&mut self, section: &Section<'_, 't>) {
        for (key, _) in section.table.iter() {
            let name: &str = key.get_ref();
            if !section.known.contains(name) {
                let known: Vec<String> = section.known.iter().map(|key| format!("`{key}`")).collect();
                let reason = format!("`{}` is unknown; the known keys are {}", section.path(name), known.join(", "));
                self.fault(key.span(), reason);
            }
        }
    }

    fn wrong(&mut self, value: &Spanned<DeValue<'t>>, what: &str, expected: impl Display) {
        let found = value.get_ref().type_str();
        let written = self.text.get(value.span()).filter(|written| written.len() <= 40 && !written.contains('\n'));
        let found = written.map_or_else(|| format!("a {found}"), |written| format!("`{written}`"));
        self.fault(value.span(), format!("{what} is {found}, but should be {expected}"));
    }

    fn fault(&mut self, span: Range<usize>, reason: String) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        self.faults.push(PolicyFault { line: before.matches('\n').count() + 1, reason });
    }
}

fn integer(value: &Spanned<DeValue<'_>>) -> Option<i64> {
    let integer = value.get_ref().as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}
