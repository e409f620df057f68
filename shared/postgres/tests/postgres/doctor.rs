//! The doctor says what is wrong in one sentence.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lifeboat_postgres::{Check, Checked, ConnectionSettings, PostgresError, doctor};

use crate::fixture::Fixture;

fn failure<'a>(checks: &'a [Check], name: &str) -> &'a PostgresError {
    match &checks.iter().find(|check| check.name == name).unwrap().outcome {
        Checked::Failed(error) => error,
        Checked::Ok(seen) | Checked::Warn { seen, .. } => panic!("{name}: {seen}"),
    }
}

#[tokio::test]
async fn a_healthy_database_passes_every_check() {
    let fixture = Fixture::new("CREATE TABLE t (a int)");
    let checks = doctor(&fixture.settings(), &fixture.tools().await).await;
    let names: Vec<&str> = checks.iter().map(|check| check.name).collect();
    let all = [
        "reachable",
        "provider",
        "TLS",
        "session mode",
        "server version",
        "privileges",
        "large objects",
        "role of the server",
        "clock",
    ];
    assert_eq!(names, all);
    assert!(checks.iter().all(Check::is_ok), "{checks:?}");
}

#[tokio::test]
async fn relations_that_cannot_be_read_are_named() {
    let fixture = Fixture::new(
        "CREATE ROLE lifeboat_doctor LOGIN PASSWORD 'lifeboat_doctor';
         SELECT format('CREATE TABLE t%s (a int)', i) FROM generate_series(1, 7) i \\gexec",
    );
    let checks = doctor(&fixture.settings_as("lifeboat_doctor"), &fixture.tools().await).await;
    let error = failure(&checks, "privileges");
    let text = error.to_string();
    assert!(text.contains("public.t1") && text.contains("2 more") && text.contains("no SELECT"), "{text}");
    assert!(error.hint().unwrap().contains("pg_read_all_data"));
}

#[tokio::test]
async fn a_server_that_is_not_there_and_a_wrong_password_are_told_apart() {
    let fixture = Fixture::new("");
    let tools = fixture.tools().await;
    let nobody = ConnectionSettings::from_secret("postgres://u:hunter2@127.0.0.1:1/d?sslmode=disable").unwrap();
    assert!(matches!(failure(&doctor(&nobody, &tools).await, "reachable"), PostgresError::Unreachable { .. }));
    let url = fixture.server.url_as("postgres", "hunter2", &fixture.database);
    let wrong = ConnectionSettings::from_secret(&url).unwrap();
    let checks = doctor(&wrong, &tools).await;
    let error = failure(&checks, "reachable");
    assert!(matches!(error, PostgresError::AuthenticationFailed { user, .. } if user == "postgres"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

/// A `pgbouncer` before the fixture's server, ended with this value.
struct Pooler {
    process: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Pooler {
    fn start(fixture: &Fixture, mode: &str) -> Self {
        let find = || ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
        let program = find().unwrap_or_else(|| {
            lifeboat_local::install("pgbouncer").unwrap();
            find().unwrap()
        });
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let configuration = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres password=lifeboat-local\n\
             [pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\nauth_type=any\npool_mode={mode}\n",
            fixture.server.port()
        );
        std::fs::write(&configuration, text).unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("setpriv");
        if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            // It refuses root, as the server does.
            command.arg("--reuid=65534");
        }
        let process =
            command.args(["--pdeathsig=KILL", program]).arg(&configuration).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..500 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process, port, _directory: directory }
    }

    fn settings(&self, fixture: &Fixture) -> ConnectionSettings {
        let url = format!("postgres://postgres:x@127.0.0.1:{}/{}?sslmode=disable", self.port, fixture.database);
        ConnectionSettings::from_secret(&url).unwrap()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_recognised_and_one_in_session_mode_is_not_in_the_way() {
    let fixture = Fixture::new("CREATE TABLE t (a int)");
    let tools = fixture.tools().await;
    let pooler = Pooler::start(&fixture, "transaction");
    let checks = doctor(&pooler.settings(&fixture), &tools).await;
    let mode = checks.iter().find(|check| !check.is_ok()).unwrap();
    assert_eq!(mode.name, "session mode", "{checks:?}");
    let error = failure(&checks, "session mode");
    assert!(matches!(error, PostgresError::PoolerInTransactionMode { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("session mode"));
    drop(pooler);

    let pooler = Pooler::start(&fixture, "session");
    let checks = doctor(&pooler.settings(&fixture), &tools).await;
    assert!(checks.iter().all(Check::is_ok), "{checks:?}");
}
