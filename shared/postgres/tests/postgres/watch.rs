//! The database's users outrank the backup: nobody waits for it for long.

use std::time::{Duration, Instant};

use lifeboat_model::{Response, SLICE_BLOCKS};
use lifeboat_postgres::{PostgresError, Snapshot, SnapshotOptions};

use crate::fixture::{Fixture, hasher, relation};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_waits_for_a_table_already_read_gets_it_within_seconds() {
    let fixture = Fixture::new(
        "CREATE ROLE lifeboat_watched LOGIN PASSWORD 'lifeboat_watched';
         CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT SELECT ON t TO lifeboat_watched",
    );
    // A plain role: it may ask who waits.
    let snapshot = Snapshot::take(&fixture.settings_as("lifeboat_watched"), &SnapshotOptions::default()).await.unwrap();
    let table = relation(&snapshot, "public.t").clone();
    let mut reader = snapshot.reader().await.unwrap();
    let slice = table.slices(SLICE_BLOCKS).next().unwrap();
    reader.copy_slice(&table, slice).await.unwrap().totals(&hasher()).await.unwrap();

    // Others that wait for each other are no business of ours, and neither is an index that waits and holds up nobody.
    let (client, connection) =
        tokio_postgres::connect(&fixture.server.url(&fixture.database), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    fixture.sql("CREATE TABLE other (a int); CREATE TABLE indexed (a int)");
    client.batch_execute("BEGIN; LOCK TABLE other").await.unwrap();
    let in_background = |sql: &'static str| {
        let (server, database) = (fixture.server.clone(), fixture.database.clone());
        tokio::task::spawn_blocking(move || server.psql(&database, sql).map(|_| Instant::now()))
    };
    let theirs = in_background("TRUNCATE other");
    let index = in_background("CREATE INDEX CONCURRENTLY ON indexed (a)");
    tokio::time::timeout(Duration::from_secs(9), snapshot.guard()).await.expect_err("nobody waits for us");
    client.batch_execute("COMMIT").await.unwrap();
    theirs.await.unwrap().unwrap();

    let began = Instant::now();
    let migration = in_background("ALTER TABLE t ADD COLUMN b text");
    let error = tokio::time::timeout(Duration::from_secs(20), snapshot.guard()).await.unwrap();
    assert!(matches!(&error, PostgresError::GaveWay { relation } if relation == "public.t"), "{error:?}");
    assert_eq!(error.advice().response, Response::Retry);
    assert!(!migration.is_finished() && began.elapsed() >= Duration::from_secs(5), "not at the first moment");
    drop(reader);
    snapshot.close().await.unwrap();
    let ended = migration.await.unwrap().unwrap();
    assert!(ended - began < Duration::from_secs(20), "{:?}", ended - began);
    index.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_snapshot_that_holds_back_the_cleanup_for_too_long_ends() {
    let fixture = Fixture::new("CREATE TABLE t (a int)");
    let options = SnapshotOptions { age_limit: Duration::from_millis(2500), ..SnapshotOptions::default() };
    let snapshot = Snapshot::take(&fixture.settings(), &options).await.unwrap();
    let error = tokio::time::timeout(Duration::from_secs(10), snapshot.guard()).await.unwrap();
    assert!(matches!(error, PostgresError::SnapshotTooOld { .. }), "{error:?}");
    assert_eq!(SnapshotOptions::default().age_limit, Duration::from_secs(6 * 3600));
}
