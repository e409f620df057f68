//! Several databases on one server: their backups take turns, so that the application keeps its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use lifeboat_bench::{Fault, Gate, Operation, Refusal, Rule, Script};
use lifeboat_engine::{Asked, BackupRequest, Deadline, EngineError, request_again};
use lifeboat_local::PostgresServer;
use lifeboat_model::{Act, Event, Outcome, Response};
use lifeboat_postgres::{ConnectionSettings, PostgresError, backup_connections};

use crate::bench::{Bench, Process};

const TABLES: &str = "
DO $$ BEGIN FOR t IN 1..12 LOOP
  EXECUTE format('CREATE TABLE t%s AS SELECT i, md5((%s * i)::text) AS word FROM generate_series(1, 200) i', t, t);
END LOOP; END $$";

/// What a bench's process reads rows with.
const SESSIONS: usize = 2;

fn request(bench: &Bench, database: &str) -> BackupRequest {
    BackupRequest { database: database.parse().unwrap(), ..bench.request() }
}

/// A process under a policy with so many turns.
fn with_turns(mut process: Process, turns: u32) -> Process {
    let policy = lifeboat_model::Policy { per_server: turns, ..Default::default() };
    process.run.policy = Arc::new(policy);
    process
}

/// A backup that holds its turn until the gate opens.
async fn held(bench: &Bench) -> (tokio::task::JoinHandle<Result<(), EngineError>>, Gate) {
    let (script, gate) = (Script::new(), Gate::new());
    script.add(Rule::always(Fault::Hold(gate.clone())).on(Operation::Put).under("chunks/"));
    let (process, request) = (bench.process_on(bench.stores.behind(&script, &script)), request(bench, "first"));
    let running = tokio::spawn(async move { process.back_up(&request).await.map(drop) });
    gate.arrival().await;
    (running, gate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_has_no_turn_on_its_server_says_so_to_nobody_and_is_requested_again() {
    let bench = Bench::with("turns", "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i");
    let (running, gate) = held(&bench).await;
    let mut process = bench.process();
    process.run.deadline = Deadline::after(Duration::from_secs(10));
    let now = jiff::Timestamp::now();
    let second = BackupRequest { asked: Asked::Since(now), ..request(&bench, "second") };
    let error = process.back_up(&second).await.unwrap_err();
    assert!(matches!(error, EngineError::ServerBusy { turns: 1, .. }), "{error:?}");
    assert_eq!((error.advice().response, process.said(), process.alerted()), (Response::Retry, vec![], vec![]));
    assert!(error.hint().contains("backup.per_server"), "{}", error.hint());
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lifeboat watcher'";
    assert!(bench.sql(sessions).parse::<u32>().unwrap() <= 1, "who waits has no connection");

    // A delivery that only waits for its turn keeps no other from answering the request.
    let (one, other) = tokio::join!(process.back_up(&second), process.back_up(&second));
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert!(second.is_postponed(&error, &process.run.policy) && !second.is_underway(&error), "{error:?}");
    }
    let first = BackupRequest { asked: Asked::Since(now), ..request(&bench, "first") };
    let error = bench.process().back_up(&first).await.unwrap_err();
    assert!(first.is_underway(&error), "who has the lease has its turn: {error:?}");

    request_again(&process.again(), &second.database, now).await.unwrap();
    let Event::BackupRequested { database, requested_at, .. } = &process.outbox.events()[0] else {
        panic!("a request")
    };
    assert_eq!((database, *requested_at), (&second.database, now));
    assert_eq!(process.said(), ["Backup Requested"]);

    // One that has come for too long is a failure like any other.
    let an_hour_ago = now - jiff::SignedDuration::from_hours(1);
    let late = BackupRequest { asked: Asked::Since(an_hour_ago), ..second.clone() };
    let mut impatient = bench.process();
    impatient.run.deadline = Deadline::after(Duration::from_secs(10));
    let error = impatient.back_up(&late).await.unwrap_err();
    assert!(error.is_server_busy() && !late.is_postponed(&error, &impatient.run.policy), "{error:?}");
    assert_eq!((impatient.said(), impatient.alerted().len()), (vec!["Backup Failed"], 1));
    let entry = bench.stores.ledger().await.pop().unwrap();
    assert_eq!((entry.act(), entry.outcome), (Some(Act::Backup), Outcome::Failed));

    // Where policy gives two turns, both run at the same time.
    with_turns(bench.process(), 2).back_up(&second).await.unwrap();
    gate.open();
    running.await.unwrap().unwrap();
    bench.process().back_up(&request(&bench, "third")).await.unwrap();
    assert_eq!(bench.process().run.policy.per_server, 1, "the default spares the application");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_of_many_databases_on_one_server_never_have_more_connections_than_their_turns_and_all_complete() {
    let bench = Bench::with("many", TABLES);
    let script = Script::new();
    script.add(Rule::always(Fault::Slow(Duration::from_millis(20))).on(Operation::Put).under("chunks/"));
    let done = AtomicBool::new(false);
    let observed = async {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^(lifeboat|pg_dump)'
                   AND backend_start < clock_timestamp() - interval '200 ms'";
        let mut most = 0;
        while !done.load(Ordering::Relaxed) {
            let server = &bench.server;
            most = most
                .max(tokio::task::block_in_place(|| server.psql("postgres", sql)).unwrap().parse::<usize>().unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        most
    };
    let backups = async {
        let each = (0..5).map(|number| {
            let process = with_turns(bench.process_on(bench.stores.behind(&script, &script)), 2);
            let request = request(&bench, &format!("database-{number}"));
            async move { process.back_up(&request).await.map(drop) }
        });
        let ended = join_all(each).await;
        done.store(true, Ordering::Relaxed);
        ended
    };
    let (most, ended) = tokio::join!(observed, backups);
    ended.into_iter().for_each(|ended| ended.unwrap());
    assert!(most > 0 && most <= 2 * backup_connections(SESSIONS), "{most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_were_made_from_one_image_have_turns_of_their_own() {
    let bench = Bench::with("turns-image", "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i");
    let (running, gate) = held(&bench).await;
    // Its start tells it apart, to the second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let clone = PostgresServer::start("turns-clone").unwrap();
    let source = ConnectionSettings::from_secret(&clone.url("postgres")).unwrap();
    let mut process = bench.process();
    process.run.deadline = Deadline::after(Duration::from_secs(10));
    process.back_up(&BackupRequest { source, ..request(&bench, "second") }).await.unwrap();
    gate.open();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_ends_with_the_connections_and_not_with_the_backup() {
    let bench = Bench::with("turn-ends", "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i");
    let (script, gate) = (Script::new(), Gate::new());
    // The first is the chunk list, which is part of the copy. The second is the manifest.
    script.add(Rule::always(Fault::Hold(gate.clone())).on(Operation::Put).under("backups/first/").only_nth(2));
    let process = bench.process_on(bench.stores.behind(&script, &script));
    let first = request(&bench, "first");
    let publishing = tokio::spawn(async move { process.back_up(&first).await.map(drop) });
    gate.arrival().await;
    bench.process().back_up(&request(&bench, "second")).await.unwrap();
    gate.open();
    publishing.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_answer_while_a_backup_waits_is_asked_again() {
    let bench = Bench::with("turn-unknown", "CREATE TABLE t (i int)");
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(Refusal::Unavailable)).under("leases/server-").only_nth(1));
    bench.process_on(bench.stores.behind(&script, &script)).back_up(&bench.request()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_with_few_connections_is_read_with_fewer_sessions_and_with_too_few_not_at_all() {
    let bench = Bench::with("limited", &format!("{TABLES}; CREATE ROLE few LOGIN CONNECTION LIMIT 2 PASSWORD 'few'"));
    bench.sql("GRANT pg_read_all_data TO few");
    let error = bench.process().back_up(&bench.request_as("few", "few")).await.unwrap_err();
    let EngineError::Postgres(PostgresError::TooFewConnections { needed, of, most }) = error else {
        panic!("{error:?}")
    };
    assert_eq!((needed, of, most), (3, "the role", 2));
    bench.sql("ALTER ROLE few CONNECTION LIMIT 4");
    bench.process().back_up(&bench.request_as("few", "few")).await.unwrap();
    let connections = async |request: BackupRequest| {
        let checks = lifeboat_engine::doctor(&bench.process().again(), &request.source).await;
        checks.into_iter().find(|check| check.check == "connections").unwrap().seen
    };
    let fewer = "a backup reads with 1 session(s) instead of 2, because the role allows 4 connections";
    assert_eq!(connections(bench.request_as("few", "few")).await, fewer);
    // A role belongs to the server: backups that run at the same time share what it allows.
    bench.sql("ALTER ROLE few CONNECTION LIMIT 8");
    let (two_turns, few) = (with_turns(bench.process(), 2).again(), bench.request_as("few", "few").source);
    let checks = lifeboat_engine::doctor(&two_turns, &few).await;
    let seen = checks.into_iter().find(|check| check.check == "connections").unwrap().seen;
    assert_eq!(seen, fewer.replace('4', "8"));
    let seen = connections(bench.request()).await;
    assert!(seen.starts_with("a backup opens 5 at a time; the server has "), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_three_connections_a_backup_reads_rows_while_no_client_program_runs() {
    let bench = Bench::with("three", &format!("{TABLES}; CREATE ROLE few LOGIN CONNECTION LIMIT 3 PASSWORD 'few'"));
    bench.sql("GRANT pg_read_all_data TO few");
    let request = bench.request_as("few", "few");
    // The first chunk is of the schema. The watcher has connected before the rest is read.
    let slow = || {
        let script = Script::new();
        let rule = Rule::always(Fault::Slow(Duration::from_millis(2500))).on(Operation::Put);
        script.add(rule.under("chunks/").only_nth(1));
        bench.process_on(bench.stores.behind(&script, &Script::new()))
    };
    let manifest = slow().back_up(&request).await.unwrap();
    assert_eq!(manifest.totals.rows, 2400);
    let checks = lifeboat_engine::doctor(&bench.process().again(), &request.source).await;
    let seen = checks.into_iter().find(|check| check.check == "connections").unwrap().seen;
    let expected = "a backup reads with 1 session(s) instead of 2, and only while no client program runs, because the role allows 3 connections";
    assert_eq!(seen, expected);

    bench.sql("ALTER ROLE few CONNECTION LIMIT -1");
    bench.server.psql("postgres", "ALTER DATABASE clinic_source CONNECTION LIMIT 3").unwrap();
    assert_eq!(slow().back_up(&request).await.unwrap().totals.rows, 2400);
    assert!(bench.drill(lifeboat_model::Site::Primary).await.equal);
}
