//! Backups that cannot be: each fails with one sentence and a hint, is told to bus and subscribers, and leaves no backup.

use std::time::Duration;

use lifeboat_local::{
    DATABASE, OFFSITE_REGION, PRIMARY_REGION, PoolMode, Pooler, PostgresOptions, PostgresServer, SCRATCH_SECRET, Stage,
};
use serde_json::json;
use tokio_postgres::NoTls;

use crate::trouble::{PATIENCE, Trouble};

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

    // The server that drills restore to has a secret, too.
    let cloud = trouble.stage.cloud();
    cloud.change_secret(SCRATCH_SECRET, "mysql://postgres:Wr0ng-Sesame@127.0.0.1/clinic").await.unwrap();
    let drill = cloud.invoke(&trouble.stage.deployment().test_restore, &json!({"database": DATABASE})).await.unwrap();
    let words = ["the secret of `the scratch server` is not a connection", "postgres://"];
    let event = trouble.assert_told_as("Restore Test Failed", &drill, &words).await;
    assert_eq!(event.detail["database"], DATABASE);

    // With the right connection nothing of all this is in the way.
    let taken = trouble.order_backup().await;
    assert!(!taken.failed, "{}", taken.payload);
    assert_eq!(trouble.manifests().await.len(), 2);
    trouble.assert_resolved(&["backup-failed/clinic"]).await;
    trouble.assert_logs_are_clean().await;
}

/// The certificate of a local server is for 127.0.0.1, so `localhost` is a wrong name for the right server.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_and_a_pooler_in_transaction_mode_are_named_with_what_to_do() {
    let mut trouble = Trouble::begin().await;
    let server = PostgresServer::start(PostgresOptions::named("tls").with_tls()).unwrap();
    server.psql("postgres", &format!("CREATE DATABASE {DATABASE}")).unwrap();
    server.psql(DATABASE, "CREATE TABLE t AS SELECT generate_series(1, 10) AS n").unwrap();
    let ca = std::fs::read_to_string(server.ca_file().unwrap()).unwrap();
    let port = server.port();
    let secret = |host: &str| {
        json!({"engine": "postgres", "host": host, "port": port, "username": "postgres", "password": server.password(),
            "dbname": DATABASE, "sslmode": "verify-full", "ca_certificate": ca})
        .to_string()
    };
    trouble.connect_as(&secret("localhost")).await;
    let words = [
        &format!("no trusted TLS connection to `localhost:{port}/clinic`"),
        "not valid for name",
        "connect by a host name that the certificate lists",
    ];
    trouble.assert_fails(&words).await;

    let pooler = Pooler::start(trouble.stage.source().unwrap(), PoolMode::Transaction).unwrap();
    trouble.connect_as(&pooler.url(DATABASE)).await;
    let words = [
        &format!("`{}/clinic` is a connection pooler in transaction mode", pooler.address()),
        "use the direct connection or the pooler's session mode",
    ];
    trouble.assert_fails(&words).await;
    drop(pooler);
    assert_eq!(trouble.manifests().await, Vec::<String>::new());

    // By the right name, and through a pooler in session mode, nothing is in the way.
    let pooler = Pooler::start(trouble.stage.source().unwrap(), PoolMode::Session).unwrap();
    for connection in [secret("127.0.0.1"), pooler.url(DATABASE)] {
        trouble.connect_as(&connection).await;
        let taken = trouble.order_backup().await;
        assert!(!taken.failed, "{}", taken.payload);
    }
    assert_eq!(trouble.manifests().await.len(), 4);
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
    let taken = trouble.order_backup().await;
    assert!(!taken.failed, "{}", taken.payload);
    assert_eq!(trouble.stage.tap().next(PATIENCE).await.unwrap().unwrap().kind, "Backup Completed");
    // It is verified at once, which would fail as well with the off-site going away meanwhile.
    assert_eq!(trouble.stage.tap().next(PATIENCE).await.unwrap().unwrap().kind, "Verification Completed");
    trouble.assert_resolved(&["backup-failed/clinic"]).await;
    remove_bucket(&trouble.stage, OFFSITE_REGION, &deployment.offsite.as_ref().unwrap().bucket).await;
    let answer = trouble.order_backup().await;
    let behind =
        ["is complete on the primary, but not yet on the off-site", "the next backup of this database copies it"];
    trouble.assert_told(&answer, &behind).await;
    assert_eq!(trouble.manifests().await.len(), 2, "both backups are on the primary");
    remove_bucket(&trouble.stage, PRIMARY_REGION, &deployment.primary_bucket).await;
    // No site is left that knows what was told: each failure is, and says that it may be told again.
    for alerts in 3..=4 {
        let answer = trouble.order_backup().await;
        let message = answer.payload["errorMessage"].as_str().unwrap();
        assert!(
            message.contains("the primary site failed") && message.contains("bucket's name and region"),
            "{message}"
        );
        let told = trouble.inbox.wait_for(alerts + 1, PATIENCE).await.unwrap();
        assert_eq!(told.len(), alerts + 1, "{told:?}");
        assert_eq!(told[alerts].attributes["type"], "backup-failed");
        assert!(told[alerts].json()["facts"]["note"].as_str().unwrap().contains("may be reported again"));
    }
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
    let trouble = Trouble::begin().await;
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
        let order = trouble.order_backup().await;
        let duplicate = trouble.invoke(&requested).await;
        migration.commit().await.unwrap();
        (order, duplicate)
    });
    drop(client);
    driving.await.unwrap().unwrap();
    assert!(!first.failed, "{}", first.payload);
    assert!(!duplicate.failed, "a duplicate is nobody's concern: {}", duplicate.payload);
    assert!(second.failed, "{}", second.payload);
    let message = second.payload["errorMessage"].as_str().unwrap();
    assert!(message.contains("lease `backup-clinic` is held by") && message.contains("wait"), "{message}");
    assert_eq!(trouble.stage.tap().next(PATIENCE).await.unwrap().unwrap().kind, "Backup Failed");

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
    // The order that was refused is over as soon as the backup is there that stood in its way.
    let told = trouble.inbox.wait_for(2, PATIENCE).await.unwrap();
    assert_eq!(told.iter().map(|alert| alert.attributes["state"].as_str()).collect::<Vec<_>>(), ["opened", "resolved"]);
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
