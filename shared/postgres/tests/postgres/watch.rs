//! The database's users outrank the backup: nobody waits for it for long.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use lifeboat_model::{LeftOut, Response, SLICE_BLOCKS};
use lifeboat_postgres::{ClientTools, PostgresError, Snapshot, SnapshotOptions};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_waits_for_pg_dump_gets_its_table_within_seconds() {
    let fixture = Fixture::new("CREATE TABLE kept (a int); CREATE TABLE staging (a int)");
    let options = SnapshotOptions {
        left_out: vec![LeftOut { schema: "public".into(), name: "staging".into(), reason: "rebuilt".into() }],
        lock_wait_limit: Duration::from_secs(1),
        ..SnapshotOptions::default()
    };
    let snapshot = Snapshot::take(&fixture.settings(), &options).await.unwrap();
    // A `pg_dump` that has many tables to describe, after it has locked them all.
    let folder = tempfile::tempdir().unwrap();
    let real = fixture.server.bin_dir();
    let lock = "-c 'BEGIN' -c 'LOCK TABLE staging IN ACCESS SHARE MODE' -c '\\! touch \"'$0.locked'\"; sleep 30'";
    let slow = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec \"{0}/pg_dump\" --version\nexec \"{0}/psql\" -X -q {lock}\n",
        real.display()
    );
    let (program, locked) = (folder.path().join("pg_dump"), folder.path().join("pg_dump.locked"));
    std::fs::write(&program, slow).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    for tool in ["pg_dumpall", "pg_restore"] {
        std::os::unix::fs::symlink(real.join(tool), folder.path().join(tool)).unwrap();
    }
    let tools = ClientTools::find(Some(folder.path())).await.unwrap();
    let migration = {
        let (server, database) = (fixture.server.clone(), fixture.database.clone());
        tokio::task::spawn_blocking(move || {
            while !locked.exists() {
                std::thread::sleep(Duration::from_millis(20));
            }
            let began = Instant::now();
            server.psql(&database, "ALTER TABLE staging ADD b int").map(|_| began.elapsed())
        })
    };
    let archive = folder.path().join("archive");
    let error = tokio::select! {
        dumped = snapshot.schema_archive(&tools, &archive) => panic!("{dumped:?}"),
        error = snapshot.guard() => error,
    };
    assert!(matches!(&error, PostgresError::GaveWay { relation } if relation == "public.staging"), "{error:?}");
    snapshot.close().await.unwrap();
    let waited = migration.await.unwrap().unwrap();
    assert!(waited < Duration::from_secs(15), "{waited:?}");
}
