//! The sample inputs under events/: each is run by the function that the table beside them names.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_local::{Cloud, DATABASE, DeployedFunction, Invocation, OFFSITE_REGION, PRIMARY_REGION, Stage, root};
use lifeboat_model::Site;
use serde_json::{Value, json};

use crate::bench::small_stage;
use crate::stored::Stored;
use crate::trouble::{PATIENCE, Trouble};

/// The backup that the samples speak of.
const SAMPLE_ID: &str = "2026-11-21T20-00-02Z-k3f9";

/// The plan that the sample of a restore approves.
const SAMPLE_PLAN: &str = "6b0f7f0c2f0c5a7e5c0b0a8d9d6c3f1b2a4e6d8c0f1e3d5b7a9c8e6f4d2b0a1c";

/// The table of events/README.md: file → function. A file without a row, or a row without a file, is an error.
fn samples() -> BTreeMap<String, String> {
    let folder = root().join("events");
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let cells = |row: &str| -> Vec<String> { row.split('|').map(|cell| cell.trim().replace('`', "")).collect() };
    let table: BTreeMap<String, String> = readme
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|row| (cells(row)[1].clone(), cells(row)[2].clone()))
        .collect();
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), files);
    table
}

fn function(stage: &Stage, name: &str) -> DeployedFunction {
    let at = stage.deployment();
    match name {
        "backup" => at.backup.clone(),
        "verify" => at.verify.clone(),
        "test-restore" => at.test_restore.clone(),
        "restore" => at.restore.clone(),
        "health" => at.health.clone(),
        // It is asked and answers: nothing of it waits in a queue.
        "status" => {
            DeployedFunction { name: at.status.clone(), logs: String::new(), failures_queue_url: String::new() }
        }
        other => panic!("there is no function `{other}`"),
    }
}

async fn invoke(stage: &Stage, name: &str, input: &Value) -> Invocation {
    stage.cloud().invoke(&function(stage, name), input).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_event_succeeds_at_its_function() {
    let samples = samples();
    let stage = small_stage(&[]).await;
    let taken = invoke(&stage, "backup", &json!({"database": DATABASE})).await;
    let backup_id = taken.payload["backup_id"].as_str().unwrap().to_owned();

    let mut plan = SAMPLE_PLAN.to_owned();
    // The sample of a plan is before that of its execution.
    for (file, name) in &samples {
        let sample = std::fs::read_to_string(root().join("events").join(file)).unwrap();
        let input: Value =
            serde_json::from_str(&sample.replace(SAMPLE_ID, &backup_id).replace(SAMPLE_PLAN, &plan)).unwrap();
        let answer = invoke(&stage, name, &input).await;
        assert!(!answer.failed, "{file}: {}", answer.payload);
        let answer = &answer.payload;
        match (name.as_str(), file.as_str()) {
            ("health", _) => {
                let probes = answer["probes"].as_array().unwrap();
                assert!(probes.len() >= 5 && probes.iter().all(|probe| probe["wrong"].is_null()), "{file}: {answer}");
            }
            ("status", _) => {
                let word = if file == "status-page.json" { "<!doctype html>" } else { r#"{"status":"# };
                assert_eq!(answer["statusCode"], 200, "{file}: {answer}");
                assert!(answer["body"].as_str().unwrap().starts_with(word), "{file}: {answer}");
            }
            ("restore", "restore-order-plan.json") => {
                assert_eq!((&answer["target"], &answer["findings"]), (&json!("new"), &json!([])), "{answer}");
                plan = answer["hash"].as_str().unwrap().to_owned();
            }
            ("restore", _) => {
                assert_eq!((&answer["outcome"], &answer["rows"]), (&json!("whole"), &json!(25_000)), "{answer}");
                let there = stage.scratch().psql("clinic_restored", "SELECT count(*) FROM visits").unwrap();
                assert_eq!(there, "20000");
            }
            (_, "test-restore-cleanup-requested.json" | "test-restore-order-clean.json") => {
                assert_eq!(*answer, json!({"dropped": [], "gone": [], "left": []}), "{file}");
            }
            (_, tick) if tick.ends_with("-tick.json") => {
                assert_eq!(*answer, json!({"requested": [DATABASE]}), "{file}")
            }
            // The order before it has read everything, so nothing is due, unless midnight came in between.
            (_, "verify-requested.json") => {
                let reports = answer.as_array().unwrap();
                assert!(reports.iter().all(|report| report["findings"] == json!([])), "{file}: {answer}");
            }
            ("backup", _) => {
                assert!(answer["backup_id"].as_str().unwrap() >= backup_id.as_str(), "{file}: {answer}");
                assert_eq!(answer["totals"]["rows"], 25_000, "{file}: {answer}");
            }
            (_, _) => {
                let [report] = answer.as_array().unwrap().as_slice() else { panic!("{file}: {answer}") };
                assert_eq!(report["database"], DATABASE, "{file}");
                assert_eq!(report["findings"], json!([]), "{file}");
                if name == "verify" {
                    assert!(report["objects"].as_u64().unwrap() > 0, "{file}: {answer}");
                } else {
                    assert_eq!((&report["equal"], &report["rows"]), (&json!(true), &json!(25_000)), "{file}");
                }
                if sample.contains(SAMPLE_ID) && name == "test-restore" {
                    assert_eq!(report["backup_id"], backup_id.as_str(), "{file}");
                    assert_eq!(&report["site"], input.get("site").unwrap_or(&json!("primary")), "{file}");
                }
            }
        }
    }
}

/// What each function must refuse, and a word that its sentence must have.
fn nonsense() -> Vec<(&'static str, Value, &'static str)> {
    let event = |kind: &str, detail: Value| json!({"source": "lifeboat", "detail-type": kind, "detail": detail});
    let about_clinic = json!({"database": DATABASE, "backup_id": SAMPLE_ID});
    let mut all = vec![
        ("backup", json!({"trigger": "schedule"}), "scheduled_time"),
        ("backup", json!({"trigger": "schedule", "scheduled_time": "soon"}), "soon"),
        ("backup", json!({"trigger": "deployment", "scheduled_time": "2026-11-21T20:00:00Z"}), "deployment"),
        ("backup", json!({"database": "../etc"}), "database name"),
        ("backup", event("Backup Completed", about_clinic.clone()), "Backup Completed"),
        ("backup", event("Backup Requested", json!({"database": DATABASE})), "requested_at"),
        ("verify", json!({"backup_id": SAMPLE_ID}), "database"),
        ("verify", json!({"database": DATABASE, "scope": "some"}), "some"),
        ("verify", json!({"database": DATABASE, "backup_id": "newest"}), "newest"),
        ("verify", event("Backup Requested", about_clinic.clone()), "Backup Requested"),
        ("verify", event("Backup Completed", json!({"database": DATABASE})), "backup_id"),
        ("test-restore", json!({"backup": SAMPLE_ID}), "database"),
        ("test-restore", json!({"database": DATABASE, "backup": "oldest"}), "oldest"),
        ("test-restore", json!({"database": DATABASE, "site": "mars"}), "mars"),
        ("test-restore", event("Backup Completed", about_clinic), "Backup Completed"),
        ("test-restore", event("Verification Completed", json!({"database": DATABASE})), "backup_id"),
    ];
    for name in ["backup", "verify", "test-restore"] {
        all.extend([
            (name, json!({}), "give"),
            (name, json!([]), "length 0"),
            (name, Value::Null, "null"),
            (name, json!("clinic"), "string"),
            (name, json!({"database": 5}), "integer `5`"),
            (name, json!({"database": DATABASE, "databse": DATABASE}), "databse"),
        ]);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_with_a_sentence_and_a_hint_and_told_and_changes_nothing() {
    let mut trouble = Trouble::begin().await;
    for (name, input, word) in nonsense() {
        let answer = invoke(&trouble.stage, name, &input).await;
        let event = trouble.assert_told_as(failed(name), &answer, &[word]).await;
        assert_eq!(event.detail.get("database"), None, "{name} {input}: {}", event.detail);
        assert_eq!(answer.payload["errorType"], "Input", "{name} {input}: {}", answer.payload);
        let message = answer.payload["errorMessage"].as_str().unwrap();
        assert!(message.ends_with(". see events/ for an example of each input."), "{name} {input}: {message}");
    }
    for (name, more) in [("backup", "requested_by"), ("verify", "requested_by"), ("test-restore", "backup")] {
        let mut order = json!({"database": "billing", "scope": "all", more: "newest"});
        if name != "verify" {
            order.as_object_mut().unwrap().remove("scope");
        }
        let unknown = invoke(&trouble.stage, name, &order).await;
        assert_eq!(unknown.payload["errorType"], "UnknownDatabase", "{name}: {}", unknown.payload);
        let words =
            ["the database `billing` is not configured", "use a name from the stack's parameter `DatabaseNames`"];
        let event = trouble.assert_told_as(failed(name), &unknown, &words).await;
        assert_eq!(event.detail["database"], "billing", "{name}");
    }

    // Only a person restores, and sees the answer: nobody else is told.
    for (input, word) in [
        (json!({}), "give `to`"),
        (json!({"to": "x", "plan": "yes"}), "hexadecimal"),
        (json!({"to": "postgres://backup:Wr0ng-Sesame@db/clinic"}), "`to`"),
        (json!({"to": "x", "database": "postgres://backup:Wr0ng-Sesame@db/clinic"}), "`…` is not a database name"),
    ] {
        let answer = invoke(&trouble.stage, "restore", &input).await;
        assert!(answer.failed && answer.payload["errorMessage"].as_str().unwrap().contains(word), "{}", answer.payload);
    }

    // Before the first backup the buckets are empty but for what is wrong, so any change would be seen.
    let (cloud, deployment) = (trouble.stage.cloud(), trouble.stage.deployment());
    assert_eq!(count_objects(cloud, PRIMARY_REGION, &deployment.primary_bucket).await, 0);
    assert_eq!(count_objects(cloud, OFFSITE_REGION, &deployment.offsite.as_ref().unwrap().bucket).await, 0);

    // With a repository there is a ledger, and an order that was refused is in it.
    assert!(!trouble.order_backup().await.failed);
    for kind in ["Backup Completed", "Verification Completed"] {
        assert_eq!(trouble.stage.tap().next(PATIENCE).await.unwrap().unwrap().kind, kind);
    }
    // One order was understood, and so was what its event started.
    trouble.assert_resolved(&["backup-failed/unnamed", "verification-finding/unnamed"]).await;
    let refused = trouble.invoke(&json!({"database": "postgres://backup:Wr0ng-Sesame@db/clinic"})).await;
    trouble.assert_told_as("Backup Failed", &refused, &["`…` is not a database name"]).await;
    let last = last_ledger_entry(&trouble.stage).await;
    assert!(last.contains(r#""outcome":"failed""#) && last.contains("is not a database name"), "{last}");
    assert!(!last.contains("Sesame"), "{last}");
    trouble.assert_logs_are_clean().await;
}

/// The event by which a function says that it did not do what was asked.
fn failed(function: &str) -> &'static str {
    match function {
        "backup" => "Backup Failed",
        "verify" => "Verification Failed",
        _ => "Restore Test Failed",
    }
}

async fn last_ledger_entry(stage: &Stage) -> String {
    let stored = Stored::on(stage).await;
    let keys = stored.keys(Site::Primary, "ledger/").await;
    let entries = keys.iter().filter(|key| key.rsplit('/').next().unwrap().starts_with(|c: char| c.is_ascii_digit()));
    let bytes = stored.bytes(Site::Primary, entries.max().unwrap()).await;
    String::from_utf8(bytes).unwrap()
}

async fn count_objects(cloud: &Cloud, region: &'static str, bucket: &str) -> usize {
    let listed = cloud.s3(region).await.list_objects_v2().bucket(bucket).send().await.unwrap();
    let is_incident = |object: &&aws_sdk_s3::types::Object| object.key().unwrap().starts_with("incidents/");
    listed.contents().iter().filter(|object| !is_incident(object)).count()
}
