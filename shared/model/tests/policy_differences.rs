//! Which change of each key weakens the protection, and how a change reads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use lifeboat_model::{AlertKind, AlertRule, Policy, PolicyDifference};

/// A key, a value, and one that protects less.
const WEAKER: [(&str, &str, &str); 15] = [
    ("retention.ledger_days", "365", "364"),
    ("verification.rotation_days", "30", "31"),
    ("backup.per_server", "1", "2"),
    ("backup.leave_out", "[]", r#"[{ relation = "public.patients", reason = "large" }]"#),
    ("freshness.backup_minutes", "90", "91"),
    ("freshness.verification_hours", "36", "37"),
    ("freshness.drill_days", "8", "9"),
    ("freshness.offsite_minutes", "90", "91"),
    ("business_hours.days", r#"["monday", "friday"]"#, r#"["monday", "tuesday", "wednesday"]"#),
    ("business_hours.from", "\"08:00\"", "\"08:30\""),
    ("business_hours.to", "\"18:00\"", "\"17:30\""),
    ("alerts.notices", "true", "false"),
    ("alerts.repeat_minutes", "60", "61"),
    ("alerts.acknowledged_days", "30", "31"),
    ("alerts.certificate-expiry.days", "14", "13"),
];

/// The same for the keys that every rule has.
const WEAKER_IN_EACH_RULE: [(&str, &str, &str); 4] = [
    ("severity", "\"critical\"", "\"warning\""),
    ("channels", r#"["email", "pager"]"#, r#"["email", "chat", "sms", "dashboard"]"#),
    ("escalation", "\"immediate\"", "\"business-hours\""),
    ("after", "1", "2"),
];

/// Keys of which no value protects more than another one.
const NEUTRAL: [(&str, &str, &str); 6] = [
    ("business_hours.time_zone", "\"UTC\"", "\"Europe/Berlin\""),
    ("prices.storage_gb_month", "1", "2"),
    ("prices.writes_per_thousand", "1", "2"),
    ("prices.reads_per_thousand", "1", "2"),
    ("prices.compute_gb_second", "1", "2"),
    ("prices.keys_per_ten_thousand", "1", "2"),
];

fn with_rules() -> Vec<(String, &'static str, &'static str)> {
    let mut rows: Vec<_> = WEAKER.iter().map(|(key, before, after)| ((*key).to_owned(), *before, *after)).collect();
    for kind in AlertKind::ALL.iter().filter(|kind| kind.has_rule()) {
        rows.extend(WEAKER_IN_EACH_RULE.map(|(key, before, after)| (format!("alerts.{kind}.{key}"), before, after)));
        if let Some(name) = AlertRule::threshold_name(*kind).filter(|name| *name != "days") {
            rows.push((format!("alerts.{kind}.{name}"), "5", "5.5"));
        }
    }
    rows
}

fn policy(key: &str, value: &str) -> Policy {
    let (section, name) = key.rsplit_once('.').unwrap();
    Policy::from_toml(&format!("version = 1\n[{section}]\n{name} = {value}\n")).unwrap()
}

#[test]
fn a_change_of_each_key_weakens_in_one_direction_only() {
    for (key, stronger, weaker) in with_rules() {
        let [stronger, weaker] = [policy(&key, stronger), policy(&key, weaker)];
        let [difference] = stronger.differences(&weaker).try_into().unwrap();
        assert!(difference.key.starts_with(&key) && difference.weakens, "{difference:?}");
        // Some of the channels and days that come back instead are new.
        let is_exchange = key.ends_with(".channels") || key.ends_with(".days") && key.starts_with("business");
        let [back] = weaker.differences(&stronger).try_into().unwrap();
        assert_eq!(back.weakens, is_exchange, "{back:?}");
        assert_eq!((back.before, back.after), (difference.after, difference.before));
        assert_eq!(weaker.differences(&weaker), []);
    }
    for (key, before, after) in NEUTRAL {
        let [difference] = policy(key, before).differences(&policy(key, after)).try_into().unwrap();
        assert!(difference.key == key && !difference.weakens, "{difference:?}");
    }
}

/// The keys that the reader knows are those that it names when one is unknown.
#[test]
fn every_key_of_the_policy_is_in_the_table() {
    let known_in = |section: &str| -> BTreeSet<String> {
        let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        let faults = Policy::from_toml(&format!("version = 1\n{header}nonsense = 1\n")).unwrap_err();
        let (_, known) = faults[0].reason.split_once("the known keys are ").unwrap();
        let path = |key: &str| format!("{section}.{}", key.trim_matches('`')).trim_start_matches('.').to_owned();
        known.split(", ").map(path).collect()
    };
    let mut keys = BTreeSet::new();
    let mut sections = known_in("");
    assert!(sections.remove("version") && sections.len() == 7, "{sections:?}");
    while let Some(section) = sections.pop_first() {
        let (rules, values): (Vec<_>, Vec<_>) = known_in(&section)
            .into_iter()
            .partition(|key| key.strip_prefix("alerts.").is_some_and(|kind| kind.parse::<AlertKind>().is_ok()));
        sections.extend(rules);
        keys.extend(values);
    }
    let neutral = NEUTRAL.iter().map(|(key, _, _)| (*key).to_owned());
    let tabled: BTreeSet<String> = with_rules().into_iter().map(|(key, _, _)| key).chain(neutral).collect();
    assert_eq!(tabled, keys);
}

#[test]
fn a_difference_reads_as_a_sentence_names_what_weakens_first_and_repeats_no_reason() {
    let before = Policy::from_toml("version = 1\n[prices]\nstorage_gb_month = 1\n").unwrap();
    let after = r#"
version = 1
[backup]
leave_out = [{ relation = "public.patients", reason = "a secret reason" }]
[freshness]
backup_minutes = 30
[alerts.backup-failed]
severity = "info"
channels = ["dashboard"]
[prices]
storage_gb_month = 2
"#;
    let after = Policy::from_toml(after).unwrap();
    let differences = before.differences(&after);
    let texts: Vec<String> = differences.iter().map(PolicyDifference::to_string).collect();
    assert_eq!(
        texts,
        [
            "`backup.leave_out: public.patients` from copied to left out",
            "`alerts.backup-failed.severity` from critical to info",
            "`alerts.backup-failed.channels` from email, sms, chat, pager, dashboard to dashboard",
            "`freshness.backup_minutes` from 90 to 30",
            "`prices.storage_gb_month` from 1 to 2",
        ]
    );
    assert_eq!(differences.iter().filter(|difference| difference.weakens).count(), 3);
    // Writing down what counts already, or in another order, is no difference.
    let written =
        "version = 1\n[alerts.backup-failed]\nchannels = [\"dashboard\", \"pager\", \"sms\", \"email\", \"chat\"]\n";
    assert_eq!(Policy::default().differences(&Policy::from_toml(written).unwrap()), []);
}
