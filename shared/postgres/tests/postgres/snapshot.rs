//! What a snapshot notices, holds and refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lifeboat_model::{LeftOut, RelationKind, Response, SLICE_BLOCKS};
use lifeboat_postgres::{Disposition, PostgresError, Snapshot, SnapshotOptions};

use crate::fixture::{Fixture, copy_all, relation};

/// A transaction in a session of its own that is held open.
struct Holder(tokio_postgres::Client);

impl Holder {
    async fn begin(fixture: &Fixture, sql: &str) -> Self {
        let url = fixture.server.url(&fixture.database);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
        Self(client)
    }

    /// Commits once somebody waits for a lock in the fixture's database.
    async fn commit_when_waited_for(&self, fixture: &Fixture) {
        const WAITING: &str = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE NOT l.granted AND d.datname = current_database()";
        while fixture.sql(WAITING) == "0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.0.batch_execute("COMMIT").await.unwrap();
    }
}

/// Changes `t` in a transaction that began before the locks and commits once they wait for it, and gives the snapshot.
async fn snapshot_around(change: &str) -> (Fixture, Snapshot) {
    let fixture =
        Fixture::new("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000); CREATE TABLE z (a int);");
    let holder = Holder::begin(&fixture, change).await;
    let ((), snapshot) = tokio::join!(holder.commit_when_waited_for(&fixture), fixture.snapshot());
    (fixture, snapshot)
}

#[tokio::test]
async fn a_truncate_while_the_locks_are_taken_never_gives_a_table_that_looks_empty_to_an_older_snapshot() {
    let (fixture, snapshot) = snapshot_around("TRUNCATE t; INSERT INTO t VALUES (1), (2)").await;
    let copied = copy_all(&snapshot, 1 << 20).await;
    assert_eq!(copied[0].rows, 2, "the rows after the truncate, neither those before nor none");
    let now: u32 = fixture.sql("SELECT relfilenode FROM pg_class WHERE relname = 't'").parse().unwrap();
    assert_eq!(relation(&snapshot, "public.t").relfilenode, now);
}

#[tokio::test]
async fn a_rewriting_alter_table_a_rename_and_a_drop_while_the_locks_are_taken_are_all_in_the_snapshot() {
    let (_fixture, snapshot) =
        snapshot_around("ALTER TABLE t ALTER a TYPE bigint, ADD b text DEFAULT random()::text").await;
    assert_eq!(relation(&snapshot, "public.t").columns, ["a", "b"]);
    assert_eq!(copy_all(&snapshot, 1 << 20).await[0].rows, 1000);

    let (_fixture, snapshot) = snapshot_around("ALTER TABLE t RENAME TO renamed").await;
    assert!(snapshot.relations().iter().all(|relation| relation.name.name != "t"));
    assert_eq!(copy_all(&snapshot, 1 << 20).await[0].rows, 1000);

    let (_fixture, snapshot) = snapshot_around("DROP TABLE t").await;
    assert_eq!(snapshot.relations().len(), 1);
}

#[tokio::test]
async fn columns_that_change_without_a_rewrite_while_the_locks_are_taken_are_in_the_snapshot() {
    // An older snapshot reads the new column of an old row as NULL.
    let (_fixture, snapshot) = snapshot_around("ALTER TABLE t DROP a, ADD a int; UPDATE t SET a = 7").await;
    assert_eq!(relation(&snapshot, "public.t").columns, ["a"]);
    let copied = &copy_all(&snapshot, 1 << 20).await[0];
    assert_eq!(copied.rows, 1000);
    let null = (-1_i32).to_be_bytes();
    assert!(copied.chunks.iter().all(|chunk| !chunk.windows(null.len()).any(|bytes| bytes == null)));

    let (_fixture, snapshot) = snapshot_around("ALTER TABLE t RENAME a TO b").await;
    assert_eq!(relation(&snapshot, "public.t").columns, ["b"]);
    let (_fixture, snapshot) = snapshot_around("ALTER TABLE t ADD b int DEFAULT 5").await;
    assert_eq!(relation(&snapshot, "public.t").columns, ["a", "b"]);
    assert_eq!(copy_all(&snapshot, 1 << 20).await[0].rows, 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_truncated_or_made_anew_all_the_time_is_held_by_the_first_snapshot() {
    let fixture = Fixture::new("CREATE TABLE a (i int); CREATE TABLE t (a int); CREATE TABLE u (a int)");
    for change in ["TRUNCATE t; INSERT INTO t VALUES (1), (2)", "DROP TABLE u; CREATE TABLE u AS SELECT 1 AS a"] {
        let writer = Arc::new(Holder::begin(&fixture, "COMMIT").await);
        let (stop, writing) = (Arc::new(AtomicBool::new(false)), Arc::clone(&writer));
        let stopped = Arc::clone(&stop);
        let changes = tokio::spawn(async move {
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed) {
                writing.0.batch_execute(change).await.unwrap();
                count += 1;
            }
            count
        });
        for _ in 0..10 {
            let snapshot = fixture.snapshot().await;
            for relation in snapshot.relations().iter().filter(|relation| relation.disposition == Disposition::Copy) {
                let now = fixture.sql(&format!("SELECT pg_relation_filenode('{}')", relation.name));
                assert_eq!(relation.relfilenode.to_string(), now, "{change}");
            }
            snapshot.close().await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(changes.await.unwrap() >= 10, "{change}: nothing changed");
    }
}

#[tokio::test]
async fn a_table_whose_rows_are_left_out_is_locked_no_longer_than_its_definition_is_read() {
    let fixture = Fixture::new(
        "CREATE TABLE kept (i int); INSERT INTO kept SELECT generate_series(1, 50000);
         CREATE TABLE log (i serial, line text); INSERT INTO log (line) VALUES ('one'), ('two');
         CREATE VIEW lines AS SELECT line FROM log; CREATE TABLE part (i int) PARTITION BY LIST (i);
         CREATE TABLE part_1 PARTITION OF part DEFAULT",
    );
    let left_out = |name: &str| LeftOut { schema: "public".into(), name: name.into(), reason: "kept elsewhere".into() };
    let options = SnapshotOptions { left_out: vec![left_out("log"), left_out("part")], ..SnapshotOptions::default() };
    let snapshot = Snapshot::take(&fixture.settings(), &options).await.unwrap();
    let locked = || {
        let sql = "SELECT string_agg(DISTINCT c.relname, ' ' ORDER BY c.relname) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                   WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND c.oid >= 16384";
        fixture.sql(sql)
    };
    assert_eq!(locked(), "kept", "before the schema is dumped");
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("schema");
    snapshot.schema_archive(&fixture.tools().await, &archive).await.unwrap();
    let inventory = snapshot.inventory().await.unwrap();
    assert!(inventory.objects.iter().any(|object| object.identity == "public.log"));
    let earlier = snapshot.sequences(None).await.unwrap();
    assert!(earlier.sql.contains("public.log_i_seq', 2, true"), "{}", earlier.sql);

    let kept = relation(&snapshot, "public.kept").clone();
    let mut reader = snapshot.reader().await.unwrap();
    let rows = reader.copy_slice(&kept, kept.slices(SLICE_BLOCKS).next().unwrap()).await.unwrap();
    assert_eq!(locked(), "kept", "while rows are copied");
    fixture
        .sql("SET lock_timeout = 1; TRUNCATE log RESTART IDENTITY; ALTER TABLE part ADD j int; DROP TABLE log CASCADE");
    assert_eq!(rows.totals(&crate::fixture::hasher()).await.unwrap().rows, 50_000);
    // The sequence went with its table; the archive still has both.
    assert_eq!(snapshot.sequences(Some(&earlier)).await.unwrap(), earlier);
    let error = snapshot.sequences(None).await.unwrap_err();
    let is_named = |error: &PostgresError| matches!(error, PostgresError::RewrittenDuringSnapshot { relation } if relation == "public.log_i_seq");
    assert!(is_named(&error), "{error:?}");
    // An inventory of now would not be that of the archive.
    let error = snapshot.inventory().await.unwrap_err();
    assert!(matches!(error, PostgresError::RewrittenDuringSnapshot { .. }), "{error:?}");
    snapshot.close().await.unwrap();
}

#[tokio::test]
async fn a_table_that_stays_locked_is_named_and_worth_another_try_later() {
    let fixture = Fixture::new("CREATE TABLE free (a int); CREATE TABLE held (a int)");
    let _holder = Holder::begin(&fixture, "LOCK TABLE held IN ACCESS EXCLUSIVE MODE").await;
    let options = SnapshotOptions { lock_attempts: 1, ..SnapshotOptions::default() };
    let error = Snapshot::take(&fixture.settings(), &options).await.unwrap_err();
    assert!(matches!(&error, PostgresError::LockTimeout { relation } if relation == "public.held"), "{error:?}");
    assert_eq!(error.advice().response, Response::Retry);
}

#[tokio::test]
async fn every_relation_has_a_disposition_and_one_hidden_by_row_security_is_unreadable_and_never_empty() {
    let fixture = Fixture::new(
        "CREATE ROLE lifeboat_plain LOGIN PASSWORD 'lifeboat_plain';
         CREATE TABLE open (a int); INSERT INTO open VALUES (1); CREATE TABLE closed (a int);
         CREATE TABLE hidden (a int); INSERT INTO hidden VALUES (1); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
         CREATE SCHEMA locked; CREATE TABLE locked.t (a int);
         CREATE TABLE part (a int) PARTITION BY LIST (a); CREATE TABLE part_1 PARTITION OF part DEFAULT;
         CREATE VIEW v AS TABLE open; CREATE MATERIALIZED VIEW m AS TABLE open; CREATE SEQUENCE s; CREATE SEQUENCE s_closed;
         CREATE EXTENSION pg_stat_statements; CREATE EXTENSION postgres_fdw; CREATE SERVER f FOREIGN DATA WRAPPER postgres_fdw;
         CREATE FOREIGN TABLE f (a int) SERVER f;
         GRANT SELECT ON open, hidden, part, part_1, v, m, s, f, locked.t TO lifeboat_plain;",
    );
    let settings = fixture.settings_as("lifeboat_plain");
    let snapshot = Snapshot::take(&settings, &SnapshotOptions::default()).await.unwrap();
    let of = |name: &str| relation(&snapshot, name).disposition.clone();
    assert_eq!(of("public.open"), Disposition::Copy);
    assert_eq!(of("public.part_1"), Disposition::Copy);
    assert_eq!(of("public.part"), Disposition::Definition);
    assert_eq!(of("public.v"), Disposition::Definition);
    assert_eq!(of("public.f"), Disposition::Definition);
    assert_eq!(of("public.m"), Disposition::Rebuilt);
    assert_eq!(of("public.s"), Disposition::Carried);
    assert!(
        matches!(of("public.pg_stat_statements"), Disposition::LeftOut { rule } if rule.contains("`pg_stat_statements`"))
    );
    for (name, why) in [
        ("public.hidden", "row level security"),
        ("public.closed", "SELECT"),
        ("public.s_closed", "SELECT"),
        ("locked.t", "USAGE"),
    ] {
        assert!(matches!(of(name), Disposition::Unreadable { reason } if reason.contains(why)), "{name}");
    }
    // Reading it in spite of that is refused, here and by the server.
    let hidden = relation(&snapshot, "public.hidden").clone();
    let slice = hidden.slices(SLICE_BLOCKS).next().unwrap();
    let mut reader = snapshot.reader().await.unwrap();
    assert!(matches!(reader.copy_slice(&hidden, slice).await, Err(PostgresError::Unreadable { .. })));
    let mut insisted = hidden;
    (insisted.disposition, insisted.columns) = (Disposition::Copy, vec!["a".to_owned()]);
    let refused = reader.copy_slice(&insisted, slice).await.map(|_| ());
    assert!(matches!(refused, Err(PostgresError::Query { .. })), "{refused:?}");

    // The archive and the inventory leave out the same things, so that a drill can still compare them.
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("schema");
    snapshot.schema_archive(&fixture.tools().await, &archive).await.unwrap();
    let inventory = snapshot.inventory().await.unwrap();
    let names: Vec<&str> = inventory.objects.iter().map(|object| object.identity.as_str()).collect();
    assert!(names.contains(&"public.hidden") && !names.contains(&"public.closed"), "{names:?}");

    // The superuser sees everything, whatever the policies say.
    let snapshot = fixture.snapshot().await;
    let kinds = |kind| snapshot.relations().iter().filter(|relation| relation.kind == kind).count();
    assert_eq!((kinds(RelationKind::Table), kinds(RelationKind::ForeignTable)), (5, 1));
    assert!(snapshot.relations().iter().all(|r| !matches!(r.disposition, Disposition::Unreadable { .. })));
}

#[tokio::test]
async fn the_source_tells_server_encoding_and_moment() {
    let fixture = Fixture::new("CREATE TABLE t (a int)");
    let snapshot = fixture.snapshot().await;
    let source = snapshot.source();
    assert_eq!((source.datname.as_str(), source.encoding.as_str()), (fixture.database.as_str(), "UTF8"));
    assert!((140_000..190_000).contains(&source.server_version_num));
    assert!(source.system_identifier.is_some() && source.timeline == Some(1) && source.lsn.is_some());
    assert_eq!(source.snapshot.split(':').count(), 3);
    assert!(jiff::Timestamp::now().duration_since(source.snapshot_at).as_secs().abs() < 60);
}

#[tokio::test]
async fn a_reader_outlives_its_snapshot_and_none_joins_after_it() {
    let fixture = Fixture::new("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    let snapshot = fixture.snapshot().await;
    let mut reader = snapshot.reader().await.unwrap();
    let table = relation(&snapshot, "public.t").clone();
    fixture.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_control%' AND pid <> pg_backend_pid()");
    fixture.sql("INSERT INTO t VALUES (2)");
    let slice = table.slices(SLICE_BLOCKS).next().unwrap();
    let totals = reader.copy_slice(&table, slice).await.unwrap().totals(&crate::fixture::hasher()).await.unwrap();
    assert_eq!(totals.rows, 1);
    let leader_ended = snapshot.reader().await.is_err();
    let close = snapshot.close().await;
    assert_eq!(leader_ended, close.is_err(), "{close:?}");
}

#[tokio::test]
async fn a_renamed_enum_label_changes_the_columns_hash_although_no_row_changed() {
    let fixture =
        Fixture::new("CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE t (m mood[]); CREATE TABLE u (a int)");
    let before = fixture.snapshot().await;
    let (t, u) =
        (relation(&before, "public.t").columns_hash.clone(), relation(&before, "public.u").columns_hash.clone());
    before.close().await.unwrap();
    fixture.sql("ALTER TYPE mood RENAME VALUE 'a' TO 'c'");
    let after = fixture.snapshot().await;
    assert_ne!(relation(&after, "public.t").columns_hash, t);
    assert_eq!(relation(&after, "public.u").columns_hash, u);
}

#[tokio::test]
async fn a_sequence_that_a_transaction_holds_open_has_its_earlier_value_and_ends_no_backup() {
    let fixture = Fixture::new(
        "CREATE TABLE t (a serial); INSERT INTO t SELECT FROM generate_series(1, 7);
         CREATE TABLE staging (a serial); INSERT INTO staging SELECT FROM generate_series(1, 3)",
    );
    let left_out = vec![LeftOut { schema: "public".into(), name: "staging".into(), reason: "rebuilt".into() }];
    let options = SnapshotOptions { left_out, lock_attempts: 1, ..SnapshotOptions::default() };
    let snapshot = Snapshot::take(&fixture.settings(), &options).await.unwrap();
    let earlier = snapshot.sequences(None).await.unwrap();
    assert_eq!(earlier.count, 2);
    let holder = Holder::begin(&fixture, "TRUNCATE staging RESTART IDENTITY").await;
    fixture.sql("SELECT nextval('t_a_seq')");
    let now = snapshot.sequences(Some(&earlier)).await.unwrap();
    let standing = "SELECT pg_catalog.setval('public.staging_a_seq', 3, true);\nSELECT pg_catalog.setval('public.t_a_seq', 8, true);\n";
    assert_eq!((now.sql.as_str(), now.count), (standing, 2), "the one that is free is current");
    // Without an earlier value it is waited for.
    let error = snapshot.sequences(None).await.unwrap_err();
    assert!(
        matches!(&error, PostgresError::LockTimeout { relation } if relation == "public.staging_a_seq"),
        "{error:?}"
    );
    let (read, ()) = tokio::join!(snapshot.sequences(None), holder.commit_when_waited_for(&fixture));
    assert!(read.unwrap().sql.starts_with("SELECT pg_catalog.setval('public.staging_a_seq', 1, false);"));

    // One that is gone, with its table or from it.
    fixture.sql("DROP TABLE staging");
    assert_eq!(snapshot.sequences(Some(&earlier)).await.unwrap().sql, standing);
    let error = snapshot.sequences(None).await.unwrap_err();
    assert!(matches!(error, PostgresError::RewrittenDuringSnapshot { .. }), "{error:?}");
    snapshot.close().await.unwrap();
}

#[tokio::test]
async fn a_sequence_that_may_not_be_read_any_longer_has_its_earlier_value() {
    let fixture = Fixture::new(
        "CREATE ROLE lifeboat_counter LOGIN PASSWORD 'lifeboat_counter'; CREATE SEQUENCE s; SELECT nextval('s');
         GRANT SELECT ON s TO lifeboat_counter",
    );
    let settings = fixture.settings_as("lifeboat_counter");
    let snapshot = Snapshot::take(&settings, &SnapshotOptions::default()).await.unwrap();
    let earlier = snapshot.sequences(None).await.unwrap();
    fixture.sql("REVOKE SELECT ON s FROM lifeboat_counter");
    assert_eq!(snapshot.sequences(Some(&earlier)).await.unwrap(), earlier);
    let error = snapshot.sequences(None).await.unwrap_err();
    assert!(error.advice().hint.contains("grant the missing privilege"), "{error:?}");
    snapshot.close().await.unwrap();
}
