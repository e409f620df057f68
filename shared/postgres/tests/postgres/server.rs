//! The test server itself: several at once, restarts, and an end that nothing prevents.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lifeboat_local::{PostgresOptions, PostgresServer};
use lifeboat_model::Response;
use lifeboat_postgres::{ConnectionSettings, PostgresError, Snapshot, SnapshotOptions};

use crate::fixture::{hasher, relation};

#[test]
fn two_servers_run_side_by_side_with_settings_and_ports_of_their_own_and_leave_nothing() {
    let one = PostgresServer::start(PostgresOptions::named("one").with("work_mem", "5MB")).unwrap();
    let two = PostgresServer::start("two").unwrap();
    assert_ne!(one.port(), two.port());
    assert_eq!(one.psql("postgres", "SHOW work_mem").unwrap(), "5MB");
    assert_ne!(two.psql("postgres", "SHOW work_mem").unwrap(), "5MB");
    assert!(one.psql("postgres", "SELECT 1/0").is_err());
    let directory = one.psql("postgres", "SHOW data_directory").unwrap();
    drop(one);
    assert!(!std::path::Path::new(&directory).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_while_rows_are_read_is_an_error_worth_another_try_and_comes_back_with_its_rows() {
    let mut server = PostgresServer::start("crash").unwrap();
    server
        .psql("postgres", "CREATE TABLE t AS SELECT i, repeat('x', 500) FROM generate_series(1, 200000) i; CHECKPOINT")
        .unwrap();
    let settings = ConnectionSettings::from_secret(&server.url("postgres")).unwrap();
    let snapshot = Snapshot::take(&settings, &SnapshotOptions::default()).await.unwrap();
    let table = relation(&snapshot, "public.t").clone();
    let mut reader = snapshot.reader().await.unwrap();
    let mut stream = reader.copy_slice(&table, table.slices(u32::MAX).next().unwrap()).await.unwrap();
    stream.next_chunk(&mut Vec::new(), &hasher(), 1000).await.unwrap().unwrap();
    server.crash().unwrap();
    let error = stream.totals(&hasher()).await.unwrap_err();
    assert!(matches!(error, PostgresError::ServerClosed { .. }), "{error:?}");
    assert_eq!(error.advice().response, Response::Retry);
    assert!(snapshot.close().await.is_err());
    server.restart().unwrap();
    assert_eq!(server.psql("postgres", "SELECT count(*) FROM t").unwrap(), "200000");
}

/// Runs only in the child that the next test starts.
#[test]
fn a_server_whose_owner_waits_to_be_killed() {
    if std::env::var_os("LIFEBOAT_TEST_OWNER").is_none() {
        return;
    }
    // From a thread that ends: the server must not end with it.
    let server = std::thread::spawn(|| PostgresServer::start("orphan").unwrap()).join().unwrap();
    println!("port {}", server.port());
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_server_lives_past_the_thread_that_asked_for_it_and_ends_when_its_owner_is_killed() {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "server::a_server_whose_owner_waits_to_be_killed", "--nocapture"])
        .env("LIFEBOAT_TEST_OWNER", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let port = lines.map_while(Result::ok).find_map(|line| Some(line.split_once("port ")?.1.to_owned())).unwrap();
    let address = format!("127.0.0.1:{port}");
    std::thread::sleep(Duration::from_millis(200));
    assert!(std::net::TcpStream::connect(&address).is_ok(), "alive although its thread has ended");
    owner.kill().unwrap();
    owner.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < deadline, "still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}
