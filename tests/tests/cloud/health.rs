//! What did not happen is told by the deployed function `health`, within its grace; and policy, pushed and pushed wrongly.

use std::time::Duration;

use aws_sdk_ssm::Client;
use lifeboat_local::{AlertInbox, DATABASE, OFFSITE_REGION, PRIMARY_REGION, ReceivedAlert, Stage};
use lifeboat_model::Site;
use serde_json::{Value, json};

use crate::bench::small_stage;
use crate::stored::Stored;

/// A schedule of the local cloud fires within a minute or two.
const PATIENCE: Duration = Duration::from_secs(240);

/// Everything is overdue after a minute.
const IMPATIENT: &str = "version = 1\n[freshness]\nbackup_minutes = 1\n";

async fn push(stage: &Stage, document: &str) {
    let ssm = Client::new(&stage.cloud().config(PRIMARY_REGION).await);
    let put = ssm.put_parameter().name(&stage.deployment().policy).value(document).overwrite(true);
    put.send().await.unwrap();
}

fn of_incident(alert: &ReceivedAlert) -> (String, String) {
    (alert.attributes["incident"].clone(), alert.attributes["state"].clone())
}

async fn inbox(stage: &Stage) -> AlertInbox {
    let (sns, topic) = (stage.cloud().sns().await, &stage.deployment().topic_arn);
    AlertInbox::open(&sns, topic, &["warning", "critical"]).await.unwrap()
}

fn told(incident: &str, state: &str) -> (String, String) {
    (incident.to_owned(), state.to_owned())
}

/// The schedule of backups is off; the function that looks runs by a schedule of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_did_not_happen_is_told_within_its_grace_once_and_so_is_that_it_happened() {
    let never = "at(2099-01-01T00:00:00)";
    let stage = small_stage(&[("BackupSchedule", never), ("HealthSchedule", "rate(1 minute)")]).await;
    push(&stage, IMPATIENT).await;
    let inbox = inbox(&stage).await;
    let alerts = inbox.wait_for(1, PATIENCE).await.unwrap();
    assert_eq!(of_incident(&alerts[0]), told("backup-overdue/clinic", "opened"));
    let since = alerts[0].json();
    assert!(since["what"].as_str().unwrap().contains("policy allows 1 min"), "{since}");

    let taken = stage.cloud().invoke(&stage.deployment().backup, &json!({"database": DATABASE})).await.unwrap();
    assert!(!taken.failed, "{}", taken.payload);
    let alerts = inbox.wait_for(2, PATIENCE).await.unwrap();
    assert_eq!(of_incident(&alerts[1]), told("backup-overdue/clinic", "resolved"));
    assert_eq!(alerts.len(), 2, "{alerts:?}");
}

/// Puts settings into the function that it cannot start with, as a hand in the console may.
async fn cannot_start(stage: &Stage) {
    let (lambda, backup) = (stage.cloud().lambda().await, &stage.deployment().backup.name);
    let broken = aws_sdk_lambda::types::Environment::builder().variables("LIFEBOAT_SESSIONS", "none").build();
    // The emulator's answer is not one that the SDK can read; what it did is seen by the next invocation.
    let _ = lambda.update_function_configuration().function_name(backup).environment(broken).send().await;
}

/// A function that crashes before its first line tells nobody: what it should have done is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_crashes_at_its_start_is_told_by_what_it_did_not_do() {
    let stage = small_stage(&[("HealthSchedule", "rate(1 day)"), ("AlertEmail", "")]).await;
    cannot_start(&stage).await;
    push(&stage, IMPATIENT).await;
    let health = || async {
        let looked = stage.cloud().invoke(&stage.deployment().health, &json!({})).await.unwrap();
        assert!(!looked.failed, "{}", looked.payload);
        looked.payload
    };
    let probes = health().await;
    let unheard =
        probes["probes"].as_array().unwrap().iter().find(|probe| probe["name"] == "alerts-unheard/repository");
    let what = unheard.unwrap()["wrong"]["what"].as_str().unwrap_or_default();
    assert!(what.contains("severity critical, warning: `backup-failed`"), "{probes}");
    assert!(what.ends_with("; or the CloudWatch alarms about Lifeboat itself"), "{probes}");
    let inbox = inbox(&stage).await;
    let _alarms =
        AlertInbox::open(&stage.cloud().sns().await, &stage.deployment().alarms_topic_arn, &[]).await.unwrap();
    let probes = health().await;
    assert!(probes["probes"].as_array().unwrap().iter().all(|probe| probe["wrong"].is_null()), "{probes}");
    let crashed = stage.cloud().invoke(&stage.deployment().backup, &json!({"database": DATABASE})).await.unwrap();
    assert!(crashed.failed, "{}", crashed.payload);
    tokio::time::sleep(Duration::from_secs(61)).await;
    for _ in 0..3 {
        health().await;
    }
    inbox.wait_for(1, PATIENCE).await.unwrap();
    // A second one would have left with the looks that are over.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let alerts: Vec<_> = inbox.alerts().iter().map(of_incident).collect();
    assert_eq!(alerts, [told("backup-overdue/clinic", "opened")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_policy_pushed_in_the_console_takes_nothing_down_and_is_told_once_and_a_good_one_is_on_record() {
    let stage = small_stage(&[]).await;
    let inbox = inbox(&stage).await;
    let taken = stage.cloud().invoke(&stage.deployment().backup, &json!({"database": DATABASE})).await.unwrap();
    assert!(!taken.failed, "{}", taken.payload);
    push(&stage, "version = 1\n[freshness]\nbackup_minuts = 5\n").await;
    let changed = json!({
        "source": "aws.ssm", "detail-type": "Parameter Store Change",
        "detail": {"operation": "Update", "name": stage.deployment().policy, "type": "String"}
    });
    for _ in 0..3 {
        let looked = stage.cloud().invoke(&stage.deployment().health, &changed).await.unwrap();
        assert!(!looked.failed, "{}", looked.payload);
    }
    let alerts = inbox.wait_for(1, PATIENCE).await.unwrap();
    assert_eq!(alerts.iter().map(of_incident).collect::<Vec<_>>(), [told("policy-refused/repository", "opened")]);
    let what = alerts[0].json()["what"].as_str().unwrap().to_owned();
    assert!(what.contains("line 3: `freshness.backup_minuts` is unknown"), "{what}");
    for (function, order) in [
        (&stage.deployment().backup, json!({"database": DATABASE})),
        (&stage.deployment().verify, json!({"database": DATABASE, "scope": "all"})),
        (&stage.deployment().test_restore, json!({"database": DATABASE})),
    ] {
        let answer = stage.cloud().invoke(function, &order).await.unwrap();
        assert!(!answer.failed, "{}", answer.payload);
    }
    // Two changes before the next look.
    push(&stage, "version = 2\n").await;
    push(&stage, "version = 1\n[freshness]\nbackup_minutes = 5\n").await;
    stage.cloud().invoke(&stage.deployment().health, &changed).await.unwrap();
    let alerts = inbox.wait_for(2, PATIENCE).await.unwrap();
    assert_eq!(of_incident(&alerts[1]), told("policy-refused/repository", "resolved"));
    let stored = Stored::on(&stage).await;
    let mut acts = Vec::new();
    for key in stored.keys(Site::Primary, "ledger/").await {
        let entry: Value = serde_json::from_slice(&stored.bytes(Site::Primary, &key).await).unwrap();
        if entry["entry"]["action"] == "policy" {
            let [actor, subject, outcome] =
                ["actor", "subject", "outcome"].map(|name| entry["entry"][name].as_str().unwrap().to_owned());
            // Who put it there is AWS's word, not the function's.
            assert!(actor.starts_with("arn:aws:iam::"), "{actor}");
            acts.push(format!("{subject} {outcome}"));
        }
    }
    assert_eq!(
        acts,
        [
            // The stack's own.
            "policy version 1 completed",
            "policy version 2 failed",
            "policy version 3 failed",
            "policy version 4 completed"
        ]
    );
}

/// Policy says for how long, the bucket sees to it, on both sites.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_the_audit_trail_is_locked_for_as_long_as_policy_says() {
    let stage = small_stage(&[]).await;
    push(&stage, "version = 1\n[retention]\nledger_days = 400\n").await;
    let taken = stage.cloud().invoke(&stage.deployment().backup, &json!({"database": DATABASE})).await.unwrap();
    assert!(!taken.failed, "{}", taken.payload);
    let offsite = stage.deployment().offsite.clone().unwrap().bucket;
    for (region, bucket) in [(PRIMARY_REGION, &stage.deployment().primary_bucket), (OFFSITE_REGION, &offsite)] {
        let s3 = stage.cloud().s3(region).await;
        let key = "ledger/000000000001.json";
        let head = s3.head_object().bucket(bucket).key(key).send().await.unwrap();
        let until = head.object_lock_retain_until_date().unwrap().secs();
        let days = (until - jiff::Timestamp::now().as_second()) / (24 * 3600);
        assert!((398..=400).contains(&days), "{region}: {days}");
        let version = head.version_id().unwrap();
        let deleted = s3.delete_object().bucket(bucket).key(key).version_id(version).send().await;
        assert!(deleted.is_err(), "{region}: a version that is locked was deleted");
    }
}
