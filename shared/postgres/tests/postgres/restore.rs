//! The restore side: scratch databases, refusals, proofs that notice.

use jiff::SignedDuration;
use lifeboat_model::CHUNK_BYTES;
use lifeboat_postgres::{PostgresError, RestoreTarget};

use crate::fixture::{Fixture, copy_all, hasher, restore_and_prove};

#[tokio::test]
async fn a_proof_notices_one_changed_value_one_missing_row_and_one_lost_index() {
    let fixture = Fixture::new(
        "CREATE TABLE t (a int, b text); INSERT INTO t SELECT i, 'x' FROM generate_series(1, 100) i; CREATE INDEX i ON t (a)",
    );
    let (scratch, mut prover) = restore_and_prove(&fixture).await;
    let snapshot = fixture.snapshot().await;
    let table = copy_all(&snapshot, CHUNK_BYTES).await.remove(0);
    let there = |sql: &str| fixture.server.psql(scratch.name(), sql).unwrap();

    there("UPDATE t SET b = 'y' WHERE a = 50");
    let changed = prover.digest_table(&table.table, &hasher()).await.unwrap();
    assert_eq!(changed.rows, table.rows);
    assert_ne!(changed.digest, table.digest);
    there("UPDATE t SET b = 'x' WHERE a = 50");
    assert_eq!(prover.digest_table(&table.table, &hasher()).await.unwrap().digest, table.digest);
    there("DELETE FROM t WHERE a = 1");
    assert_eq!(prover.digest_table(&table.table, &hasher()).await.unwrap().rows, table.rows - 1);
    there("DROP INDEX i");
    let differences = snapshot.inventory().await.unwrap().differences(&prover.inventory().await.unwrap());
    assert_eq!(differences.len(), 1, "{differences:?}");
    prover.close().await;
    scratch.drop_database().await.unwrap();
}

#[tokio::test]
async fn a_database_that_holds_anything_is_refused_and_what_it_holds_is_named() {
    for (sql, example) in [
        ("CREATE TABLE t (a int)", "public.t"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "public.f()"),
        ("CREATE TYPE mood AS ENUM ('a')", "public.mood"),
        ("CREATE SCHEMA other", "schema other"),
        ("SELECT lo_create(5)", "large object 5"),
    ] {
        let fixture = Fixture::new("");
        let target = RestoreTarget::new(fixture.settings());
        target.require_empty().await.unwrap();
        fixture.sql(sql);
        let error = target.require_empty().await.unwrap_err();
        assert!(matches!(&error, PostgresError::NotEmpty { example: found, .. } if found == example), "{error:?}");
    }
}

#[tokio::test]
async fn leftovers_of_killed_runs_are_dropped_and_nothing_else() {
    let fixture = Fixture::new("");
    let server = fixture.scratch_server();
    let snapshot = fixture.snapshot().await;
    let exists = |name: &str| fixture.sql(&format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'")) == "1";
    fixture.server.psql("postgres", "CREATE DATABASE lifeboat_leftover_foreign").unwrap();
    let live = server.create_database("lifeboat_leftover_live", snapshot.source()).await.unwrap();
    // A killed run: its sessions end, its database stays.
    drop(server.create_database("lifeboat_leftover_killed", snapshot.source()).await.unwrap());
    let kept = server.create_database("lifeboat_leftover_kept", snapshot.source()).await.unwrap();
    kept.keep().await;

    assert_eq!(server.drop_leftovers("lifeboat_leftover_", SignedDuration::from_hours(1)).await.unwrap(), [""; 0]);
    assert!(exists("lifeboat_leftover_killed"), "not old enough");
    let mut dropped = Vec::new();
    for _ in 0..50 {
        // The server notices a vanished client in its own time.
        dropped.extend(server.drop_leftovers("lifeboat_leftover_", SignedDuration::ZERO).await.unwrap());
        if !dropped.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(dropped, ["lifeboat_leftover_killed"]);
    assert!(
        exists("lifeboat_leftover_foreign") && exists("lifeboat_leftover_live") && exists("lifeboat_leftover_kept")
    );
    live.drop_database().await.unwrap();
    assert!(!exists("lifeboat_leftover_live"));
}

#[tokio::test]
async fn a_plain_role_that_may_create_databases_and_roles_can_drill() {
    let fixture = Fixture::new(
        "CREATE ROLE lifeboat_driller LOGIN CREATEDB CREATEROLE PASSWORD 'lifeboat_driller';
         CREATE ROLE lifeboat_gone; CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO lifeboat_gone;",
    );
    let directory = tempfile::tempdir().unwrap();
    let (archive, roles) = (directory.path().join("schema"), directory.path().join("roles.sql"));
    let tools = fixture.tools().await;
    let snapshot = fixture.snapshot().await;
    snapshot.schema_archive(&tools, &archive).await.unwrap();
    snapshot.roles(&tools, &roles).await.unwrap();
    let copied = copy_all(&snapshot, CHUNK_BYTES).await.remove(0);
    // The server to restore on does not know the role.
    let source = snapshot.source().clone();
    snapshot.close().await.unwrap();
    fixture.sql("DROP OWNED BY lifeboat_gone; DROP ROLE lifeboat_gone");
    let settings = fixture.settings_as("lifeboat_driller").with_database("postgres");
    let scratch =
        lifeboat_postgres::ScratchServer::new(settings).create_database("lifeboat_plain_drill", &source).await.unwrap();
    let target = scratch.target();
    let only = std::fs::read_to_string(&roles).unwrap();
    let only: String =
        only.lines().filter(|line| line.contains("lifeboat_gone")).map(|line| format!("{line}\n")).collect();
    assert_eq!(target.restore_roles(&only).await.unwrap(), ["lifeboat_gone"]);
    assert_eq!(target.restore_roles(&only).await.unwrap(), [""; 0], "twice does nothing more");
    target.restore_section(&tools, &archive, lifeboat_postgres::Section::PreData).await.unwrap();
    let mut loader = target.loader().await.unwrap();
    loader.load_chunk(&copied.table, &copied.chunks[0]).await.unwrap();
    target.restore_section(&tools, &archive, lifeboat_postgres::Section::PostData).await.unwrap();
    let owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 't'";
    assert_eq!(fixture.server.psql(scratch.name(), owner).unwrap(), "lifeboat_gone");
    loader.close().await;
    scratch.drop_database().await.unwrap();
    fixture.sql("DROP ROLE lifeboat_gone");
}
