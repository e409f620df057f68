//! Limits on connections: which one is reached, and who raises it.

use lifeboat_local::{PostgresOptions, PostgresServer};
use lifeboat_model::Response;
use lifeboat_postgres::{ConnectionSettings, PostgresError, Session, Snapshot, SnapshotOptions};
use tokio_postgres::{Client, NoTls};

use crate::fixture::Fixture;

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The error says which limit it is, its hint how to raise it, and the next run tries again.
fn expect_limit(error: &PostgresError, of: &str, command: &str) {
    let (text, advice) = (error.to_string(), error.advice());
    assert!(text.contains(of), "{text}");
    assert!(advice.hint.contains(command), "{}", advice.hint);
    assert_eq!(advice.response, Response::Retry);
}

#[tokio::test]
async fn a_limit_that_is_reached_is_named_with_the_command_that_raises_it() {
    let role = "lifeboat_lonely";
    let fixture = Fixture::new(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 1 PASSWORD '{role}'"));
    let (url, settings) = (fixture.server.url_as(role, role, &fixture.database), fixture.settings_as(role));
    let other = connect(&url).await;
    let error = Session::connect(&settings, "test").await.unwrap_err();
    expect_limit(&error, "role `lifeboat_lonely`", "ALTER ROLE \"lifeboat_lonely\" CONNECTION LIMIT");
    fixture
        .sql(&format!("ALTER ROLE {role} CONNECTION LIMIT -1; ALTER DATABASE {} CONNECTION LIMIT 1", fixture.database));
    let error = Session::connect(&settings, "test").await.unwrap_err();
    let command = format!("ALTER DATABASE \"{}\" CONNECTION LIMIT", fixture.database);
    expect_limit(&error, &format!("database `{}`", fixture.database), &command);
    drop(other);
}

#[tokio::test]
async fn a_full_server_is_told_from_one_that_is_not_there() {
    let options =
        PostgresOptions::named("full").with("max_connections", "6").with("superuser_reserved_connections", "2");
    let server = PostgresServer::start(options).unwrap();
    server.psql("postgres", "CREATE ROLE plain LOGIN PASSWORD 'plain'").unwrap();
    let (url, settings) = (server.url_as("plain", "plain", "postgres"), server.url_as("plain", "plain", "postgres"));
    let settings = ConnectionSettings::from_secret(&settings).unwrap();
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(connect(&url).await);
    }
    let error = Session::connect(&settings, "test").await.unwrap_err();
    expect_limit(&error, "the server", "max_connections");
    for _ in 0..2 {
        others.push(connect(&server.url("postgres")).await);
    }
    let superuser = ConnectionSettings::from_secret(&server.url("postgres")).unwrap();
    let error = Session::connect(&superuser, "test").await.unwrap_err();
    expect_limit(&error, "the server", "max_connections");
}

#[tokio::test]
async fn a_limit_that_a_client_program_meets_is_named_too() {
    let role = "lifeboat_paired";
    let fixture = Fixture::new(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 2 PASSWORD '{role}'"));
    let snapshot = Snapshot::take(&fixture.settings_as(role), &SnapshotOptions::default()).await.unwrap();
    let _other = connect(&fixture.server.url_as(role, role, &fixture.database)).await;
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("schema");
    let error = snapshot.schema_archive(&fixture.tools().await, &archive).await.unwrap_err();
    expect_limit(&error, "role `lifeboat_paired`", "ALTER ROLE \"lifeboat_paired\" CONNECTION LIMIT");
    // This program does not say why it has no connection.
    let error = snapshot.roles(&fixture.tools().await, &directory.path().join("roles")).await.unwrap_err();
    expect_limit(&error, "role `lifeboat_paired`", "ALTER ROLE \"lifeboat_paired\" CONNECTION LIMIT");
}
