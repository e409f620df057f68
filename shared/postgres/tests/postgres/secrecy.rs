//! No row value and no password in any error, whatever goes wrong.

use std::collections::{HashMap, HashSet};

use lifeboat_model::CopyFormat;
use lifeboat_postgres::{ConnectionSettings, PostgresError, RelationName, RestoreTarget, Session, TableTarget};

use crate::fixture::{Fixture, copy_all};

/// Everything an error can show: itself, its causes, and its debug form.
fn shown(error: &PostgresError) -> String {
    let mut text = format!("{error:?} {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn a_chunk_that_does_not_load_does_not_quote_its_rows() {
    let fixture = Fixture::new(
        "CREATE TABLE t (a int PRIMARY KEY, b text CHECK (b <> 'Jane Doe')); INSERT INTO t VALUES (1, 'x')",
    );
    let mut loader = RestoreTarget::new(fixture.settings()).loader().await.unwrap();
    let table = TableTarget {
        name: RelationName::new("public", "t"),
        columns: vec!["a".to_owned(), "b".to_owned()],
        format: CopyFormat::Text,
    };
    for rows in ["Jane Doe\t1\n", "1\tJane Doe 2\n", "2\tJane Doe\n", "3\tJane Doe\tx\n", "Jane Doe"] {
        let error = loader.load_chunk(&table, rows.as_bytes()).await.unwrap_err();
        assert!(matches!(error, PostgresError::Query { .. }), "{error:?}");
        assert!(!shown(&error).contains("Jane"), "{}", shown(&error));
    }
    // A refused chunk leaves nothing behind, and the session goes on.
    assert_eq!(loader.load_chunk(&table, b"4\tfour\n").await.unwrap(), 1);
    assert_eq!(fixture.sql("SELECT count(*) FROM t"), "2");
}

#[tokio::test]
async fn a_message_of_user_code_is_withheld_whatever_sqlstate_it_states() {
    let fixture = Fixture::new(
        "CREATE FUNCTION refuse(name text, state text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
         BEGIN RAISE EXCEPTION 'patient % is locked', name USING ERRCODE = state, TABLE = name, CONSTRAINT = name; END $$;
         CREATE TABLE t (a text, b text CHECK (refuse(a, b)))",
    );
    let mut loader = RestoreTarget::new(fixture.settings()).loader().await.unwrap();
    let table = TableTarget {
        name: RelationName::new("public", "t"),
        columns: vec!["a".to_owned(), "b".to_owned()],
        format: CopyFormat::Text,
    };
    for state in ["23514", "23505", "42501", "42P01", "53400", "57014", "P0001", "22023"] {
        let error = loader.load_chunk(&table, format!("Jane Doe\t{state}\n").as_bytes()).await.unwrap_err();
        assert!(shown(&error).contains(state) && !shown(&error).contains("Jane"), "{}", shown(&error));
    }
}

#[tokio::test]
async fn a_message_of_an_input_function_that_looks_for_an_object_by_the_text_of_a_row_is_withheld() {
    let fixture = Fixture::new("CREATE TABLE t (c regclass, y regtype, f regconfig, q tsquery, n name, r regrole)");
    let mut loader = RestoreTarget::new(fixture.settings()).loader().await.unwrap();
    for (column, value) in [
        ("c", "JaneDoe"),
        ("c", "JaneDoe.number"),
        ("c", "JaneDoe.of.number"),
        ("c", "\"JaneDoe"),
        ("y", "JaneDoe"),
        ("f", "JaneDoe"),
        ("q", "Jane & | Doe"),
        ("r", "Jane"),
    ] {
        let table = TableTarget {
            name: RelationName::new("public", "t"),
            columns: vec![column.to_owned()],
            format: CopyFormat::Text,
        };
        let error = loader.load_chunk(&table, format!("{value}\n").as_bytes()).await.unwrap_err();
        assert!(matches!(error, PostgresError::Query { .. }), "{error:?}");
        assert!(!shown(&error).to_lowercase().contains("jane"), "{}", shown(&error));
    }
    // What a statement names is named.
    let table = TableTarget {
        name: RelationName::new("public", "t"),
        columns: vec!["absent".to_owned()],
        format: CopyFormat::Text,
    };
    let error = loader.load_chunk(&table, b"1\n").await.unwrap_err();
    assert!(shown(&error).contains("\"absent\" of relation \"t\" does not exist"), "{}", shown(&error));
}

#[tokio::test]
async fn a_chunk_far_larger_than_the_socket_that_the_server_refuses_early_still_tells_why() {
    let fixture = Fixture::new("CREATE TABLE t (a int)");
    let mut loader = RestoreTarget::new(fixture.settings()).loader().await.unwrap();
    let table = TableTarget {
        name: RelationName::new("public", "t"),
        columns: vec!["a".to_owned()],
        format: CopyFormat::Binary,
    };
    let rows = vec![b'J'; 32 * 1024 * 1024];
    let loaded =
        tokio::time::timeout(std::time::Duration::from_secs(20), loader.load_chunk(&table, &rows)).await.unwrap();
    assert!(matches!(loaded, Err(PostgresError::Query { .. })), "{loaded:?}");
}

#[tokio::test]
async fn a_restore_that_fails_on_rows_names_the_object_and_not_the_rows() {
    let fixture = Fixture::new(
        "CREATE TABLE t (name text, n text); INSERT INTO t VALUES ('Jane Doe', 'Jane 2'); CREATE UNIQUE INDEX one_name ON t (name)",
    );
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("schema");
    let tools = fixture.tools().await;
    let snapshot = fixture.snapshot().await;
    snapshot.schema_archive(&tools, &archive).await.unwrap();
    let copied = copy_all(&snapshot, 1 << 20).await.remove(0);
    let scratch = fixture.scratch_server().create_database("lifeboat_secrecy", snapshot.source()).await.unwrap();
    let target = scratch.target();
    let mut definitions = target.archive_restore(&tools, &archive, true, Vec::new()).await.unwrap();
    definitions.restore_pre_data().await.unwrap();
    let mut loader = target.loader().await.unwrap();
    for _ in 0..2 {
        loader.load_chunk(&copied.table, &copied.chunks[0]).await.unwrap();
    }
    definitions.restore_post_data(&HashSet::new(), &HashMap::new()).await.unwrap();
    let text = format!("{:?}", definitions.set_aside().await.unwrap());
    assert!(
        text.contains("one_name") && text.contains("1 key(s) are held by 2 rows") && !text.contains("Jane"),
        "{text}"
    );
    loader.close().await;
    scratch.drop_database().await.unwrap();
}

#[tokio::test]
async fn a_restore_whose_index_expression_raises_or_overflows_names_the_index_and_not_the_row() {
    for (name, body) in [
        ("raises", "BEGIN RAISE EXCEPTION 'patient % is locked', a; END"),
        ("pretends", "BEGIN RAISE EXCEPTION 'patient \"%\" does not exist', a; END"),
        ("poses", "BEGIN RAISE EXCEPTION E'odd\\npg_restore: error: %', a; END"),
        ("overflows", "BEGIN RETURN a::int; END"),
        ("executes", "BEGIN EXECUTE 'SELEKT ' || a; RETURN 1; END"),
    ] {
        let fixture = Fixture::new(&format!(
            "CREATE TABLE t (a text); INSERT INTO t VALUES ('1');
             CREATE FUNCTION f(a text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$BEGIN RETURN 1; END$$;
             CREATE INDEX by_number ON t (f(a)); TRUNCATE t;
             CREATE OR REPLACE FUNCTION f(a text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $${body}$$"
        ));
        let directory = tempfile::tempdir().unwrap();
        let archive = directory.path().join("schema");
        let tools = fixture.tools().await;
        let snapshot = fixture.snapshot().await;
        snapshot.schema_archive(&tools, &archive).await.unwrap();
        let scratch = format!("lifeboat_secrecy_{name}");
        let scratch = fixture.scratch_server().create_database(&scratch, snapshot.source()).await.unwrap();
        let target = scratch.target();
        let mut definitions = target.archive_restore(&tools, &archive, true, Vec::new()).await.unwrap();
        definitions.restore_pre_data().await.unwrap();
        fixture.server.psql(scratch.name(), "INSERT INTO t VALUES ('5551234567')").unwrap();
        definitions.restore_post_data(&HashSet::new(), &HashMap::new()).await.unwrap();
        let text = format!("{:?}", definitions.set_aside().await.unwrap());
        assert!(text.contains("public.by_number") && !text.contains("555"), "{name}: {text}");
        scratch.drop_database().await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_appears_neither_in_our_errors_nor_in_those_of_the_tools() {
    let fixture = Fixture::new("");
    let url = fixture.server.url_as("postgres", "hunter2hunter2", &fixture.database);
    let settings = ConnectionSettings::from_secret(&url).unwrap();
    let error = Session::connect(&settings, "test").await.unwrap_err();
    assert!(!shown(&error).contains("hunter2"), "{}", shown(&error));
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("archive");
    std::fs::write(&archive, b"PGDMP").unwrap();
    let (target, tools) = (RestoreTarget::new(settings), fixture.tools().await);
    let error = target.archive_restore(&tools, &archive, true, Vec::new()).await.err().unwrap();
    assert!(matches!(error, PostgresError::ToolFailed { .. }));
    assert!(!shown(&error).contains("hunter2"), "{}", shown(&error));
}
