//! What people are told: one alert for each end of a run, with the words and attributes that subscribers filter by.

use std::time::Duration;

use lifeboat_local::{
    AlertInbox, DATABASE, Invocation, PRIMARY_REGION, ReceivedAlert, Stage, TappedEvent, Template, root,
};
use serde_json::{Value, json};

use crate::bench::small_stage;

/// A delivery takes milliseconds; a function that an event starts, a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// An alert's severity, type and database.
fn attributes(alert: &ReceivedAlert) -> [&str; 3] {
    ["severity", "type", "database"].map(|name| alert.attributes[name].as_str())
}

/// The names of an event's fields, in alphabetical order.
fn fields(event: &TappedEvent) -> Vec<&str> {
    let mut names: Vec<&str> = event.detail.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// Subscribed as the template subscribes an e-mail, an SMS and an HTTPS endpoint, with the severities that are the parameters' defaults.
async fn as_subscribed(stage: &Stage) -> [AlertInbox; 3] {
    let template = Template::read(&root().join("template.yaml")).unwrap();
    let template: Value = serde_json::from_str(&template.to_json()).unwrap();
    let mut inboxes = Vec::new();
    for name in ["Email", "Sms", "Https"] {
        let mut filter =
            template["Resources"][format!("Alert{name}Subscription")]["Properties"]["FilterPolicy"].clone();
        let parameter = filter["severity"]["Ref"].as_str().unwrap();
        let severities = template["Parameters"][parameter]["Default"].as_str().unwrap();
        filter["severity"] = severities.split(',').collect();
        let topic = &stage.deployment().topic_arn;
        inboxes.push(AlertInbox::filtered(&stage.cloud().sns().await, topic, &filter).await.unwrap());
    }
    inboxes.try_into().unwrap()
}

async fn order_backup(stage: &Stage) -> Invocation {
    stage.cloud().invoke(&stage.deployment().backup, &json!({"database": DATABASE})).await.unwrap()
}

/// The next event, which must be of this kind.
async fn event(stage: &Stage, kind: &str) -> TappedEvent {
    let event = stage.tap().next(PATIENCE).await.unwrap().unwrap_or_else(|| panic!("no event `{kind}` came"));
    assert_eq!(event.kind, kind, "{}", event.detail);
    event
}

/// Fields of the event `Backup Completed`.
const COMPLETED_FIELDS: [&str; 10] = [
    "backup_id",
    "database",
    "new_chunks",
    "raw_bytes",
    "relations",
    "reused_chunks",
    "rows",
    "seconds",
    "sites",
    "stored_bytes",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_end_of_a_run_is_one_event_and_one_alert_that_says_what_happened_and_what_to_do() {
    let stage = small_stage(&[]).await;
    let sns = stage.cloud().sns().await;
    let topic = &stage.deployment().topic_arn;
    let everything = AlertInbox::open(&sns, topic, &[]).await.unwrap();
    let critical = AlertInbox::open(&sns, topic, &["critical"]).await.unwrap();
    let [email, sms, pager] = as_subscribed(&stage).await;

    // A backup, and the verification that its event starts.
    let taken = order_backup(&stage).await;
    assert!(!taken.failed, "{}", taken.payload);
    let backup_id = taken.payload["backup_id"].as_str().unwrap();
    let completed = event(&stage, "Backup Completed").await;
    assert_eq!(fields(&completed), COMPLETED_FIELDS);
    assert_eq!(completed.detail["backup_id"], backup_id);
    assert_eq!(
        (&completed.detail["rows"], &completed.detail["sites"]),
        (&json!(25_000), &json!(["primary", "offsite"]))
    );
    let verified = event(&stage, "Verification Completed").await;
    assert_eq!(fields(&verified), ["backup_id", "database", "healed", "objects", "read_bytes", "scope"]);
    let told = everything.wait_for(2, PATIENCE).await.unwrap();
    assert_eq!(attributes(&told[0]), ["info", "backup-completed", DATABASE]);
    assert_eq!(told[0].subject, "[info] Backup completed: clinic");
    assert_eq!((&told[0].json()["facts"]["rows"], &told[0].json()["state"]), (&json!("25000"), &json!("notice")));
    assert_eq!(attributes(&told[1]), ["info", "verification-completed", DATABASE]);

    // One byte of a stored chunk turns; the next verification puts it right, and says so.
    turn_a_byte(&stage).await;
    let order = json!({"database": DATABASE, "scope": "all"});
    let verified = stage.cloud().invoke(&stage.deployment().verify, &order).await.unwrap();
    assert!(!verified.failed, "{}", verified.payload);
    assert_eq!(event(&stage, "Verification Completed").await.detail["healed"], 1);
    let told = everything.wait_for(3, PATIENCE).await.unwrap();
    assert_eq!(attributes(&told[2]), ["warning", "verification-completed", DATABASE]);
    assert_eq!(told[2].subject, "[warning] Verification completed: clinic");
    let healed = told[2].json();
    assert!(healed["what"].as_str().unwrap().starts_with("1 damaged object(s) were replaced"), "{healed}");
    assert!(healed["hint"].as_str().unwrap().starts_with("read the report under findings/"), "{healed}");

    // The source takes no connection.
    let source = stage.source().unwrap();
    source.psql("postgres", &format!("ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false")).unwrap();
    let refused = order_backup(&stage).await;
    assert!(refused.failed, "{}", refused.payload);
    let failed = event(&stage, "Backup Failed").await;
    assert_eq!(fields(&failed), ["database", "error", "hint"]);
    let told = everything.wait_for(4, PATIENCE).await.unwrap();
    assert_eq!(attributes(&told[3]), ["critical", "backup-failed", DATABASE]);
    assert_eq!(told[3].subject, "[critical] Backup failed: clinic");
    let opened = told[3].json();
    assert_eq!((&opened["what"], &opened["hint"]), (&failed.detail["error"], &failed.detail["hint"]));
    assert!(opened["what"].as_str().unwrap().contains("not currently accepting connections"), "{opened}");
    assert_eq!((&opened["incident"], &opened["state"]), (&json!("backup-failed/clinic"), &json!("opened")));

    // A drill is told as well, and as the last run it shows that nothing came twice.
    let drilled = stage.cloud().invoke(&stage.deployment().test_restore, &json!({"database": DATABASE})).await.unwrap();
    assert!(!drilled.failed, "{}", drilled.payload);
    let equal = event(&stage, "Restore Test Completed").await;
    assert_eq!(
        fields(&equal),
        ["backup_id", "database", "equal", "left_out", "restore_outcome", "rows", "seconds", "site", "tables"]
    );
    let told = everything.wait_for(5, PATIENCE).await.unwrap();
    assert_eq!(attributes(&told[4]), ["info", "drill-completed", DATABASE]);
    assert_eq!(told.len(), 5, "{told:?}");
    assert_eq!(critical.wait_for(1, PATIENCE).await.unwrap(), [told[3].clone()]);
    for inbox in [email, pager] {
        assert_eq!(inbox.wait_for(2, PATIENCE).await.unwrap(), told[2..=3]);
    }
    assert_eq!(sms.wait_for(1, PATIENCE).await.unwrap(), told[3..=3]);
}

/// Overwrites the last byte of the first chunk on the primary site.
async fn turn_a_byte(stage: &Stage) {
    let s3 = stage.cloud().s3(PRIMARY_REGION).await;
    let bucket = &stage.deployment().primary_bucket;
    let listed = s3.list_objects_v2().bucket(bucket).prefix("chunks/").send().await.unwrap();
    let key = listed.contents()[0].key().unwrap();
    let stored = s3.get_object().bucket(bucket).key(key).send().await.unwrap();
    let mut bytes = stored.body.collect().await.unwrap().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    s3.put_object().bucket(bucket).key(key).body(bytes.into()).send().await.unwrap();
}

#[test]
fn the_samples_of_events_on_the_bus_have_the_fields_that_are_sent() {
    for (file, fields) in [
        ("verify-backup-completed.json", 10),
        ("test-restore-verification-completed.json", 6),
        ("backup-requested.json", 3),
    ] {
        let sample = std::fs::read(lifeboat_local::root().join("events").join(file)).unwrap();
        let sample: Value = serde_json::from_slice(&sample).unwrap();
        assert_eq!(sample["detail"].as_object().unwrap().len(), fields, "{file}");
    }
}
