//! What a server will not have restored is named, and everything else is restored all the same.

use lifeboat_local::{Installation, PostgresOptions, PostgresServer};
use lifeboat_model::{DrillReport, FindingKind, Site};
use lifeboat_postgres::ConnectionSettings;

use crate::bench::Bench;

/// A database of a plain role, with what only superusers may restore: on managed servers nobody is one.
const PRIVILEGED: &str = "
CREATE ROLE lifeboat_app; CREATE ROLE lifeboat_restorer LOGIN CREATEDB CREATEROLE PASSWORD 'lifeboat_restorer';
CREATE SCHEMA app AUTHORIZATION lifeboat_app;
SET ROLE lifeboat_app;
CREATE TABLE app.t AS SELECT i AS a FROM generate_series(1, 100) i;
CREATE FUNCTION app.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
SELECT lo_from_bytea(7001, 'mine');
RESET ROLE;
SELECT lo_from_bytea(7002, 'the superuser''s');
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION app.watch();
SET client_min_messages = error;
CREATE PUBLICATION everything FOR ALL TABLES;
ALTER DATABASE clinic_source SET log_statement = 'none';
ALTER DATABASE clinic_source SET work_mem = '5MB';
-- As a provider that is loaded would have it; no server of ours has one.
INSERT INTO pg_seclabel VALUES ('app.t'::regclass, 'pg_class'::regclass, 0, 'lifeboat_provider', 'secret');";

fn named(report: &DrillReport, kind: FindingKind, subject: &str) -> bool {
    report.findings.iter().any(|finding| finding.kind == kind && finding.subject.to_string().contains(subject))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_a_superuser_may_restore_is_named_and_the_rows_come_back() {
    let bench = Bench::with("refused", PRIVILEGED);
    bench.back_up().await;
    bench.server.psql("postgres", "CREATE DATABASE kept TEMPLATE template0 OWNER lifeboat_restorer").unwrap();
    let url = bench.server.url_as("lifeboat_restorer", "lifeboat_restorer", "kept");
    let report = bench.restore(Site::Primary, ConnectionSettings::from_secret(&url).unwrap()).await;

    assert!(!report.equal);
    assert!(report.tables.iter().all(|table| table.equal) && report.rows == 100);
    for (kind, subject) in [
        (FindingKind::SchemaMissing, "watch"),
        (FindingKind::SchemaMissing, "everything"),
        (FindingKind::SchemaMissing, "by lifeboat_provider on table app.t"),
        (FindingKind::LargeObjects, "large objects"),
        (FindingKind::DatabaseDiffers, "database"),
    ] {
        assert!(named(&report, kind, subject), "{kind} {subject}: {:#?}", report.findings);
    }
    let expected = [
        "large object `7002`: its owner, a grant or its comment could not be restored: ",
        "event trigger `watch`: ",
        "publication `everything`: ",
        "security label `app.TABLE t`: security label provider",
        "setting `log_statement` of the database could not be restored: ",
        "the owner of the database could not be restored: ",
    ];
    for part in expected {
        let named = report.notes.iter().cloned().chain(report.set_aside.iter().map(ToString::to_string));
        assert!(named.clone().any(|note| note.contains(part)), "{part}: {:#?}", named.collect::<Vec<_>>());
    }
    let there = |sql: &str| bench.server.psql("kept", sql).unwrap();
    assert_eq!(there("SELECT lomowner::regrole FROM pg_largeobject_metadata WHERE oid = 7001"), "lifeboat_app");
    assert_eq!(there("SHOW work_mem"), "5MB");
}

/// A subscription that never reached anybody.
const SUBSCRIBER: &str = "
CREATE TABLE t (a int);
CREATE SUBSCRIPTION news CONNECTION 'host=127.0.0.1 port=1 dbname=x password=wet' PUBLICATION p WITH (connect = false);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scratch_database_gets_no_subscription_so_that_it_can_be_dropped_and_one_that_is_kept_gets_it_disabled() {
    let bench = Bench::with("subscriber", SUBSCRIBER);
    bench.back_up().await;
    let report = bench.drill(Site::Primary).await;
    assert!(report.equal, "{:#?}", report.findings);
    assert_eq!(bench.scratch_databases(), Vec::<String>::new());
    let report = bench.restore(Site::Primary, bench.empty_database("kept")).await;
    assert!(report.equal, "{:#?} {:#?}", report.findings, report.notes);
    let there =
        "SELECT subname, subenabled FROM pg_subscription JOIN pg_database d ON d.oid = subdbid WHERE datname = 'kept'";
    assert_eq!(bench.server.psql("kept", there).unwrap(), "news|f");
}

/// Rows of an extension's tables that are the user's: `pg_dump` of definitions alone carries none of them.
const EXTENSION: &str = r"
CREATE TABLE setting (name text PRIMARY KEY, value text, is_own bool NOT NULL DEFAULT true);
INSERT INTO setting VALUES ('built-in', 'as the script has it', false);
CREATE TABLE note (id serial, text text);
CREATE TABLE fixed (a int);
INSERT INTO fixed VALUES (1);
SELECT pg_extension_config_dump('setting', 'WHERE is_own');
SELECT pg_extension_config_dump('note', '');
SELECT pg_extension_config_dump('note_id_seq', '');";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_users_put_into_an_extension_s_tables_come_back_and_its_own_are_left_to_it() {
    // From 18 on a server can be told where else extensions are.
    let Some(installation) = Installation::all().unwrap().into_iter().find(|installation| installation.major >= 18)
    else {
        return eprintln!("skipped: no server that takes an extension from a folder of ours");
    };
    let folder = tempfile::tempdir().unwrap();
    let extension = folder.path().join("extension");
    std::fs::create_dir(&extension).unwrap();
    let readable = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(folder.path(), readable).unwrap();
    std::fs::write(extension.join("lifeboat_zoo.control"), "default_version = '1'\nrelocatable = true\n").unwrap();
    std::fs::write(extension.join("lifeboat_zoo--1.sql"), EXTENSION).unwrap();
    let options = PostgresOptions { bin_dir: Some(installation.bin_dir), ..PostgresOptions::named("configuration") }
        .with("extension_control_path", &format!("$system:{}", folder.path().display()));
    let bench = Bench::on(
        PostgresServer::start(options).unwrap(),
        "CREATE EXTENSION lifeboat_zoo; INSERT INTO setting VALUES ('mine', 'a'); INSERT INTO note (text) VALUES ('x'), ('y')",
    );
    let manifest = bench.back_up().await;
    assert_eq!((manifest.totals.rows, manifest.coverage().left_out), (3, 1));
    let report = bench.restore(Site::Primary, bench.empty_database("kept")).await;
    assert!(report.equal, "{:#?}", report.findings);
    let there = "SELECT (SELECT string_agg(name, ',' ORDER BY name) FROM setting), (SELECT string_agg(text, ',' ORDER BY id) FROM note),
                 nextval('note_id_seq'), (SELECT count(*) FROM fixed)";
    assert_eq!(bench.server.psql("kept", there).unwrap(), "built-in,mine|x,y|3|1");
}
