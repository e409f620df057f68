//! Settings of roles and databases: they reach neither our own sessions nor the client programs.

use std::collections::{HashMap, HashSet};

use lifeboat_local::{PoolMode, Pooler};
use lifeboat_postgres::{ConnectionSettings, PostgresError, RestoreTarget, Snapshot, SnapshotOptions};

use crate::fixture::{Fixture, copy_all};

/// Takes everything of a backup that a session or a program reads.
async fn read_everything(fixture: &Fixture, settings: &ConnectionSettings) -> Result<String, PostgresError> {
    let (directory, tools) = (tempfile::tempdir().unwrap(), fixture.tools().await);
    let snapshot = Snapshot::take(settings, &SnapshotOptions::default()).await?;
    snapshot.schema_archive(&tools, &directory.path().join("schema")).await?;
    snapshot.inventory().await?;
    snapshot.sequences(None).await?;
    let roles = directory.path().join("roles");
    snapshot.roles(&tools, &roles).await?;
    snapshot.globals().await?;
    copy_all(&snapshot, 1 << 20).await;
    snapshot.close().await?;
    Ok(std::fs::read_to_string(roles).unwrap())
}

/// The lines of a script of roles that create or grant.
fn without_settings(roles: &str) -> Vec<&str> {
    let creates =
        |line: &&str| ["CREATE ROLE", "GRANT"].iter().any(|word| line.starts_with(word)) || line.contains(" WITH ");
    roles.lines().filter(creates).collect()
}

#[tokio::test]
async fn no_setting_of_a_role_or_of_a_database_stops_a_backup() {
    let role = "lifeboat_set";
    // Roles and their settings belong to the whole server.
    let fixture = Fixture::with_server_of_its_own(&format!(
        "CREATE TABLE t (a int, b timestamptz); INSERT INTO t VALUES (1, now()); CREATE SEQUENCE s;
         CREATE ROLE nobody NOLOGIN; CREATE ROLE dated VALID UNTIL '2031-02-03 04:05:06+00';
         CREATE ROLE {role} LOGIN PASSWORD '{role}'; GRANT pg_read_all_data, nobody TO {role};
         CREATE SCHEMA hidden; CREATE TABLE hidden.t (a int)"
    ));
    let settings = fixture.settings_as(role);
    let postgres = |sql: &str| fixture.server.psql("postgres", sql).unwrap();
    let expected = read_everything(&fixture, &settings).await.unwrap();
    assert!(expected.contains("VALID UNTIL '2031-02-03"), "{expected}");
    let major: u32 = postgres("SHOW server_version_num").parse().unwrap();
    let mut failed = Vec::new();
    for whose in [format!("ROLE {role}"), format!("DATABASE {}", fixture.database)] {
        for (name, value) in [
            ("statement_timeout", "'1ms'"),
            ("lock_timeout", "'1ms'"),
            ("idle_session_timeout", "'1ms'"),
            ("idle_in_transaction_session_timeout", "'1ms'"),
            ("transaction_timeout", "'1ms'"),
            ("role", "nobody"),
            ("default_transaction_read_only", "on"),
            ("default_transaction_isolation", "serializable"),
            ("default_transaction_deferrable", "on"),
            ("quote_all_identifiers", "on"),
            ("array_nulls", "off"),
            ("transform_null_equals", "on"),
            ("standard_conforming_strings", "off"),
            ("exit_on_error", "on"),
            ("search_path", "hidden"),
            ("DateStyle", "'German, DMY'"),
            ("constraint_exclusion", "on"),
        ] {
            if name == "transaction_timeout" && major < 170_000 {
                continue;
            }
            postgres(&format!("ALTER {whose} SET {name} = {value}"));
            match read_everything(&fixture, &settings).await {
                // The settings themselves are part of the script.
                Ok(roles) if without_settings(&roles) == without_settings(&expected) => {}
                Ok(_) => failed.push(format!("{whose} {name}: other roles")),
                Err(error) => failed.push(format!("{whose} {name}: {error} {error:?}")),
            }
            postgres(&format!("ALTER {whose} RESET {name}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test]
async fn no_setting_of_the_restoring_role_stops_a_restore() {
    let role = "lifeboat_writer";
    let fixture = Fixture::with_server_of_its_own(&format!(
        "CREATE TABLE t (a int PRIMARY KEY); CREATE ROLE nobody NOLOGIN; CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{role}'"
    ));
    let (directory, tools) = (tempfile::tempdir().unwrap(), fixture.tools().await);
    let archive = directory.path().join("schema");
    fixture.snapshot().await.schema_archive(&tools, &archive).await.unwrap();
    for (name, value) in [
        ("statement_timeout", "1"),
        ("idle_session_timeout", "1"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_isolation", "serializable"),
        ("role", "nobody"),
    ] {
        fixture.server.psql("postgres", &format!("ALTER ROLE {role} SET {name} = {value}")).unwrap();
    }
    fixture.server.psql("postgres", "CREATE DATABASE target").unwrap();
    let target = RestoreTarget::new(fixture.settings_as(role).with_database("target"));
    let mut definitions = target.archive_restore(&tools, &archive, true, Vec::new()).await.unwrap();
    definitions.restore_pre_data().await.unwrap();
    definitions.restore_post_data(&HashSet::new(), &HashMap::new()).await.unwrap();
    assert_eq!(definitions.set_aside().await.unwrap(), []);
    assert_eq!(
        fixture.server.psql("target", "SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass").unwrap(),
        "1"
    );
    let owner = "SELECT relowner::regrole FROM pg_class WHERE relname = 't'";
    assert_eq!(fixture.server.psql("target", owner).unwrap(), "postgres");
}

#[tokio::test]
async fn the_options_of_a_url_are_kept_and_a_role_in_them_is_used() {
    let role = "lifeboat_chooser";
    let fixture = Fixture::with_server_of_its_own(&format!(
        "CREATE TABLE t (a int); CREATE ROLE reader NOLOGIN; CREATE ROLE {role} NOINHERIT LOGIN PASSWORD '{role}';
         GRANT pg_read_all_data TO reader; ALTER ROLE reader INHERIT; GRANT reader TO {role}; ALTER ROLE {role} SET statement_timeout = 1"
    ));
    let url = fixture.server.url_as(role, role, &fixture.database);
    let with_options = |options: &str| ConnectionSettings::from_secret(&format!("{url}&options={options}")).unwrap();
    read_everything(&fixture, &with_options("-c%20role%3Dreader")).await.unwrap();
    read_everything(&fixture, &with_options("--role=reader%20-c%20application_name=a%5C%20b")).await.unwrap();
}

#[tokio::test]
async fn a_pooler_that_refuses_startup_options_is_no_hindrance_where_a_setting_does_no_harm() {
    let fixture = Fixture::new("CREATE TABLE t (a int)");
    let pooler = Pooler::start(&fixture.server, PoolMode::Session).unwrap();
    let settings = ConnectionSettings::from_secret(&pooler.url(&fixture.database)).unwrap();
    fixture.sql(&format!("ALTER DATABASE {} SET statement_timeout = '60s'", fixture.database));
    read_everything(&fixture, &settings).await.unwrap();
}
