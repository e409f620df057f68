//! Each failure of the main job is told once, however often it is repeated, and once when it is over.

use lifeboat_local::{DATABASE, Invocation, PRIMARY_REGION, SCRATCH_SECRET, SOURCE_SECRET, Stage};
use serde_json::{Value, json};

use crate::bench::small_stage;
use crate::trouble::{PATIENCE, Trouble};

/// Runs that meet the same failure; of the first, many.
const REPEATS: usize = 3;
const MANY: usize = 20;

/// What is wrong, by the function that meets it.
struct Failure {
    /// A part of the sentence that is told.
    says: &'static str,
    incident: &'static str,
    order: Order,
    /// The secret that is changed, and to what.
    secret: Option<(&'static str, String)>,
    is_key_disabled: bool,
}

#[derive(Clone, Copy)]
enum Order {
    Backup,
    Drill,
    UnknownDatabase,
}

async fn give(stage: &Stage, order: Order) -> Invocation {
    let deployment = stage.deployment();
    let (function, order) = match order {
        Order::Backup => (&deployment.backup, json!({"database": DATABASE})),
        Order::Drill => (&deployment.test_restore, json!({"database": DATABASE})),
        Order::UnknownDatabase => (&deployment.backup, json!({"database": "clinc"})),
    };
    stage.cloud().invoke(function, &order).await.unwrap()
}

/// Every failure on record, oldest first.
async fn failed_entries(stage: &Stage) -> Vec<Value> {
    let (s3, bucket) = (stage.cloud().s3(PRIMARY_REGION).await, &stage.deployment().primary_bucket);
    let listed = s3.list_objects_v2().bucket(bucket).prefix("ledger/").send().await.unwrap();
    let mut failed = Vec::new();
    for key in listed.contents().iter().filter_map(|object| object.key()) {
        let object = s3.get_object().bucket(bucket).key(key).send().await.unwrap();
        let stored: Value = serde_json::from_slice(&object.body.collect().await.unwrap().into_bytes()).unwrap();
        failed.extend(Some(stored["entry"].clone()).filter(|entry| entry["outcome"] == "failed"));
    }
    failed
}

async fn disable(stage: &Stage, is_disabled: bool) {
    let (kms, key) = (stage.cloud().kms(PRIMARY_REGION).await, &stage.deployment().primary_key_arn);
    if is_disabled {
        kms.disable_key().key_id(key).send().await.unwrap();
    } else {
        kms.enable_key().key_id(key).send().await.unwrap();
    }
}

fn failures(stage: &Stage) -> Vec<Failure> {
    let source = stage.source().unwrap();
    source.psql(DATABASE, "CREATE ROLE outsider LOGIN PASSWORD 'r0le-Sesame'").unwrap();
    let wrong = source.url_as("postgres", "Wr0ng-Sesame", DATABASE);
    let of_backup = |says, url: String| Failure {
        says,
        incident: "backup-failed/clinic",
        order: Order::Backup,
        secret: Some((SOURCE_SECRET, url)),
        is_key_disabled: false,
    };
    let no_secret = |failure: Failure| Failure { secret: None, ..failure };
    vec![
        of_backup("refused role `postgres`", wrong.clone()),
        of_backup("no connection to", wrong.replace(&format!(":{}/", source.port()), ":1/")),
        of_backup("does not exist", source.url("nothing_here")),
        of_backup("cannot be read", source.url_as("outsider", "r0le-Sesame", DATABASE)),
        of_backup("is not a connection", "mysql://postgres:Wr0ng-Sesame@127.0.0.1/clinic".to_owned()),
        no_secret(Failure { is_key_disabled: true, ..of_backup("disabled", String::new()) }),
        no_secret(Failure {
            incident: "backup-failed/unnamed",
            order: Order::UnknownDatabase,
            ..of_backup("`clinc`", String::new())
        }),
        Failure {
            incident: "drill-failed/clinic",
            order: Order::Drill,
            secret: Some((SCRATCH_SECRET, wrong)),
            ..of_backup("refused role `postgres`", String::new())
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_however_often_is_one_alert_and_one_incident_and_its_repair_one_resolution() {
    let mut trouble = Trouble::on(small_stage(&[]).await).await;
    assert!(!trouble.order_backup().await.failed);
    let environment = trouble.stage.environment();
    let good = [(SOURCE_SECRET, "LIFEBOAT_SOURCE_URL"), (SCRATCH_SECRET, "LIFEBOAT_SCRATCH_URL")];
    let mut on_record = failed_entries(&trouble.stage).await.len();
    for (number, failure) in failures(&trouble.stage).into_iter().enumerate() {
        let Failure { says, incident, order, secret, is_key_disabled } = failure;
        let cloud = trouble.stage.cloud();
        if let Some((name, value)) = &secret {
            cloud.change_secret(name, value).await.unwrap();
        }
        disable(&trouble.stage, is_key_disabled).await;
        let repeats = if number == 0 { MANY } else { REPEATS };
        for _ in 0..repeats {
            let answer = give(&trouble.stage, order).await;
            assert!(
                answer.failed && answer.payload["errorMessage"].as_str().unwrap().contains(says),
                "{}",
                answer.payload
            );
        }
        trouble.assert_opened(incident, says).await;
        let failed = failed_entries(&trouble.stage).await;
        assert_eq!(failed.len(), on_record + repeats, "{says}: each run is on record once");
        assert!(
            failed.iter().rev().take(repeats).all(|entry| entry["detail"]["error"].as_str().unwrap().contains(says))
        );
        on_record = failed.len();

        disable(&trouble.stage, false).await;
        for (name, variable) in good {
            trouble.stage.cloud().change_secret(name, &environment[variable]).await.unwrap();
        }
        let order = if matches!(order, Order::Drill) { Order::Drill } else { Order::Backup };
        let repaired = give(&trouble.stage, order).await;
        assert!(!repaired.failed, "{}", repaired.payload);
        trouble.assert_resolved(&[incident]).await;
    }
    // Nothing was left to be told a second time.
    tokio::time::sleep(PATIENCE / 60).await;
    let looked = trouble.stage.cloud().invoke(&trouble.stage.deployment().health, &json!({})).await.unwrap();
    assert!(!looked.failed && looked.payload["sent"] == 0, "{}", looked.payload);
    trouble.assert_logs_are_clean().await;
}
