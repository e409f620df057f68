//! Backups that cannot be: each fails with one sentence and a hint, is told to bus and subscribers, and leaves no backup.

use std::time::Duration;

use lifeboat_local::{AlertInbox, DATABASE, OFFSITE_REGION, PRIMARY_REGION, SOURCE_SECRET, Stage};
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::bench::small_stage;

/// A delivery takes milliseconds; a backup of the small clinic, a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every password that a connection of these tests has, right or wrong.
const PASSWORDS: [&str; 3] = ["lifeboat-local", "Wr0ng-Sesame", "r0le-Sesame"];

/// A stage on which backups fail.
struct Trouble {
    stage: Stage,
    /// What someone gets who wants to be woken for nothing less.
    inbox: AlertInbox,
    alerts: usize,
}

impl Trouble {
    async fn begin() -> Self {
        let stage = small_stage(&[]).await;
        let inbox =
            AlertInbox::open(&stage.cloud().sns().await, &stage.deployment().topic_arn, &["critical"]).await.unwrap();
        Self { stage, inbox, alerts: 0 }
    }

    async fn connect_as(&self, url: &str) {
        self.stage.cloud().change_secret(SOURCE_SECRET, url).await.unwrap();
    }

    async fn invoke(&self, input: &Value) -> lifeboat_local::Invocation {
        self.stage.cloud().invoke(&self.stage.deployment().backup, input).await.unwrap()
    }

    /// Orders a backup, which must fail with these words, and be told with the same words everywhere.
    async fn assert_fails(&mut self, words: &[&str]) {
        let before = self.manifests().await;
        let answer = self.invoke(&json!({"database": DATABASE})).await;
        self.assert_told(&answer, words).await;
        assert_eq!(self.manifests().await, before, "{words:?}");
    }

    async fn assert_told(&mut self, answer: &lifeboat_local::Invocation, words: &[&str]) {
        assert!(answer.failed, "{words:?}: {}", answer.payload);
        let message = answer.payload["errorMessage"].as_str().unwrap();
        assert_is_a_sentence_and_a_hint(message, words);

        let event =
            self.stage.tap().next(PATIENCE).await.unwrap().unwrap_or_else(|| panic!("no event came: {message}"));
        assert_eq!(event.kind, "Backup Failed", "{}", event.detail);
        let [error, hint] = ["error", "hint"].map(|name| event.detail[name].as_str().unwrap());
        assert_eq!(message, format!("{error}. {hint}."));
        self.alerts += 1;
        let alerts = self.inbox.wait_for(self.alerts, PATIENCE).await.unwrap();
        let alert = alerts.last().unwrap();
        assert_eq!(
            ["severity", "type", "database"].map(|name| alert.attributes[name].as_str()),
            ["critical", "backup-failed", DATABASE]
        );
        assert!(alert.message.contains(error) && alert.message.contains(hint), "{}", alert.message);
        assert_eq!(alerts.len(), self.alerts, "{alerts:?}");
        assert_no_password(&format!("{}{alerts:?}", event.detail));
    }

    /// The manifests on the sites that are there.
    async fn manifests(&self) -> Vec<String> {
        let deployment = self.stage.deployment();
        let offsite = &deployment.offsite.as_ref().unwrap().0;
        let mut all = Vec::new();
        for (region, bucket) in [(PRIMARY_REGION, &deployment.primary_bucket), (OFFSITE_REGION, offsite)] {
            let s3 = self.stage.cloud().s3(region).await;
            let Ok(listed) = s3.list_objects_v2().bucket(bucket).prefix("backups/").send().await else { continue };
            let keys = listed.contents().iter().filter_map(|object| object.key());
            all.extend(keys.filter(|key| key.ends_with("manifest.json")).map(|key| format!("{bucket}/{key}")));
        }
        all
    }

    /// No function, nor the cloud around it, has written a password.
    async fn assert_logs_are_clean(&self) {
        let deployment = self.stage.deployment();
        for function in [&deployment.backup, &deployment.verify, &deployment.test_restore] {
            assert_no_password(&self.stage.cloud().log_lines(function).await.unwrap().join("\n"));
        }
        let lines = self.stage.cloud().log_lines(&deployment.backup).await.unwrap();
        assert!(lines.iter().any(|line| line.contains("the invocation failed")), "the log has nothing to look at");
        assert_no_password(&self.stage.cloud().log().unwrap());
    }
}

fn assert_is_a_sentence_and_a_hint(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.ends_with('.') && !message.contains(".."), "{message}");
    assert!(message.len() < 600, "nobody reads this to its end: {message}");
    assert_no_password(message);
}

fn assert_no_password(text: &str) {
    for password in PASSWORDS {
        let place = text.find(password);
        let around = place.map(|at| text[..at].chars().rev().take(200).collect::<String>());
        assert!(place.is_none(), "a password stands behind (backwards): {around:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_read_is_named_with_what_to_do() {
    let mut trouble = Trouble::begin().await;
    let source = trouble.stage.source().unwrap();
    let port = source.port();
    source
        .psql(
            DATABASE,
            "CREATE ROLE outsider LOGIN PASSWORD 'r0le-Sesame';
             CREATE ROLE reader LOGIN PASSWORD 'r0le-Sesame'; GRANT pg_read_all_data TO reader;",
        )
        .unwrap();
    let [wrong, outsider, reader] =
        [("postgres", "Wr0ng-Sesame"), ("outsider", "r0le-Sesame"), ("reader", "r0le-Sesame")]
            .map(|(user, password)| source.url_as(user, password, DATABASE));
    let nowhere = wrong.replace(&format!(":{port}/"), ":1/");
    let no_database = source.url("nothing_here");

    trouble.connect_as(&wrong).await;
    trouble
        .assert_fails(&[&format!("`127.0.0.1:{port}/clinic` refused role `postgres`"), "check user, password"])
        .await;
    trouble.connect_as(&nowhere).await;
    trouble.assert_fails(&["no connection to `127.0.0.1:1/clinic`", "check host and port"]).await;
    trouble.connect_as(&no_database).await;
    trouble.assert_fails(&["nothing_here", "does not exist", "check "]).await;
    trouble.connect_as(&outsider).await;
    trouble.assert_fails(&["`public.", "cannot be read", "grant `pg_read_all_data` and BYPASSRLS"]).await;
    trouble.connect_as(&reader).await;
    trouble.assert_fails(&["`public.patients` cannot be read", "row", "BYPASSRLS"]).await;
    trouble.connect_as("mysql://postgres:Wr0ng-Sesame@127.0.0.1/clinic").await;
    trouble.assert_fails(&["the secret of `clinic` is not a connection", "postgres://"]).await;
    trouble.connect_as(&trouble.stage.source().unwrap().url(DATABASE)).await;
    assert_eq!(trouble.manifests().await, Vec::<String>::new());

    // With the right connection nothing of all this is in the way.
    let taken = trouble.invoke(&json!({"database": DATABASE})).await;
    assert!(!taken.failed, "{}", taken.payload);
    assert_eq!(trouble.manifests().await.len(), 2);
    trouble.assert_logs_are_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_cannot_be_written_is_named_with_what_to_do() {
    let mut trouble = Trouble::begin().await;
    let deployment = trouble.stage.deployment().clone();
    let kms = trouble.stage.cloud().kms(PRIMARY_REGION).await;
    let key = &deployment.primary_key_arn;

    kms.disable_key().key_id(key).send().await.unwrap();
    trouble.assert_fails(&["disabled", "nable the key"]).await;
    kms.enable_key().key_id(key).send().await.unwrap();

    // With the off-site gone, the first backup of all is kept on the primary, and said to be behind.
    let taken = trouble.invoke(&json!({"database": DATABASE})).await;
    assert!(!taken.failed, "{}", taken.payload);
    assert_eq!(trouble.stage.tap().next(PATIENCE).await.unwrap().unwrap().kind, "Backup Completed");
    // It is verified at once, which would fail as well with the off-site going away meanwhile.
    assert_eq!(trouble.stage.tap().next(PATIENCE).await.unwrap().unwrap().kind, "Verification Completed");
    remove_bucket(&trouble.stage, OFFSITE_REGION, &deployment.offsite.as_ref().unwrap().0).await;
    let answer = trouble.invoke(&json!({"database": DATABASE})).await;
    let behind =
        ["is complete on the primary and not yet on the off-site", "the next backup of this database brings it over"];
    trouble.assert_told(&answer, &behind).await;
    assert_eq!(trouble.manifests().await.len(), 2, "both backups are on the primary");
    remove_bucket(&trouble.stage, PRIMARY_REGION, &deployment.primary_bucket).await;
    trouble.assert_fails(&["the primary site failed", "bucket's name and region"]).await;
    trouble.assert_logs_are_clean().await;
}

/// Removes a bucket with all versions of all objects: somebody with every right, and no mercy.
async fn remove_bucket(stage: &Stage, region: &'static str, bucket: &str) {
    let s3 = stage.cloud().s3(region).await;
    let listed = s3.list_object_versions().bucket(bucket).send().await.unwrap();
    let versions = listed.versions().iter().map(|version| (version.key(), version.version_id()));
    let markers = listed.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
    for (key, version) in versions.chain(markers) {
        let delete = s3.delete_object().bucket(bucket).key(key.unwrap()).version_id(version.unwrap());
        delete.bypass_governance_retention(true).send().await.unwrap();
    }
    s3.delete_bucket().bucket(bucket).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_runs_one_is_refused_and_a_request_delivered_twice_is_carried_out_once() {
    let mut trouble = Trouble::begin().await;
    let requested = json!({"source": "lifeboat", "detail-type": "Backup Requested", "detail": {
        "database": DATABASE, "requested_at": jiff::Timestamp::now().to_string(), "trigger": "schedule"}});

    // A migration holds a table, so the first run waits with its lease.
    let (mut client, connection) =
        tokio_postgres::connect(&trouble.stage.source().unwrap().url(DATABASE), NoTls).await.unwrap();
    let driving = tokio::spawn(connection);
    let migration = client.transaction().await.unwrap();
    migration.batch_execute("LOCK TABLE patients IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (first, (second, duplicate)) = tokio::join!(trouble.invoke(&requested), async {
        wait_for_lease(&trouble.stage).await;
        let order = trouble.invoke(&json!({"database": DATABASE})).await;
        let duplicate = trouble.invoke(&requested).await;
        migration.commit().await.unwrap();
        (order, duplicate)
    });
    drop(client);
    driving.await.unwrap().unwrap();
    assert!(!first.failed, "{}", first.payload);
    assert!(!duplicate.failed, "a duplicate is nobody's concern: {}", duplicate.payload);
    trouble.assert_told(&second, &["lease `backup-clinic` is held by", "wait"]).await;

    let completed = trouble.stage.tap().next(PATIENCE).await.unwrap().unwrap();
    assert_eq!(
        (completed.kind.as_str(), &completed.detail["backup_id"]),
        ("Backup Completed", &first.payload["backup_id"])
    );
    let manifests = trouble.manifests().await;
    assert_eq!(manifests.len(), 2, "{manifests:?}");

    // Once more, at the same time twice and later.
    let (again, and_again) = tokio::join!(trouble.invoke(&requested), trouble.invoke(&requested));
    for answer in [again, and_again, trouble.invoke(&requested).await] {
        assert!(!answer.failed, "{}", answer.payload);
        assert_eq!(answer.payload["backup_id"], first.payload["backup_id"]);
    }
    assert_eq!(trouble.manifests().await, manifests);
    let told = trouble.inbox.alerts();
    assert_eq!(told.len(), 1, "{told:?}");
    trouble.assert_logs_are_clean().await;
}

/// Until the first run has its lease.
async fn wait_for_lease(stage: &Stage) {
    let s3 = stage.cloud().s3(PRIMARY_REGION).await;
    let bucket = &stage.deployment().primary_bucket;
    let lease = async {
        while s3.get_object().bucket(bucket).key("leases/backup-clinic.json").send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, lease).await.unwrap();
}
