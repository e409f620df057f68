//! Refused policies, each with the expected lines and reasons in a file of the same name, and accepted policies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{
    Act, AlertKind, AlertRule, Channel, Escalation, POLICY_LIMIT_BYTES, Policy, PolicyFault, Severity,
};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/policies"))
}

#[test]
fn every_bad_policy_is_refused_with_its_lines_and_reasons() {
    let mut refused = 0;
    for file in std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let faults = Policy::from_toml(&std::fs::read_to_string(&file).unwrap()).expect_err(file.to_str().unwrap());
        let expected = std::fs::read_to_string(file.with_extension("faults")).unwrap();
        let expected: Vec<(usize, &str)> = expected
            .lines()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(line, reason)| (line.parse().unwrap(), reason))
            .collect();
        assert_eq!(faults.len(), expected.len(), "{}: {faults:?}", file.display());
        for (PolicyFault { line, reason }, (expected_line, part)) in faults.iter().zip(expected) {
            assert_eq!(*line, expected_line, "{}: {reason}", file.display());
            assert!(reason.contains(part), "{}: {reason}\nshould have: {part}", file.display());
        }
        refused += 1;
    }
    assert!(refused >= 30, "{refused} bad policies");
}

#[test]
fn the_default_in_infra_says_what_is_in_force_without_a_policy() {
    let text = std::fs::read_to_string(folder().join("../../../../infra/policy.toml")).unwrap();
    assert!(text.len() <= 4096, "an SSM parameter of the standard tier takes 4096 bytes, this has {}", text.len());
    let mut written = Policy::from_toml(&text).unwrap();
    for kind in AlertKind::ALL.iter().copied().filter(|kind| kind.has_rule()) {
        assert_eq!(written.rule(kind), AlertRule::of(kind), "{kind}");
        assert!(written.alerts.rules.remove(&kind).is_some(), "{kind} is not in the default");
    }
    assert_eq!(written, Policy::default());
    assert_eq!(Policy::from_toml("version = 1").unwrap(), Policy::default());
}

#[test]
fn the_table_of_kinds_is_that_of_the_users() {
    use Channel::{Chat, Dashboard, Email, Pager, Sms};
    let policy = Policy::default();
    for (kind, threshold, after, channels, escalation) in [
        (AlertKind::ServiceOutage, None, 2, vec![Sms, Email, Chat], Escalation::Immediate),
        (AlertKind::CertificateExpiry, Some(14.0), 1, vec![Email, Dashboard], Escalation::Daily),
        (AlertKind::DatabaseLatency, Some(1000.0), 1, vec![Chat, Email], Escalation::BusinessHours),
        (AlertKind::HighErrorRate, Some(5.0), 1, vec![Pager, Sms], Escalation::Immediate),
    ] {
        let rule = policy.rule(kind);
        assert_eq!((rule.threshold, rule.after), (threshold, after), "{kind}");
        assert_eq!((rule.channels, rule.escalation), (channels, escalation), "{kind}");
    }
    assert!(
        AlertKind::ALL.iter().filter(|kind| kind.has_rule()).all(|kind| policy.rule(*kind).severity > Severity::Info)
    );
}

#[test]
fn business_hours_are_those_of_the_office_in_summer_and_winter_and_over_the_weekend() {
    let text = "version = 1\n[business_hours]\ntime_zone = \"Europe/Berlin\"\nfrom = \"09:00\"\nto = \"17:30\"\n";
    let hours = Policy::from_toml(text).unwrap().hours;
    for (at, next) in [
        ("2026-11-20T08:00:00Z", "2026-11-20T08:00:00Z"),
        ("2026-11-20T07:59:59Z", "2026-11-20T08:00:00Z"),
        ("2026-11-20T16:29:59Z", "2026-11-20T16:29:59Z"),
        ("2026-11-20T16:30:00Z", "2026-11-23T08:00:00Z"),
        ("2026-11-21T12:00:00Z", "2026-11-23T08:00:00Z"),
        ("2026-07-03T15:30:00Z", "2026-07-06T07:00:00Z"),
        // The clocks change on the Sunday between.
        ("2026-03-27T18:00:00Z", "2026-03-30T07:00:00Z"),
    ] {
        assert_eq!(hours.next(at.parse::<Timestamp>().unwrap()), next.parse().unwrap(), "{at}");
    }
}

#[test]
fn a_document_longer_than_its_place_takes_is_refused() {
    let long = format!("version = 1\n#{}\n", "x".repeat(POLICY_LIMIT_BYTES));
    assert!(Policy::from_toml(&long).unwrap_err()[0].reason.contains("at most 8192"));
}

#[test]
fn what_is_written_is_what_is_in_force() {
    let text = r#"
version = 1
[freshness]
backup_minutes = 5
drill_days = 2
[backup]
leave_out = [{ relation = "audit.http_log", reason = "kept elsewhere" }]
[alerts]
repeat_minutes = 15
[alerts.drill-failed]
severity = "warning"
channels = ["chat"]
"#;
    let policy = Policy::from_toml(text).unwrap();
    assert_eq!(policy.freshness.backup, SignedDuration::from_mins(5));
    assert_eq!(policy.freshness.drill, SignedDuration::from_hours(48));
    assert_eq!((policy.left_out[0].schema.as_str(), policy.left_out[0].name.as_str()), ("audit", "http_log"));
    let rule = policy.rule(AlertKind::DrillFailed);
    assert_eq!((rule.severity, rule.channels), (Severity::Warning, vec![Channel::Chat]));
    assert_eq!(policy.rule(AlertKind::BackupFailed), AlertRule::of(AlertKind::BackupFailed));
}

#[test]
fn every_act_that_can_be_overdue_has_a_limit_and_no_other_act_has_one() {
    let freshness = Policy::default().freshness;
    for act in Act::ALL {
        assert_eq!(freshness.limit(*act).is_some(), act.profile().overdue.is_some(), "{act}");
    }
}

#[test]
fn a_kept_document_that_an_earlier_version_allowed_counts_as_the_limit_of_today() {
    let text = |days: u32| format!("version = 1\n[retention]\nledger_days = {days}\n[freshness]\nbackup_minutes = 7\n");
    let kept = |days: u32| Policy::from_kept(&text(days)).map(|policy| policy.retention.ledger_days);
    assert!(Policy::from_toml(&text(36_500)).is_err());
    assert_eq!((kept(36_500), kept(7305), kept(100)), (Ok(7305), Ok(7305), Ok(100)));
    assert_eq!(Policy::from_kept(&text(36_500)).unwrap().freshness.backup, SignedDuration::from_mins(7));
    assert!(kept(36_501).is_err());
}
