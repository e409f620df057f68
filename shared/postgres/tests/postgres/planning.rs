//! Tables for which the server cannot plan a query, although `pg_dump` reads them: it plans none.

use std::time::Duration;

use lifeboat_model::{CHUNK_BYTES, SLICE_BLOCKS};
use lifeboat_postgres::{ConnectionSettings, RestoreTarget};
use tokio_postgres::NoTls;

use crate::fixture::{Copied, Fixture, copy_all, hasher, relation, restore_and_prove};

/// Rows of each table. They fill several slices.
const ROWS: u64 = 1200;

/// Functions that lean on a search path, and what makes the planner evaluate them. From version 17 on, such an index cannot be made, but a function
/// can still be replaced.
const UNPLANNABLE: &str = "
    CREATE EXTENSION unaccent; CREATE EXTENSION cube; CREATE EXTENSION earthdistance;
    CREATE FUNCTION plain(value text) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS 'SELECT lower($1)';
    CREATE TABLE limits (name text, most int); INSERT INTO limits VALUES ('a', 5);
    CREATE FUNCTION most(name text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 5; END';
    SELECT format('CREATE TABLE %I AS SELECT i::int AS n, i::float8 / 50 AS degrees, repeat(md5(i::text), 50) AS word
                   FROM generate_series(1, 1200) i', name)
    FROM unnest('{expression,predicate,constants,statistics,points,planned}'::text[]) name \\gexec
    CREATE INDEX ON expression (plain(word));
    CREATE INDEX ON predicate (n) WHERE plain(word) = 'x';
    CREATE INDEX ON constants (n) WHERE n > most('a');
    CREATE STATISTICS spread ON plain(word), n FROM statistics;
    CREATE INDEX ON points USING gist (ll_to_earth(degrees, degrees));
    CREATE INDEX ON planned (n);
    CREATE TABLE small (word text); INSERT INTO small VALUES ('x'); CREATE INDEX ON small (plain(word));
    CREATE OR REPLACE FUNCTION plain(value text) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS 'SELECT lower(unaccent($1))';
    CREATE OR REPLACE FUNCTION most(name text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN RETURN (SELECT l.most FROM limits l WHERE l.name = $1); END';
    CREATE TABLE child () INHERITS (expression); INSERT INTO child VALUES (1, 1, 'of the child')";

#[tokio::test]
async fn a_table_is_read_whole_where_no_query_on_it_can_be_planned() {
    let fixture = Fixture::new(UNPLANNABLE);
    let snapshot = fixture.snapshot().await;
    let slices = |name: &str| relation(&snapshot, name).slices(SLICE_BLOCKS).count();
    assert!(slices("public.planned") > 1, "others are read in slices");
    let mut prover = RestoreTarget::new(fixture.settings()).prover().await.unwrap();
    let copied = copy_all(&snapshot, CHUNK_BYTES).await;
    assert_eq!(copied.len(), 9);
    for Copied { table, rows, digest, .. } in &copied {
        let expected = match table.name.name.as_str() {
            "child" | "small" | "limits" => 1,
            _ => ROWS,
        };
        assert_eq!(*rows, expected, "its own rows, and no child's: {}", table.name);
        let read = prover.digest_table(table, &hasher()).await.unwrap();
        assert_eq!((read.rows, read.digest), (*rows, *digest), "{}", table.name);
    }
    for name in ["expression", "predicate", "constants", "statistics"] {
        assert_eq!(slices(&format!("public.{name}")), 1, "{name}");
    }
}

#[tokio::test]
async fn a_check_that_cannot_be_evaluated_stops_no_reading_where_the_planner_looks_at_checks() {
    let fixture = Fixture::new(
        "CREATE EXTENSION unaccent;
         CREATE FUNCTION plain(value text) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS 'SELECT lower(unaccent($1))';
         CREATE TABLE t (n int, word text, CHECK (plain(word) <> 'y'));
         INSERT INTO t SELECT i, repeat(md5(i::text), 50) FROM generate_series(1, 1200) i",
    );
    fixture.sql(&format!("ALTER DATABASE {} SET constraint_exclusion = on", fixture.database));
    let snapshot = fixture.snapshot().await;
    assert!(relation(&snapshot, "public.t").slices(SLICE_BLOCKS).count() > 1, "the setting does not reach the reader");
    assert_eq!(copy_all(&snapshot, CHUNK_BYTES).await[0].rows, ROWS);
}

const INDEXED: &str =
    "CREATE TABLE t AS SELECT i AS n, repeat(md5(i::text), 50) AS word FROM generate_series(1, 1200) i;
     CREATE INDEX by_n ON t (n)";

#[tokio::test]
async fn a_table_whose_index_is_being_rebuilt_is_read() {
    let fixture = Fixture::new(INDEXED);
    let (client, connection) = tokio_postgres::connect(&fixture.server.url(&fixture.database), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; REINDEX INDEX by_n").await.unwrap();
    let snapshot = fixture.snapshot().await;
    assert_eq!(copy_all(&snapshot, CHUNK_BYTES).await[0].rows, ROWS);
    client.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test]
async fn an_index_can_be_rebuilt_between_two_slices() {
    let fixture = Fixture::new(INDEXED);
    let snapshot = fixture.snapshot().await;
    let table = relation(&snapshot, "public.t").clone();
    let mut reader = snapshot.reader().await.unwrap();
    let (mut rows, mut rebuilt) = (0, 0);
    for slice in table.slices(SLICE_BLOCKS) {
        rows += reader.copy_slice(&table, slice).await.unwrap().totals(&hasher()).await.unwrap().rows;
        // The next slice begins by releasing what the one before it held.
        let waits = tokio::task::spawn_blocking({
            let server = fixture.server.clone();
            let database = fixture.database.clone();
            move || server.psql(&database, "SET lock_timeout = '3s'; REINDEX INDEX by_n").is_ok()
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let next = reader.copy_slice(&table, slice).await.unwrap().totals(&hasher()).await;
        assert!(next.is_ok());
        rebuilt += u32::from(waits.await.unwrap());
    }
    assert_eq!(rows, ROWS);
    assert!(rebuilt > 1, "rebuilt {rebuilt} times");
}

#[tokio::test]
async fn a_role_that_may_read_and_not_plan_the_functions_of_an_index_reads_the_table() {
    let role = "lifeboat_unprivileged";
    let fixture = Fixture::new(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{role}';
         CREATE FUNCTION five() RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 5; END';
         REVOKE EXECUTE ON FUNCTION five() FROM PUBLIC;
         CREATE TABLE t AS SELECT i AS n, repeat(md5(i::text), 50) AS word FROM generate_series(1, 1200) i;
         CREATE INDEX ON t (n) WHERE n > five(); GRANT SELECT ON t TO {role}"
    ));
    let settings: ConnectionSettings = fixture.settings_as(role);
    let snapshot = lifeboat_postgres::Snapshot::take(&settings, &Default::default()).await.unwrap();
    assert_eq!(copy_all(&snapshot, CHUNK_BYTES).await[0].rows, ROWS);
}

#[tokio::test]
async fn implicit_casts_to_text_make_no_query_of_ours_ambiguous() {
    const TYPES: [&str; 14] = [
        "int2",
        "int4",
        "int8",
        "oid",
        "float4",
        "float8",
        "numeric",
        "date",
        "uuid",
        "regclass",
        "regtype",
        "regproc",
        "regprocedure",
        "regoperator",
    ];
    let casts: String =
        TYPES.iter().map(|name| format!("CREATE CAST ({name} AS text) WITH INOUT AS IMPLICIT;")).collect();
    let fixture = Fixture::new(&format!(
        "{casts} CREATE TYPE pair AS (a int, b text); CREATE TABLE typed OF pair; ALTER TABLE typed ALTER a SET STATISTICS 7;
         CREATE TABLE t (a serial PRIMARY KEY, b text CHECK (b <> '')); INSERT INTO t (b) VALUES ('x'); CREATE VIEW v AS SELECT * FROM t;
         CREATE STATISTICS spread ON a, b FROM t; ALTER STATISTICS spread SET STATISTICS 5; CREATE EXTENSION postgres_fdw;
         CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, PROCEDURE = int4eq, COMMUTATOR = ===, NEGATOR = !==);
         CREATE OPERATOR CLASS odd FOR TYPE int USING btree AS OPERATOR 3 ===, FUNCTION 1 btint4cmp(int, int);
         ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC; SELECT lo_create(0)"
    ));
    restore_and_prove(&fixture).await;
}
