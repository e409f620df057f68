//! Each proof of a drill can fail: a restored database that differs is not called equal, and what differs is named.

use lifeboat_local::{PostgresOptions, PostgresServer};
use lifeboat_model::{FindingKind, Severity, Site};
use lifeboat_postgres::ConnectionSettings;

use crate::bench::Bench;
use crate::sample::CLINIC;
use crate::wrapped_tools::{Moment, tools_with};

/// What is done to the restored database, and the findings that must come of it: kind, and what the subject ends with.
type Case = (&'static str, &'static [(FindingKind, &'static str)]);

const CASES: [Case; 28] = [
    ("UPDATE clinic.account SET note = 'another' WHERE id = 7", &[(FindingKind::RowDigest, "clinic.account")]),
    // Count and sum stay what they were: only the rows are others.
    (
        "ALTER TABLE clinic.account DISABLE TRIGGER stamp;
         UPDATE clinic.account SET balance = CASE id WHEN 1 THEN 21.00 ELSE 10.50 END WHERE id IN (1, 2);
         ALTER TABLE clinic.account ENABLE TRIGGER stamp",
        &[(FindingKind::RowDigest, "clinic.account")],
    ),
    ("DELETE FROM clinic.remark WHERE text = 'once'", &[(FindingKind::RowCount, "clinic.remark")]),
    ("INSERT INTO clinic.remark VALUES ('twice')", &[(FindingKind::RowCount, "clinic.remark")]),
    ("INSERT INTO clinic.nothing_yet VALUES (NULL)", &[(FindingKind::RowCount, "clinic.nothing_yet")]),
    // The sum of two digests must not hide that one row stands twice and another is missing.
    ("UPDATE clinic.remark SET text = 'twice'", &[(FindingKind::RowDigest, "clinic.remark")]),
    ("DROP INDEX clinic.patient_name", &[(FindingKind::SchemaMissing, "clinic.patient_name")]),
    (
        "ALTER TABLE clinic.account DROP CONSTRAINT account_pkey",
        &[
            (FindingKind::SchemaMissing, "account_pkey on clinic.account"),
            (FindingKind::SchemaMissing, "clinic.account_pkey"),
        ],
    ),
    ("DROP POLICY own ON clinic.patient", &[(FindingKind::SchemaMissing, "own on clinic.patient")]),
    ("ALTER POLICY own ON clinic.patient USING (true)", &[(FindingKind::SchemaDiffers, "own on clinic.patient")]),
    ("ALTER TABLE clinic.patient DISABLE ROW LEVEL SECURITY", &[(FindingKind::SchemaDiffers, "clinic.patient")]),
    ("ALTER TABLE clinic.account DISABLE TRIGGER stamp", &[(FindingKind::SchemaDiffers, "stamp on clinic.account")]),
    (
        "DROP EXTENSION pgcrypto",
        &[(FindingKind::SchemaMissing, "extension pgcrypto"), (FindingKind::SchemaMissing, "pgcrypto")],
    ),
    ("CREATE TABLE clinic.more (id int)", &[(FindingKind::SchemaUnexpected, "clinic.more")]),
    ("SELECT setval('clinic.invoice', 1020)", &[(FindingKind::SequenceDiffers, "sequences")]),
    ("SELECT lo_put(50001, 2, 'S')", &[(FindingKind::LargeObjects, "large objects")]),
    ("COMMENT ON TABLE clinic.patient IS 'changed'", &[(FindingKind::SchemaDiffers, "table clinic.patient")]),
    ("DROP RULE spare ON clinic.nothing_yet", &[(FindingKind::SchemaMissing, "spare on clinic.nothing_yet")]),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA clinic GRANT SELECT ON TABLES TO PUBLIC",
        &[(FindingKind::SchemaUnexpected, "in clinic")],
    ),
    ("DROP STATISTICS clinic.together", &[(FindingKind::SchemaMissing, "clinic.together")]),
    ("DROP CAST (clinic.mood AS int)", &[(FindingKind::SchemaMissing, "clinic.mood as integer")]),
    ("GRANT SELECT ON LARGE OBJECT 50001 TO PUBLIC", &[(FindingKind::LargeObjects, "large objects")]),
    ("COMMENT ON LARGE OBJECT 50001 IS NULL", &[(FindingKind::LargeObjects, "large objects")]),
    (
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END $$",
        &[(FindingKind::DatabaseDiffers, "database")],
    ),
    ("GRANT CREATE ON SCHEMA public TO PUBLIC", &[(FindingKind::SchemaDiffers, "public")]),
    ("ALTER SCHEMA public OWNER TO pg_read_all_data", &[(FindingKind::SchemaDiffers, "public")]),
    (
        "DO $$ BEGIN EXECUTE format('REVOKE CREATE ON SCHEMA public FROM %I', (
            SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'public')); END $$",
        &[(FindingKind::SchemaDiffers, "public")],
    ),
    (
        "SELECT lo_unlink(50003)",
        &[(FindingKind::LargeObjects, "large objects"), (FindingKind::LargeObjects, "large objects")],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_database_that_differs_in_anything_is_not_equal_and_the_difference_is_named() {
    let bench = Bench::with("proofs", CLINIC);
    let manifest = bench.back_up().await;
    for (sql, expected) in CASES {
        bench.stores.forget_incidents();
        let tools = tools_with(&bench, Moment::Whole, sql);
        let mut process = bench.process();
        process.run.ports.tools_dir = Some(tools.path().to_owned());
        let report = process.drill(&bench.drill_request(Site::Primary)).await.unwrap();
        assert!(!report.equal, "{sql}");
        let mut found: Vec<(FindingKind, String)> =
            report.findings.iter().map(|finding| (finding.kind, finding.subject.to_string())).collect();
        for (kind, subject) in expected {
            let place = found.iter().position(|(k, s)| k == kind && s.ends_with(subject));
            found.remove(place.unwrap_or_else(|| panic!("{sql}: no {kind} of {subject} in {:?}", report.findings)));
        }
        assert!(found.is_empty(), "{sql}: {found:?}");
        let is_rows = |kind: &FindingKind| matches!(kind, FindingKind::RowCount | FindingKind::RowDigest);
        for table in &report.tables {
            let differs = expected.iter().any(|(kind, subject)| is_rows(kind) && *subject == table.table);
            assert_eq!(table.equal, !differs, "{sql}: {}", table.table);
        }
        assert_eq!(process.said(), ["Restore Test Failed"], "{sql}");
        assert_eq!(process.alerted(), [Severity::Critical], "{sql}");
    }
    assert_eq!(bench.scratch_databases(), Vec::<String>::new(), "a drill that fails clears away, too");

    // And with nothing done to it, the same backup by the same way is equal.
    let tools = tools_with(&bench, Moment::Whole, "SELECT 1");
    let mut process = bench.process();
    process.run.ports.tools_dir = Some(tools.path().to_owned());
    let report = process.drill(&bench.drill_request(Site::Primary)).await.unwrap();
    assert!(report.equal, "{:?}", report.findings);
    assert_eq!(report.backup_id, manifest.backup_id);
}

/// A database with a property of each kind that a server can lack, and a schema `public` that is not as it comes.
const SURROUNDED: &str =
    "CREATE ROLE app; GRANT USAGE ON SCHEMA public TO app; REVOKE USAGE ON SCHEMA public FROM PUBLIC;
    ALTER SCHEMA public OWNER TO app; CREATE EXTENSION citext;
    UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'citext';
    CREATE TABLE bill (net int PRIMARY KEY, gross int GENERATED ALWAYS AS (net * 2) STORED) TABLESPACE fast;
    CREATE INDEX bill_gross ON bill (gross) TABLESPACE fast; INSERT INTO bill VALUES (1), (2);
    CREATE TABLE slow (i int)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_depends_on_the_server_is_named_and_makes_no_difference() {
    const IN_PLACE: &str = "SET allow_in_place_tablespaces = on";
    let server = PostgresServer::start("surrounded").unwrap();
    server.psql("postgres", &format!("{IN_PLACE}; CREATE TABLESPACE fast LOCATION ''")).unwrap();
    let bench = Bench::on(server, SURROUNDED);
    bench.back_up().await;
    let placed = "SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace
        WHERE t.spcname = 'fast' AND c.relkind IN ('r', 'i')";

    // The server has the tablespace, so everything is where it was.
    let version = "extension `citext` has version `1.6` and had `0.9`";
    let report = bench.restore(Site::Primary, bench.empty_database("kept")).await;
    assert!(report.equal, "{:?}", report.findings);
    assert_eq!(report.notes, [version]);
    let generated = "values of generated columns, which the server computes anew: `public.bill.gross`";
    assert!(report.not_compared.iter().any(|item| item == generated), "{:?}", report.not_compared);
    assert_eq!(bench.server.psql("kept", placed).unwrap(), "bill bill_gross");

    // Another server has not.
    let other = PostgresServer::start(PostgresOptions::named("surrounded-other").for_drills()).unwrap();
    let mut request = bench.drill_request(Site::Primary);
    request.scratch = ConnectionSettings::from_secret(&other.url("postgres")).unwrap();
    let report = bench.process().drill(&request).await.unwrap();
    assert!(report.equal, "{:?}", report.findings);
    let moved = "2 tables or indexes are in another tablespace, such as `public.bill`, which is in `pg_default` and was in `fast`";
    assert!(
        report.notes.contains(&version.to_owned()) && report.notes.contains(&moved.to_owned()),
        "{:?}",
        report.notes
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_of_the_schema_public_may_still_create_there_after_a_restore_by_a_plain_role() {
    let bench = Bench::with_own_scratch(
        "owned-public",
        "CREATE ROLE app; CREATE ROLE clerk; ALTER SCHEMA public OWNER TO app; GRANT CREATE ON SCHEMA public TO clerk;
         CREATE TABLE bill (i int); ALTER TABLE bill OWNER TO app; CREATE ROLE reader; GRANT SELECT ON bill TO reader",
    );
    bench.back_up().await;
    let plain =
        "CREATE ROLE plain LOGIN CREATEROLE PASSWORD 'plain'; CREATE DATABASE kept TEMPLATE template0 OWNER plain";
    plain.split("; ").for_each(|sql| drop(bench.scratch().psql("postgres", sql).unwrap()));
    let url = bench.scratch().url_as("plain", "plain", "kept");
    let report = bench.restore(Site::Primary, ConnectionSettings::from_secret(&url).unwrap()).await;
    let found: Vec<FindingKind> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(found, [FindingKind::DatabaseDiffers], "a plain role keeps the database itself: {:?}", report.findings);
    for role in ["app", "clerk"] {
        bench.scratch().psql("kept", &format!("SET ROLE {role}; CREATE TABLE public.of_{role} (i int)")).unwrap();
    }
    bench.scratch().psql("kept", "SET ROLE reader; CREATE TABLE public.of_reader (i int)").unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_empty_is_never_restored_into() {
    let bench = Bench::with("not-empty", CLINIC);
    bench.back_up().await;
    let kept = bench.empty_database("kept");
    bench.server.psql("kept", "CREATE TABLE mine AS SELECT 42 AS answer").unwrap();
    let process = bench.process();
    let error = process.restore(&bench.restore_request(Site::Primary, kept)).await.unwrap_err();
    let lifeboat_engine::EngineError::CannotRestore { what, hint } = &error else { panic!("{error:?}") };
    assert!(
        what.contains("/kept` is not empty: it holds `public.mine`") && hint.contains("`kept_restored`"),
        "{what}; {hint}"
    );
    assert_eq!(bench.server.psql("kept", "SELECT answer FROM mine").unwrap(), "42");
    assert_eq!(process.said(), <[&str; 0]>::default(), "nothing was done, and only who asked needs to know");
}
