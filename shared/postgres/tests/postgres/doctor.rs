//! The doctor says what is wrong in one sentence.

use lifeboat_local::{PoolMode, Pooler};
use lifeboat_postgres::{BackupLoad, Check, Checked, ConnectionSettings, PostgresError, Readers, doctor};
use tokio_postgres::NoTls;

use crate::fixture::Fixture;

const LOAD: BackupLoad = BackupLoad { sessions: 4, per_server: 1 };

fn failure<'a>(checks: &'a [Check], name: &str) -> &'a PostgresError {
    match &checks.iter().find(|check| check.name == name).unwrap().outcome {
        Checked::Failed(error) => error,
        Checked::Ok(seen) | Checked::Warn { seen, .. } => panic!("{name}: {seen}"),
    }
}

#[tokio::test]
async fn a_healthy_database_passes_every_check() {
    let fixture = Fixture::new("CREATE TABLE t (a int)");
    let checks = doctor(&fixture.settings(), &fixture.tools().await, &[], LOAD).await.checks;
    let names: Vec<&str> = checks.iter().map(|check| check.name).collect();
    let all = [
        "reachable",
        "provider",
        "TLS",
        "session mode",
        "connections",
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
    let checks = doctor(&fixture.settings_as("lifeboat_doctor"), &fixture.tools().await, &[], LOAD).await.checks;
    let error = failure(&checks, "privileges");
    let text = error.to_string();
    assert!(text.contains("public.t1") && text.contains("2 more") && text.contains("no SELECT"), "{text}");
    assert!(error.advice().hint.contains("pg_read_all_data"));
}

#[tokio::test]
async fn a_server_that_is_not_there_and_a_wrong_password_are_told_apart() {
    let fixture = Fixture::new("");
    let tools = fixture.tools().await;
    let nobody = ConnectionSettings::from_secret("postgres://u:hunter2@127.0.0.1:1/d?sslmode=disable").unwrap();
    assert!(matches!(
        failure(&doctor(&nobody, &tools, &[], LOAD).await.checks, "reachable"),
        PostgresError::Unreachable { .. }
    ));
    let url = fixture.server.url_as("postgres", "hunter2", &fixture.database);
    let wrong = ConnectionSettings::from_secret(&url).unwrap();
    let checks = doctor(&wrong, &tools, &[], LOAD).await.checks;
    let error = failure(&checks, "reachable");
    assert!(matches!(error, PostgresError::AuthenticationFailed { user, .. } if user == "postgres"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_recognised_and_one_in_session_mode_is_not_in_the_way() {
    let fixture = Fixture::new("CREATE TABLE t (a int)");
    let tools = fixture.tools().await;
    let through = |pooler: &Pooler| ConnectionSettings::from_secret(&pooler.url(&fixture.database)).unwrap();
    let pooler = Pooler::start(&fixture.server, PoolMode::Transaction).unwrap();
    let checks = doctor(&through(&pooler), &tools, &[], LOAD).await.checks;
    let mode = checks.iter().find(|check| !check.is_ok()).unwrap();
    assert_eq!(mode.name, "session mode", "{checks:?}");
    let error = failure(&checks, "session mode");
    assert!(matches!(error, PostgresError::PoolerInTransactionMode { .. }), "{error:?}");
    assert!(error.advice().hint.contains("session mode"));
    drop(pooler);

    let pooler = Pooler::start(&fixture.server, PoolMode::Session).unwrap();
    let checks = doctor(&through(&pooler), &tools, &[], LOAD).await.checks;
    assert!(checks.iter().all(Check::is_ok), "{checks:?}");
}

fn connections(checks: &[Check]) -> &Checked {
    &checks.iter().find(|check| check.name == "connections").unwrap().outcome
}

fn is_warning(checked: &Checked) -> bool {
    matches!(checked, Checked::Warn { .. })
}

#[tokio::test]
async fn backups_of_one_server_share_its_connections() {
    // Of the 100 connections, three are reserved for superusers.
    let fixture = Fixture::with_server_of_its_own("CREATE TABLE t (a int)");
    let (settings, tools) = (fixture.settings(), fixture.tools().await);
    for (per_server, sessions) in [(1, 32), (4, 21), (8, 9)] {
        let examined = doctor(&settings, &tools, &[], BackupLoad { sessions: 32, per_server }).await;
        assert_eq!(examined.readers.sessions, sessions, "{per_server} at a time");
        assert_eq!(is_warning(connections(&examined.checks)), sessions < 32, "{:?}", examined.checks);
    }
    let examined = doctor(&settings, &tools, &[], BackupLoad { sessions: 32, per_server: 32 }).await;
    assert_eq!(examined.readers, Readers { sessions: 1, take_turns: true });
    assert!(is_warning(connections(&examined.checks)), "{:?}", examined.checks);
    let examined = doctor(&settings, &tools, &[], BackupLoad { sessions: 32, per_server: 33 }).await;
    let error = failure(&examined.checks, "connections");
    let needed = |error: &PostgresError| matches!(error, PostgresError::TooFewConnections { needed: 99, most: 97, .. });
    assert!(needed(error), "{error:?}");
}

#[tokio::test]
async fn connections_that_others_have_are_warned_of_and_stop_no_backup() {
    let role = "lifeboat_crowded";
    let fixture = Fixture::new(&format!(
        "CREATE TABLE t (a int); CREATE ROLE {role} LOGIN CONNECTION LIMIT 10 PASSWORD '{role}'"
    ));
    fixture.sql(&format!("GRANT SELECT ON t TO {role}"));
    let (settings, tools) = (fixture.settings_as(role), fixture.tools().await);
    let mut others = Vec::new();
    for others_count in 0..=4 {
        let examined = doctor(&settings, &tools, &[], LOAD).await;
        assert_eq!(examined.readers.sessions, LOAD.sessions);
        let seen = connections(&examined.checks);
        let free = format!("a backup opens 7 at a time; the role has {} free", 10 - others_count);
        assert!(matches!(seen, Checked::Ok(seen) | Checked::Warn { seen, .. } if *seen == free), "{seen:?}");
        assert_eq!(is_warning(seen), others_count > 3, "{seen:?}");
        let url = fixture.server.url_as(role, role, &fixture.database);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        others.push(client);
    }
}
