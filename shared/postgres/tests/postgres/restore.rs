//! The restore side: scratch databases, refusals, proofs that notice.

use std::collections::{HashMap, HashSet};

use jiff::SignedDuration;
use lifeboat_model::{CHUNK_BYTES, ObjectKind};
use lifeboat_postgres::{PostgresError, RestoreTarget, ScratchServer};

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

    assert_eq!(server.sweep("lifeboat_leftover_", SignedDuration::from_hours(1), &[]).await.unwrap().dropped, [""; 0]);
    assert!(exists("lifeboat_leftover_killed"), "not old enough");
    let mut dropped = Vec::new();
    for _ in 0..50 {
        // The server notices a vanished client in its own time.
        dropped.extend(server.sweep("lifeboat_leftover_", SignedDuration::ZERO, &[]).await.unwrap().dropped);
        if !dropped.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(dropped, ["lifeboat_leftover_killed"]);
    assert!(exists("lifeboat_leftover_foreign") && exists("lifeboat_leftover_live"));
    live.drop_database().await.unwrap();
    assert!(!exists("lifeboat_leftover_live"));
}

#[tokio::test]
async fn a_plain_role_that_may_create_databases_and_roles_can_drill() {
    let fixture = Fixture::with_server_of_its_own(
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
    let roles = target.restore_roles(&only, true).await.unwrap();
    assert_eq!(roles.created, ["lifeboat_gone"]);
    assert_eq!(target.restore_roles(&only, true).await.unwrap().created, [""; 0], "twice does nothing more");
    let mut definitions = target.archive_restore(&tools, &archive, true, Vec::new()).await.unwrap();
    definitions.restore_pre_data().await.unwrap();
    let mut loader = target.loader().await.unwrap();
    loader.load_chunk(&copied.table, &copied.chunks[0]).await.unwrap();
    definitions.restore_post_data(&HashSet::new(), &HashMap::new()).await.unwrap();
    assert_eq!(definitions.set_aside().await.unwrap(), []);
    let owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 't'";
    assert_eq!(fixture.server.psql(scratch.name(), owner).unwrap(), "lifeboat_gone");
    loader.close().await;

    let rights = "SELECT has_schema_privilege('lifeboat_gone', 'public', 'CREATE'),
                         pg_has_role('lifeboat_driller', 'lifeboat_gone', 'MEMBER')";
    assert_eq!(fixture.server.psql(scratch.name(), rights).unwrap(), "t|t", "what it borrows");
    target.take_back_create(&only, "").await.unwrap();
    assert_eq!(target.leave_roles(&roles).await.unwrap(), [""; 0]);
    assert_eq!(fixture.server.psql(scratch.name(), rights).unwrap(), "f|f", "and gives back");
    scratch.drop_database().await.unwrap();
    fixture.sql("DROP ROLE lifeboat_gone");
}

#[tokio::test]
async fn a_membership_that_was_there_before_stays_and_one_that_cannot_be_ended_is_named() {
    let fixture = Fixture::with_server_of_its_own(
        "CREATE ROLE lifeboat_keeper LOGIN CREATEROLE PASSWORD 'lifeboat_keeper'; CREATE ROLE lifeboat_old; CREATE ROLE lifeboat_new;
         GRANT lifeboat_old TO lifeboat_keeper",
    );
    let target = RestoreTarget::new(fixture.settings_as("lifeboat_keeper"));
    let both = "CREATE ROLE lifeboat_old;\nCREATE ROLE lifeboat_new;";
    let roles = target.restore_roles(both, true).await.unwrap();
    // From here on it may not revoke what it was granted.
    fixture.sql("ALTER ROLE lifeboat_keeper NOCREATEROLE");
    let notes = target.leave_roles(&roles).await.unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("is still a member of `lifeboat_new`: `REVOKE"), "{notes:?}");
    fixture.sql("ALTER ROLE lifeboat_keeper CREATEROLE");
    assert_eq!(target.leave_roles(&roles).await.unwrap(), [""; 0]);
    let members =
        "SELECT string_agg(roleid::regrole::text, ' ') FROM pg_auth_members WHERE member = 'lifeboat_keeper'::regrole";
    assert_eq!(fixture.sql(members), "lifeboat_old");
}

#[tokio::test]
async fn a_role_of_a_drill_whose_comment_may_not_be_changed_is_a_note_and_keeps_no_restore_from_its_end() {
    let fixture = Fixture::with_server_of_its_own(
        "CREATE ROLE lifeboat_humble LOGIN PASSWORD 'lifeboat_humble'; CREATE ROLE lifeboat_marked;
         COMMENT ON ROLE lifeboat_marked IS 'lifeboat: created by a drill, which drops it when it ends'",
    );
    let target = lifeboat_postgres::RestoreTarget::new(fixture.settings_as("lifeboat_humble"));
    let roles = target.restore_roles("CREATE ROLE lifeboat_marked;", true).await.unwrap();
    assert_eq!(roles.created, [""; 0], "it stays as it is");
    let [note] = <[String; 1]>::try_from(roles.refused).unwrap();
    assert!(note.starts_with("role `lifeboat_marked` was created by a drill"), "{note}");
    let target = lifeboat_postgres::RestoreTarget::new(fixture.settings());
    let roles = target.restore_roles("CREATE ROLE lifeboat_marked;", true).await.unwrap();
    assert_eq!((roles.created, roles.refused), (vec!["lifeboat_marked".to_owned()], vec![]));
}

#[tokio::test]
async fn a_run_killed_before_it_could_comment_on_its_database_leaves_a_leftover_too_and_nothing_else_looks_like_one() {
    let fixture = Fixture::with_server_of_its_own("CREATE ROLE lifeboat_someone");
    let server = fixture.scratch_server();
    let prefix = "lifeboat_uncommented";
    let killed = ScratchServer::database_name(prefix, 0x0123_abcd);
    assert_eq!(killed, "lifeboat_uncommented_0123abcd");
    let others = [
        "lifeboat_uncommented",
        "lifeboat_uncommented_",
        "lifeboat_uncommented_0123abc",
        "lifeboat_uncommented_0123abcde",
        "lifeboat_uncommented_0123ABCD",
        "lifeboat_uncommented_0123wxyz",
        "lifeboat_uncommented0123abcd",
        "lifeboat_uncommented_my_0123abcd",
    ];
    // Another owner's, another's comment, and one that a live run has claimed but not commented on yet.
    let (owned, commented, claimed) =
        ("lifeboat_uncommented_00000001", "lifeboat_uncommented_00000002", "lifeboat_uncommented_00000003");
    for name in others.into_iter().chain([killed.as_str(), owned, commented, claimed]) {
        fixture.server.psql("postgres", &format!("CREATE DATABASE \"{name}\"")).unwrap();
    }
    fixture
        .sql(&format!("ALTER DATABASE {owned} OWNER TO lifeboat_someone; COMMENT ON DATABASE {commented} IS 'mine'"));
    let url = fixture.server.url("postgres");
    let (run, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let claim = format!("SELECT pg_advisory_lock(hashtextextended('lifeboat scratch {claimed}', 0))");
    run.batch_execute(&claim).await.unwrap();

    assert_eq!(server.sweep(prefix, SignedDuration::ZERO, &[]).await.unwrap().dropped, [killed.as_str()]);
    for name in others.into_iter().chain([owned, commented, claimed]) {
        fixture.server.psql("postgres", &format!("DROP DATABASE \"{name}\"")).unwrap();
    }
    fixture.sql("DROP ROLE lifeboat_someone");
}

#[tokio::test]
async fn extensions_that_a_server_does_not_have_are_all_named_before_anything_is_restored() {
    let fixture = Fixture::new("CREATE EXTENSION citext");
    let target = RestoreTarget::new(fixture.settings());
    let mut inventory = fixture.snapshot().await.inventory().await.unwrap();
    target.require_extensions(&inventory).await.unwrap();
    for name in ["postgis", "a_vector"] {
        let mut object = inventory.objects[0].clone();
        (object.kind, object.identity) = (ObjectKind::Extension, name.to_owned());
        inventory.objects.push(object);
    }
    let error = target.require_extensions(&inventory).await.unwrap_err();
    assert!(
        matches!(&error, PostgresError::ExtensionsMissing { names } if names == &["a_vector", "postgis"]),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("`a_vector`, `postgis`") && error.advice().hint.contains("install their packages")
    );
}

#[tokio::test]
async fn a_role_from_which_forced_policies_would_hide_restored_rows_is_refused_before_anything_is_restored() {
    let fixture = Fixture::with_server_of_its_own(
        "CREATE ROLE lifeboat_bound LOGIN PASSWORD 'lifeboat_bound'; CREATE ROLE lifeboat_free LOGIN BYPASSRLS PASSWORD 'lifeboat_free';
         CREATE TABLE t (a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE TABLE u (a int); ALTER TABLE u FORCE ROW LEVEL SECURITY",
    );
    let snapshot = fixture.snapshot().await;
    let harmless = snapshot.inventory().await.unwrap();
    snapshot.close().await.unwrap();
    fixture.sql("ALTER TABLE t FORCE ROW LEVEL SECURITY");
    let inventory = fixture.snapshot().await.inventory().await.unwrap();
    let (bound, free) = (fixture.settings_as("lifeboat_bound"), fixture.settings_as("lifeboat_free"));
    RestoreTarget::new(bound.clone()).require_row_access(&harmless).await.unwrap();
    for settings in [fixture.settings(), free] {
        RestoreTarget::new(settings).require_row_access(&inventory).await.unwrap();
    }
    let error = RestoreTarget::new(bound).require_row_access(&inventory).await.unwrap_err();
    assert!(
        matches!(&error, PostgresError::RowSecurityForced { role, count: 1, first } if role == "lifeboat_bound" && first == "public.t"),
        "{error:?}"
    );
    fixture.sql("DROP ROLE lifeboat_bound; DROP ROLE lifeboat_free");
}

#[tokio::test]
async fn a_recorded_name_is_gone_when_neither_a_database_nor_a_run_has_it_and_what_cannot_be_dropped_is_named_and_keeps_nothing_else()
 {
    let fixture = Fixture::with_server_of_its_own("");
    let (server, prefix) = (fixture.scratch_server(), "lifeboat_swept");
    let source = fixture.snapshot().await.source().clone();
    let name = |number| ScratchServer::database_name(prefix, number);
    let (stuck, dead, claimed, absent) = (name(1), name(2), name(3), name(4));
    for database in [&stuck, &dead] {
        fixture.server.psql("postgres", &format!("CREATE DATABASE {database}")).unwrap();
    }
    fixture.server.psql("postgres", &format!("ALTER DATABASE {stuck} IS_TEMPLATE true")).unwrap();
    let claim = server.claim(&claimed).await.unwrap();
    let recorded = [&stuck, &dead, &claimed, &absent].map(Clone::clone);
    let swept = server.sweep(prefix, SignedDuration::ZERO, &recorded).await.unwrap();
    assert_eq!((swept.dropped, swept.gone), (vec![dead.clone()], vec![absent]));
    let refused: Vec<&str> = swept.refused.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(refused, [stuck.as_str(), claimed.as_str()]);
    assert!(swept.refused[0].1.contains("template"), "{:?}", swept.refused);
    claim.create(&source).await.unwrap().drop_database().await.unwrap();
    fixture.server.psql("postgres", &format!("ALTER DATABASE {stuck} IS_TEMPLATE false")).unwrap();
    let swept = server.sweep(prefix, SignedDuration::ZERO, &[]).await.unwrap();
    assert_eq!((swept.dropped, swept.refused), (vec![stuck], vec![]));
    // Another's database under a name on record is neither dropped nor gone.
    for sql in [format!("CREATE DATABASE {dead}"), format!("COMMENT ON DATABASE {dead} IS 'mine'")] {
        fixture.server.psql("postgres", &sql).unwrap();
    }
    let swept = server.sweep(prefix, SignedDuration::ZERO, std::slice::from_ref(&dead)).await.unwrap();
    assert_eq!((swept.dropped, swept.gone), (vec![], vec![]));
    assert!(swept.refused[0].0 == dead && swept.refused[0].1.contains("drop it by hand"), "{:?}", swept.refused);
}

#[tokio::test]
async fn a_plain_role_reads_which_server_it_is_and_one_that_may_not_gets_no_error() {
    let fixture = Fixture::with_server_of_its_own("CREATE ROLE lifeboat_plain LOGIN PASSWORD 'lifeboat_plain'");
    let plain = ScratchServer::new(fixture.settings_as("lifeboat_plain"));
    let read = plain.identity().await.unwrap();
    assert_eq!(read.system_identifier, Some(fixture.sql("SELECT system_identifier FROM pg_control_system()")));
    let started = fixture.sql("SELECT round(extract(epoch FROM pg_postmaster_start_time()))");
    assert_eq!(read.started_at.as_second().to_string(), started);
    fixture.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    let unknown = plain.identity().await.unwrap();
    assert_eq!((unknown.system_identifier, unknown.started_at), (None, read.started_at));
}
