//! The primary is lost, bucket and key: the off-site alone restores, and everything else says clearly what is wrong.

use std::process::Command;
use std::time::Duration;

use lifeboat_local::{AlertInbox, DATABASE, PRIMARY_REGION, Stage};
use serde_json::{Value, json};

use crate::bench::small_stage;

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn with_the_primary_unreadable_and_its_key_disabled_the_off_site_alone_restores_and_the_rest_says_why_not() {
    let stage = small_stage(&[]).await;
    let at = stage.deployment();
    let backup = stage.cloud().invoke(&at.backup, &json!({"database": DATABASE})).await.unwrap();
    assert!(!backup.failed, "{backup:?}");
    let backup_id = backup.payload["backup_id"].as_str().unwrap();
    stage.tap().wait_for("Verification Completed", PATIENCE, |_| ()).await.unwrap();
    let inbox = AlertInbox::open(&stage.cloud().sns().await, &at.topic_arn, &["critical"]).await.unwrap();
    lose_the_primary(&stage).await;

    // From the primary: one sentence, one hint, an event and an alert, and no scratch database left behind.
    let failed = drill(&stage, "primary").await;
    assert_eq!(failed["errorType"], "Vault", "{failed}");
    let message = failed["errorMessage"].as_str().unwrap();
    assert!(message.contains("primary") && message.contains("AccessDenied"), "{message}");
    assert!(!message.contains('\n') && !message.contains('{'), "{message}");
    let event = stage.tap().next(PATIENCE).await.unwrap().unwrap();
    assert_eq!(event.kind, "Restore Test Failed");
    let (error, hint) = (event.detail["error"].as_str().unwrap(), event.detail["hint"].as_str().unwrap());
    assert!(message.contains(error) && message.contains(hint) && hint.len() > 20, "{message} / {event:?}");
    let alerts = inbox.wait_for(1, PATIENCE).await.unwrap();
    assert_eq!(alerts[0].attributes["type"], "drill-failed");
    assert_eq!(alerts[0].attributes["severity"], "critical");
    assert_eq!((&alerts[0].json()["what"], &alerts[0].json()["hint"]), (&json!(error), &json!(hint)));

    // From the off-site: equal, and told as well as it can be.
    let reports = drill(&stage, "offsite").await;
    assert_equal(&reports[0], backup_id);
    let event = stage.tap().next(PATIENCE).await.unwrap().unwrap();
    assert_eq!(event.kind, "Restore Test Completed");
    assert_eq!((&event.detail["site"], &event.detail["equal"]), (&json!("offsite"), &json!(true)));
    // Not silent about what it could not put on record: the ledger is written on the primary first.
    let log = stage.cloud().log_lines(&at.test_restore).await.unwrap();
    assert!(
        log.iter().any(|line| line.contains("ERROR") && line.contains("this run could not be recorded in the ledger"))
    );

    // A backup wants both sites: none is taken, and that is said.
    let refused = stage.cloud().invoke(&at.backup, &json!({"database": DATABASE})).await.unwrap();
    assert!(refused.failed && refused.payload["errorMessage"].as_str().unwrap().contains("primary"), "{refused:?}");
    assert_eq!(stage.tap().next(PATIENCE).await.unwrap().unwrap().kind, "Backup Failed");

    drill_by_hand(&stage, backup_id);
    restore_with_a_bucket_alone(&stage, backup_id);
    let left =
        stage.scratch().psql("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'lifeboat%'").unwrap();
    assert_eq!(left, "");
    let told = inbox.wait_for(3, PATIENCE).await.unwrap();
    let kinds: Vec<&str> = told.iter().map(|alert| alert.attributes["type"].as_str()).collect();
    assert_eq!(kinds, ["drill-failed", "ledger-broken", "backup-failed"]);
}

/// Nobody may read or write the primary's bucket any more, and its key opens nothing.
async fn lose_the_primary(stage: &Stage) {
    let bucket = &stage.deployment().primary_bucket;
    let deny = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")],
        }],
    });
    let s3 = stage.cloud().s3(PRIMARY_REGION).await;
    s3.put_bucket_policy().bucket(bucket).policy(deny.to_string()).send().await.unwrap();
    let kms = stage.cloud().kms(PRIMARY_REGION).await;
    kms.disable_key().key_id(&stage.deployment().primary_key_arn).send().await.unwrap();
}

async fn drill(stage: &Stage, site: &str) -> Value {
    let order = json!({"database": DATABASE, "backup": "newest", "site": site});
    let answer = stage.cloud().invoke(&stage.deployment().test_restore, &order).await.unwrap();
    assert_eq!(answer.failed, site == "primary", "{answer:?}");
    answer.payload
}

fn assert_equal(report: &Value, backup_id: &str) {
    assert_eq!(report["equal"], true, "{report}");
    assert_eq!(report["backup_id"], backup_id);
    assert_eq!(report["site"], "offsite");
    assert_eq!(report["rows"], 25_000);
    assert_eq!(report["findings"], json!([]));
}

/// A bucket and credentials: nothing else is left, and no setting is there.
fn restore_with_a_bucket_alone(stage: &Stage, backup_id: &str) {
    let mut environment = stage.environment();
    environment.retain(|name, _| name.starts_with("AWS_") || *name == "LIFEBOAT_PG_BIN");
    environment.insert("LIFEBOAT_TO_URL", stage.scratch().url("on_the_worst_day"));
    let program = stage.cloud().executable("lifeboat").unwrap();
    let bucket = format!("s3://{}", stage.deployment().offsite.as_ref().unwrap().bucket);
    let run = |arguments: &[&str]| {
        let output = Command::new(program).args(["--repository", &bucket]).args(arguments).envs(&environment).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        (serde_json::from_slice::<Value>(&output.stdout).unwrap(), said)
    };
    let (listed, _) = run(&["backups", "--json"]);
    assert!(listed.as_array().unwrap().iter().any(|backup| backup["backup_id"] == backup_id), "{listed}");
    let (report, said) = run(&["restore", "--yes", "--json"]);
    assert_eq!((&report["outcome"], &report["rows"]), (&json!("whole"), &json!(25_000)), "{report}");
    assert!(said.contains("is not in the audit trail"), "{said}");
    let there = stage.scratch().psql("on_the_worst_day", "SELECT count(*) FROM visits").unwrap();
    assert_eq!(there, "20000");
}

/// The command line tool on the worst day: nothing is known of the primary but the name of a bucket that is not there.
fn drill_by_hand(stage: &Stage, backup_id: &str) {
    let mut environment = stage.environment();
    environment.insert("LIFEBOAT_PRIMARY_BUCKET", "lifeboat-bucket-that-is-gone".to_owned());
    for name in ["LIFEBOAT_PRIMARY_KEY", "LIFEBOAT_PRIMARY_MAC_KEY", "LIFEBOAT_SOURCE_URL"] {
        environment.remove(name);
    }
    let program = stage.cloud().executable("lifeboat").unwrap();
    let run = |arguments: &[&str]| Command::new(program).args(arguments).envs(&environment).output().unwrap();
    let drilled = run(&["drill", "--site", "offsite", "--json"]);
    let said = String::from_utf8_lossy(&drilled.stderr);
    assert!(drilled.status.success(), "{said}");
    assert_equal(&serde_json::from_slice(&drilled.stdout).unwrap(), backup_id);
    let proved = run(&["ledger", "verify", "--site", "offsite"]);
    let said = String::from_utf8_lossy(&proved.stdout);
    assert!(
        proved.status.success() && said.contains("one unbroken chain on offsite\noffsite's key vouches for"),
        "{said}"
    );
    let failed = run(&["drill", "--site", "primary"]);
    assert!(!failed.status.success() && failed.stdout.is_empty());
}
