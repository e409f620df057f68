//! Restores that are killed and continued: the marks on the target, and who may go on.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use lifeboat_model::{BackupId, Response};
use lifeboat_postgres::{ClientTools, Disposition, DoneMarks, PostgresError, Relation, RestoreTarget};

use crate::fixture::Fixture;

/// No test waits for another restore as long as a person would.
const SOON: Duration = Duration::from_millis(300);

fn backup(last: u32) -> BackupId {
    format!("2026-07-26T03-15-00Z-abc{}", last + 2).parse().unwrap()
}

async fn begin(target: &RestoreTarget, run_id: &str, last: u32) -> Result<DoneMarks, PostgresError> {
    // A session that was dropped a moment ago may hold its lock still.
    target.begin_marks(run_id, &backup(last), &tools().await, Duration::from_secs(5)).await
}

#[tokio::test]
async fn an_unfinished_restore_goes_on_with_its_own_backup_alone_and_its_marks_are_nobodys_and_in_nobodys_way() {
    let fixture = Fixture::new("");
    let target = RestoreTarget::new(fixture.settings());
    let marks = begin(&target, "run-one", 1).await.unwrap();
    assert_eq!(marks.run_id(), "run-one");
    fixture.sql("CREATE TABLE restored (i int); CREATE ROLE marks_reader");
    let error =
        fixture.server.psql(&fixture.database, "SET ROLE marks_reader; TABLE lifeboat_restore.done").unwrap_err();
    assert!(error.to_string().contains("permission denied"), "{error}");
    fixture.sql("DROP ROLE marks_reader");
    let snapshot = fixture.snapshot().await;
    let (left_out, copied): (Vec<_>, Vec<_>) = snapshot
        .relations()
        .iter()
        .partition(|relation| matches!(&relation.disposition, Disposition::LeftOut { rule } if rule.contains("marks")));
    let names = |relations: Vec<&Relation>| relations.iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(copied), ["public.restored"]);
    assert_eq!(names(left_out), ["lifeboat_restore.done", "lifeboat_restore.restore"], "left out by a rule, and named");
    let archive = tempfile::NamedTempFile::new().unwrap();
    snapshot.schema_archive(&fixture.tools().await, archive.path()).await.unwrap();
    let bytes = String::from_utf8_lossy(&std::fs::read(archive.path()).unwrap()).into_owned();
    assert!(bytes.contains("restored") && !bytes.contains("lifeboat_restore"));
    let objects = snapshot.inventory().await.unwrap().objects;
    assert!(objects.iter().all(|object| !object.identity.contains("lifeboat_restore")), "{objects:?}");
    drop((marks, snapshot));

    let error = begin(&target, "run-two", 2).await.unwrap_err();
    assert!(
        matches!(&error, PostgresError::UnfinishedRestore { backup_id, .. } if *backup_id == backup(1).to_string())
    );
    let advice = error.advice();
    assert!(advice.response == Response::Fail && advice.hint.contains(&backup(1).to_string()), "{}", advice.hint);
    let marks = begin(&target, "run-three", 1).await.unwrap();
    assert_eq!(marks.run_id(), "run-one", "it is the run that began");
    marks.finish().await.unwrap();
    drop(marks);
    assert_eq!(fixture.sql("SELECT to_regnamespace('lifeboat_restore') IS NULL, count(*) FROM restored"), "t|0");
    let error = begin(&target, "run-four", 1).await.unwrap_err();
    assert!(matches!(&error, PostgresError::NotEmpty { example, .. } if example == "public.restored"), "{error:?}");
}

#[tokio::test]
async fn of_two_restores_into_one_database_the_second_is_refused_and_may_try_again() {
    let fixture = Fixture::new("");
    let target = RestoreTarget::new(fixture.settings());
    let first = begin(&target, "run-one", 1).await.unwrap();
    let error = target.begin_marks("run-two", &backup(1), &tools().await, SOON).await.unwrap_err();
    assert!(
        matches!(&error, PostgresError::RestoreUnderWay { database } if *database == fixture.database),
        "{error:?}"
    );
    assert_eq!(error.advice().response, Response::Retry);
    drop(first);
    assert_eq!(begin(&target, "run-two", 1).await.unwrap().run_id(), "run-one");
}

#[tokio::test]
async fn marks_that_a_user_made_are_not_taken_for_a_restores() {
    let fixture = Fixture::new("CREATE SCHEMA lifeboat_restore; CREATE TABLE lifeboat_restore.done (i int)");
    let error = begin(&RestoreTarget::new(fixture.settings()), "run", 1).await.unwrap_err();
    assert!(matches!(&error, PostgresError::NotEmpty { example, .. } if example == "schema lifeboat_restore"));
    assert_eq!(fixture.sql("SELECT count(*) FROM lifeboat_restore.done"), "0");
}

#[tokio::test]
async fn event_triggers_of_the_restored_database_do_not_fire_when_the_marks_go() {
    let fixture = Fixture::with_server_of_its_own("");
    let target = RestoreTarget::new(fixture.settings());
    let marks = begin(&target, "run", 1).await.unwrap();
    fixture.sql(
        "CREATE FUNCTION nothing_goes() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''nothing goes''; END';
         CREATE EVENT TRIGGER nothing_goes ON ddl_command_start EXECUTE FUNCTION nothing_goes();
         ALTER EVENT TRIGGER nothing_goes ENABLE ALWAYS",
    );
    marks.finish().await.unwrap();
    assert_eq!(
        fixture.sql("SELECT to_regnamespace('lifeboat_restore') IS NULL, evtenabled FROM pg_event_trigger"),
        "t|A"
    );
}

/// Each evaluation of the index's expression is counted, and takes its time in the restored database. A sequence is not rolled back.
const SLOW_INDEX: &str = "
CREATE SEQUENCE calls;
CREATE FUNCTION slow(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN IF current_database() LIKE ''%again'' THEN PERFORM pg_sleep(0.04), nextval(''public.calls''); END IF; RETURN i; END';
CREATE TABLE t (i int);
INSERT INTO t SELECT generate_series(1, 50);
CREATE INDEX t_slow ON t (slow(i));
ALTER TABLE t ADD PRIMARY KEY (i)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_a_server_still_builds_for_a_dead_client_is_waited_for_and_not_built_twice() {
    let fixture = Fixture::new(SLOW_INDEX);
    let name = format!("{}_again", fixture.database);
    fixture.server.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (archive, tools) = (folder.path().join("schema"), fixture.tools().await);
    fixture.snapshot().await.schema_archive(&tools, &archive).await.unwrap();
    let attempt = {
        let (settings, archive) = (fixture.settings().with_database(&name), archive.clone());
        move || {
            let (settings, archive, tools) = (settings.clone(), archive.clone(), tools.clone());
            async move {
                let target = RestoreTarget::new(settings);
                let marks = begin(&target, "run", 1).await.unwrap();
                let target = target.with_marks(marks);
                let mut definitions = target.archive_restore(&tools, &archive, true, Vec::new()).await.unwrap();
                definitions.restore_pre_data().await.unwrap();
                let mut loader = target.loader().await.unwrap();
                let table = lifeboat_postgres::TableTarget {
                    name: lifeboat_postgres::RelationName::new("public", "t"),
                    columns: vec!["i".to_owned()],
                    format: lifeboat_model::CopyFormat::Text,
                };
                if !target.marks().unwrap().has_chunk(0) {
                    let rows: String = (1..=50).map(|i| format!("{i}\n")).collect();
                    let obstacles = target.obstacles(Vec::new()).unwrap();
                    loader.load_chunk_around(0, &table, rows.as_bytes(), &obstacles, false).await.unwrap();
                }
                definitions.restore_post_data(&HashSet::new(), &HashMap::new()).await.unwrap();
                definitions.set_aside().await.unwrap()
            }
        }
    };
    let building = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND query LIKE '%CREATE INDEX%' AND wait_event = 'PgSleep'"
    );
    let first = tokio::spawn(attempt());
    while fixture.server.psql("postgres", &building).unwrap() != "1" {
        assert!(!first.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(attempt().await, []);
    let built = "SELECT (SELECT last_value FROM calls), (SELECT count(*) FROM t), (SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass AND indisvalid)";
    assert_eq!(fixture.server.psql(&name, built).unwrap(), "50|50|2");
    fixture.server.psql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
}

async fn tools() -> ClientTools {
    ClientTools::find(None).await.unwrap()
}
