//! What policy leaves out of backups: named in each with its reason, its definition kept, and nothing else missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lifeboat_engine::EngineError;
use lifeboat_model::{Event, LeftOut, Manifest, Policy, RelationStatus, Response, Site};
use lifeboat_postgres::PostgresError;
use tokio_postgres::NoTls;

use crate::bench::{Bench, Process};
use crate::wrapped_tools::tools_with_first_dump;

const TABLES: &str = "CREATE SCHEMA audit;
    CREATE TABLE audit.log (i int GENERATED ALWAYS AS IDENTITY, n serial, line text);
    INSERT INTO audit.log (line) SELECT repeat('x', 100) FROM generate_series(1, 5000);
    CREATE TABLE audit.event (id int PRIMARY KEY);
    CREATE TABLE audit.note (event int REFERENCES audit.event, text text);
    INSERT INTO audit.event VALUES (1);
    INSERT INTO audit.note VALUES (1, 'one');
    CREATE VIEW audit.lines AS SELECT line FROM audit.log;
    CREATE TABLE audit.visit (id int, event int REFERENCES audit.event) PARTITION BY RANGE (id);
    CREATE TABLE audit.early PARTITION OF audit.visit FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);
    CREATE TABLE audit.earliest PARTITION OF audit.early FOR VALUES FROM (0) TO (10);
    CREATE TABLE audit.late PARTITION OF audit.visit FOR VALUES FROM (100) TO (200);
    INSERT INTO audit.visit VALUES (1), (2), (100);
    CREATE TABLE audit.day (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE audit.day_1 PARTITION OF audit.day FOR VALUES FROM (0) TO (10);
    CREATE TABLE audit.shift (day int REFERENCES audit.day) PARTITION BY RANGE (day);
    CREATE TABLE audit.shift_1 PARTITION OF audit.shift FOR VALUES FROM (0) TO (10);
    CREATE TABLE kept AS SELECT i FROM generate_series(1, 100) i";

/// A process under a policy that leaves these out.
fn leaving_out(bench: &Bench, names: &[&str]) -> Process {
    let mut process = bench.process();
    let left_out = names.iter().map(|name| LeftOut {
        schema: "audit".to_owned(),
        name: (*name).to_owned(),
        reason: "kept elsewhere".to_owned(),
    });
    process.run.policy = Arc::new(Policy { left_out: left_out.collect(), ..Policy::default() });
    process
}

fn left_out(reason: &str) -> RelationStatus {
    RelationStatus::LeftOut { rule: format!("policy: {reason}") }
}

fn status<'m>(manifest: &'m Manifest, name: &str) -> &'m RelationStatus {
    &manifest.relations.iter().find(|relation| relation.name == name).unwrap().status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_that_policy_names_are_left_out_with_its_reason_and_a_drill_proves_the_rest() {
    let bench = Bench::with("left-out", TABLES);
    let process = leaving_out(&bench, &["log", "nowhere"]);
    let manifest = process.back_up(&bench.request()).await.unwrap();
    assert_eq!(status(&manifest, "log"), &left_out("kept elsewhere"));
    assert_eq!((status(&manifest, "kept"), manifest.totals.rows), (&RelationStatus::Copied, 105));
    let drilling = bench.process();
    let report = drilling.drill(&bench.drill_request(Site::Primary)).await.unwrap();
    assert!(report.equal, "{report:?}");
    assert_eq!(report.left_out, ["audit.log"], "what PostgreSQL leaves out is not policy's");
    let notice = drilling.outbox.alerts().pop().unwrap();
    assert!(notice.what.ends_with("equals its source; 1 relation(s) left out by policy: audit.log"), "{}", notice.what);
    let events = drilling.outbox.events();
    assert!(matches!(events[..], [Event::RestoreTestCompleted { equal: true, left_out: 1, .. }]), "{events:?}");
    assert_eq!(bench.stores.ledger().await.last().unwrap().detail["left_out"], "1");
    // Without the rule its rows are back in the next backup.
    let whole = bench.back_up().await;
    assert_eq!((status(&whole, "log"), whole.totals.rows), (&RelationStatus::Copied, 5105));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partitioned_table_is_left_out_with_all_its_partitions_and_what_has_no_rows_stays_as_it_is() {
    let bench = Bench::with("left-out-parts", TABLES);
    let manifest = leaving_out(&bench, &["early", "lines"]).back_up(&bench.request()).await.unwrap();
    assert_eq!(status(&manifest, "earliest"), &left_out("kept elsewhere"));
    for (name, is) in [
        ("early", RelationStatus::Definition),
        ("visit", RelationStatus::Definition),
        ("late", RelationStatus::Copied),
        ("lines", RelationStatus::Definition),
    ] {
        assert_eq!(status(&manifest, name), &is, "{name}");
    }
    assert_eq!(manifest.totals.rows, 5103);
    assert!(bench.drill(Site::Primary).await.equal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_to_which_others_refer_that_are_kept_cannot_be_left_out() {
    let bench = Bench::with("left-out-wrong", TABLES);
    for (names, relation, by) in [
        (&["event"][..], "event", "note"),
        (&["event", "note", "early"][..], "event", "visit"),
        (&["day"][..], "day", "shift"),
        (&["day_1"][..], "day_1", "shift"),
    ] {
        let process = leaving_out(&bench, names);
        let error = process.back_up(&bench.request()).await.unwrap_err();
        let words = format!("the rows of `audit.{relation}` are left out, and rows of `audit.{by}` refer to them");
        assert_eq!(error.story(), words);
        assert!(error.hint().contains("`backup.leave_out`"));
    }
    let process = leaving_out(&bench, &["event", "note", "visit"]);
    assert_eq!(process.back_up(&bench.request()).await.unwrap().totals.rows, 5100);
    assert!(bench.drill(Site::Primary).await.equal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_cannot_be_read_is_no_failure_when_policy_names_it() {
    let bench = Bench::with("left-out-unreadable", TABLES);
    bench.sql(
        "CREATE ROLE half LOGIN PASSWORD 'half'; GRANT USAGE ON SCHEMA audit TO half;
         GRANT SELECT ON ALL TABLES IN SCHEMA audit TO half; GRANT SELECT ON kept TO half; REVOKE SELECT ON audit.log FROM half;
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA audit TO half",
    );
    bench.sql(
        "ALTER TABLE audit.note ALTER text SET DEFAULT nextval('audit.log_n_seq')::text;
         CREATE TABLE audit.heir () INHERITS (audit.log); GRANT SELECT ON audit.heir TO half;
         CREATE FUNCTION audit.of_log(audit.log) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE DOMAIN audit.line AS audit.log;
         CREATE POLICY logged ON kept USING (EXISTS (SELECT FROM audit.log))",
    );
    let request = bench.request_as("half", "half");
    let error = bench.process().back_up(&request).await.unwrap_err();
    assert!(error.story().contains("`audit.log`"), "{error}");
    // A definition that cannot be read is missing, so nothing may need it.
    for (needs, drop) in [
        ("function audit.of_log(audit.log)", "DROP FUNCTION audit.of_log"),
        ("table audit.heir", "DROP TABLE audit.heir"),
        ("table audit.note", "ALTER TABLE audit.note ALTER text DROP DEFAULT"),
        ("table public.kept", "DROP POLICY logged ON kept"),
        ("type audit.line", "DROP DOMAIN audit.line"),
        ("view audit.lines", "DROP VIEW audit.lines"),
    ] {
        let error = leaving_out(&bench, &["log"]).back_up(&request).await.unwrap_err();
        assert_eq!(error.story(), format!("the definition of `audit.log` cannot be read, and {needs} needs it"));
        bench.sql(drop);
    }
    let manifest = leaving_out(&bench, &["log"]).back_up(&request).await.unwrap();
    let RelationStatus::Unreadable { reason } = status(&manifest, "log") else { panic!() };
    assert_eq!(reason, "role `half` has no SELECT on it; policy: kept elsewhere");
    assert!(bench.drill(Site::Primary).await.equal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_left_out_may_be_truncated_all_the_time() {
    let bench = Bench::with("left-out-truncated", TABLES);
    let (client, connection) = tokio_postgres::connect(&bench.server.url("clinic_source"), NoTls).await.unwrap();
    tokio::spawn(connection);
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&count));
    let writer = tokio::spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            let sql = "INSERT INTO audit.log (line) VALUES ('x'); TRUNCATE audit.log RESTART IDENTITY";
            client.batch_execute(sql).await.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    for _ in 0..3 {
        let before = count.load(Ordering::Relaxed);
        let manifest = leaving_out(&bench, &["log"]).back_up(&bench.request()).await.unwrap();
        assert_eq!((status(&manifest, "log"), manifest.totals.rows), (&left_out("kept elsewhere"), 105));
        assert!(count.load(Ordering::Relaxed) > before + 1, "nothing was truncated during the backup");
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    let report = bench.drill(Site::Primary).await;
    assert!(report.equal, "{:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_left_out_table_that_changes_before_its_definition_is_dumped_starts_the_backup_over() {
    let bench = Bench::with("left-out-changed", TABLES);
    for (change, is_there) in [
        ("DROP TABLE audit.log CASCADE; CREATE TABLE audit.log (again int)", "again"),
        ("ALTER TABLE audit.log ADD more int", "more"),
        ("ALTER TABLE audit.early RENAME TO earlier", "again"),
    ] {
        let tools = tools_with_first_dump(&bench, &format!("$PSQL -c '{change}' || exit 1"));
        let mut process = leaving_out(&bench, &["log", "early"]);
        process.run.ports.tools_dir = Some(tools.path().to_owned());
        process.back_up(&bench.request()).await.unwrap();
        assert!(tools.path().join("pg_dump.ran").exists());
        let report = bench.restore(Site::Primary, bench.empty_database("kept")).await;
        assert!(report.equal, "{change}: {:?}", report.findings);
        bench.server.psql("kept", &format!("SELECT {is_there} FROM audit.log")).unwrap();
        bench.server.psql("postgres", "DROP DATABASE kept").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncate_that_waits_for_a_copied_table_ends_the_backup_with_its_name_and_what_to_do() {
    let bench = Bench::with("left-out-not", TABLES);
    // The TRUNCATE waits for the backup before `pg_dump` begins, so `pg_dump` waits for the TRUNCATE.
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    let script = format!(
        "$PSQL -c 'TRUNCATE kept' >/dev/null 2>&1 &\nwhile [ \"$($PSQL -At -c '{waiting}')\" = 0 ]; do sleep 0.01; done"
    );
    let tools = tools_with_first_dump(&bench, &script);
    let mut process = bench.process();
    process.run.ports.tools_dir = Some(tools.path().to_owned());
    let error = process.back_up(&bench.request()).await.unwrap_err();
    let EngineError::Postgres(cause) = &error else { panic!("{error:?}") };
    let (PostgresError::GaveWay { relation } | PostgresError::LockTimeout { relation }) = cause else {
        panic!("{error:?}")
    };
    assert_eq!(relation, "public.kept");
    assert_eq!(error.advice().response, Response::Retry);
    // The next backup has the table as it is now.
    let manifest = bench.back_up().await;
    assert_eq!(status(&manifest, "kept"), &RelationStatus::Copied);
    assert!(bench.drill(Site::Primary).await.equal);
}
