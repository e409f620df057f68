//! What goes in comes out: types, names, shapes of tables, large objects, sequences.

use lifeboat_model::{CHUNK_BYTES, CopyFormat};
use lifeboat_postgres::Disposition;

use crate::fixture::{Fixture, copy_all, copy_large_objects, hasher, relation, restore_and_prove};

/// A value and an extreme of everything that has a type, and a null.
const TYPES: &str = "
    CREATE EXTENSION citext; CREATE EXTENSION hstore;
    CREATE TYPE mood AS ENUM ('glad', 'so, \"so\"', E'tab\\t');
    CREATE DOMAIN age AS int CHECK (VALUE >= 0);
    CREATE DOMAIN tags AS text[];
    CREATE TYPE span AS RANGE (subtype = float8);
    CREATE TYPE pair AS (a int, b text);
    CREATE TABLE safe (
        a bool, b \"char\", c name, d int8, e int2, f int4, g text, h oid, i xid, j cid, k tid, l jsonb, m json, n point, o path,
        p polygon, q float4, r float8, s money, t inet, u cidr, v macaddr, w bpchar(5), x varchar(9), y date, z time, aa timestamp,
        ab timestamptz, ac interval, ad timetz, ae bit(5), af varbit, ag numeric, ah uuid, ai tsvector, aj tsquery, ak int4range,
        al tstzmultirange, am bytea, an mood, ao age, ap tags, aq span, ar int4[], \"as\" text[], at jsonb[], au numeric(10, 3),
        av pg_lsn, aw citext, ax hstore, ay box, az circle, ba line, bb lseg, bc jsonpath, bd int2vector, be oidvector);
    INSERT INTO safe SELECT true, 'x', 'n', 9223372036854775807, -32768, -2147483648, E'a\\tb\\n\\\\.\\r', 4294967295, '7', '8', '(4,5)',
        '{\"a\": [1, null, \"é\"]}', '{\"b\" :  1}', '(1,2.5)', '[(1,2),(3,4)]', '((1,1),(2,2),(3,1))', 'NaN', '-Infinity', '-12.34',
        '::1/128', '10.0.0.0/8', '08:00:2b:01:02:03', 'ab', 'ü', '4713-01-01 BC', '24:00:00', 'infinity', '294276-12-31 23:59:59+00',
        '1 year -2 days 03:04:05.000006', '01:02:03+15:59', B'10101', B'1', 'NaN', gen_random_uuid(), 'a:1A b', 'a & !b', '[1,5)',
        '{[2020-01-01,2021-01-01)}', '\\x00ff', 'so, \"so\"', 3, '{a,NULL,\"\"}', '[0.1,0.2]', '{{1,NULL},{3,4}}', '[2:3]={x,y}',
        ARRAY['{}'::jsonb], 123.450, '16/B374D848', 'CiText', 'a=>1, b=>NULL', '(1,1),(0,0)', '<(0,0),1>', '{1,2,3}', '[(0,0),(1,1)]',
        '$.a[*]', '1 2', '3 4';
    INSERT INTO safe DEFAULT VALUES;
    INSERT INTO safe (g, r, ag) VALUES ('', 0.1, '1e-1000'), (repeat('x', 3000000), -0.0, 1e1000);
    CREATE TABLE text_only (a mood[], b pair, c regclass, d regtype[], e aclitem, f xml, g age[], h citext[], i regrole);
    INSERT INTO text_only VALUES (E'{glad,\"tab\\t\"}', '(1,\"a,b\")', 'safe', '{int4,mood}', 'postgres=r/postgres',
        '<?xml version=\"1.0\"?><a>é</a>', '{1}', '{a}', 'postgres');
    INSERT INTO text_only DEFAULT VALUES;";

#[tokio::test]
async fn every_type_reads_back_as_it_was_in_binary_where_that_is_safe_and_else_in_text() {
    let fixture = Fixture::new(TYPES);
    let snapshot = fixture.snapshot().await;
    assert_eq!(relation(&snapshot, "public.safe").format, CopyFormat::Binary);
    assert_eq!(relation(&snapshot, "public.text_only").format, CopyFormat::Text);
    snapshot.close().await.unwrap();

    let (scratch, prover) = restore_and_prove(&fixture).await;
    // A second opinion that does not use our reading: the rows as SQL prints them.
    for table in ["safe", "text_only"] {
        let rows = format!("SET extra_float_digits = 3; SELECT t::text FROM {table} t ORDER BY 1");
        assert_eq!(fixture.sql(&rows), fixture.server.psql(scratch.name(), &rows).unwrap());
    }
    prover.close().await;
    scratch.drop_database().await.unwrap();
}

#[tokio::test]
async fn each_column_type_that_is_called_safe_is_so_on_its_own() {
    let fixture = Fixture::new(TYPES);
    let columns = fixture.sql(
        "SELECT string_agg(format('CREATE TABLE %I AS SELECT %1$I FROM safe;', attname), ' ')
         FROM pg_attribute WHERE attrelid = 'safe'::regclass AND attnum > 0",
    );
    fixture.sql(&columns);
    let snapshot = fixture.snapshot().await;
    let texts =
        snapshot.relations().iter().filter(|r| r.format == CopyFormat::Text && r.disposition == Disposition::Copy);
    let texts: Vec<String> = texts.map(|relation| relation.name.to_string()).collect();
    assert_eq!(texts, ["public.text_only"]);
}

#[tokio::test]
async fn tables_of_every_shape_come_back_with_their_rows_and_definitions() {
    let fixture = Fixture::new(
        "CREATE SCHEMA \"Ünï.code\";
         CREATE TABLE \"Ünï.code\".\"select\" (\"from\" int PRIMARY KEY, \"a\"\"b\" text, \"ß é\" text);
         INSERT INTO \"Ünï.code\".\"select\" VALUES (1, 'x', NULL), (2, E'\\\\N', '\\.');
         CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
         CREATE TABLE empty (a int, b text);",
    );
    fixture.sql(
        "CREATE TABLE generated (a int, b int GENERATED ALWAYS AS (a * 2) STORED, c int GENERATED ALWAYS AS IDENTITY, d serial);
         INSERT INTO generated (a) SELECT generate_series(1, 10);
         CREATE TABLE only_generated (b int GENERATED ALWAYS AS (1) STORED); INSERT INTO only_generated DEFAULT VALUES;
         CREATE TABLE dropped (a int, gone text, b int, gone_too int); INSERT INTO dropped VALUES (1, 'x', 2, 3);
         ALTER TABLE dropped DROP COLUMN gone, DROP COLUMN gone_too, ADD COLUMN late text DEFAULT 'late';
         CREATE TABLE part (id int, at date, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
         CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
         CREATE TABLE part_2 (note text, at date NOT NULL, id int NOT NULL); ALTER TABLE part ATTACH PARTITION part_2 DEFAULT;
         INSERT INTO part SELECT i, '2020-06-01'::date + i, 'n' FROM generate_series(1, 500) i;
         CREATE INDEX ON part (note);
         CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent); ALTER TABLE parent ADD COLUMN c int;
         INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3, 4);
         CREATE UNLOGGED TABLE unlogged (a int); INSERT INTO unlogged VALUES (1);
         CREATE TABLE referenced (id int PRIMARY KEY);
         CREATE TABLE referencing (id int REFERENCES referenced, at date, pid int, FOREIGN KEY (pid, at) REFERENCES part);
         INSERT INTO referenced VALUES (1); INSERT INTO referencing VALUES (1, '2020-06-02', 1);
         CREATE VIEW v AS SELECT * FROM part WHERE note <> 'it''s';
         CREATE MATERIALIZED VIEW m2 AS SELECT count(*) AS n FROM v; CREATE VIEW v2 AS SELECT n FROM m2;
         CREATE MATERIALIZED VIEW m1 AS SELECT n + 1 AS n FROM v2; CREATE UNIQUE INDEX ON m1 (n);
         CREATE MATERIALIZED VIEW unpopulated AS SELECT 1 AS a WITH NO DATA;
         CREATE ROLE lifeboat_test_owner; CREATE ROLE \"lifeboat test Reader\";
         ALTER TABLE dropped OWNER TO lifeboat_test_owner; GRANT SELECT ON generated TO \"lifeboat test Reader\", PUBLIC;
         GRANT SELECT (a) ON parent TO lifeboat_test_owner;
         ALTER TABLE referenced ENABLE ROW LEVEL SECURITY; ALTER TABLE referenced FORCE ROW LEVEL SECURITY;
         CREATE POLICY p ON referenced FOR SELECT TO lifeboat_test_owner USING (id > 0);
         CREATE FUNCTION f(a int, VARIADIC b text[]) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
         CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''fired''; END';
         CREATE TRIGGER t BEFORE INSERT ON dropped FOR EACH ROW EXECUTE FUNCTION t();
         ALTER TABLE dropped DISABLE TRIGGER t; CREATE TRIGGER t2 BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION t();
         CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
         CREATE SEQUENCE called INCREMENT 7 CACHE 3; SELECT nextval('called'), nextval('called');
         CREATE SEQUENCE \"Not Called\" START 42; CREATE SEQUENCE down INCREMENT -1; SELECT setval('down', -5, false);
         CREATE DOMAIN positive AS int CONSTRAINT is_positive CHECK (VALUE > 0);
         CREATE INDEX ON generated ((a % 3), b DESC) WHERE a > 2; ALTER TABLE referenced REPLICA IDENTITY FULL;
         ALTER TABLE generated ADD CONSTRAINT later CHECK (a < 100) NOT VALID;",
    );
    let (scratch, prover) = restore_and_prove(&fixture).await;
    let there = |sql: &str| fixture.server.psql(scratch.name(), sql).unwrap();
    assert_eq!(there("SELECT (SELECT n FROM m2), (SELECT n FROM m1)"), "500|501");
    assert_eq!(there("SELECT count(*) FROM nothing"), "2");
    assert_eq!(there("SELECT relispopulated FROM pg_class WHERE relname = 'unpopulated'"), "f");
    assert_eq!(there("SELECT nextval('called'), nextval('\"Not Called\"'), nextval('down')"), {
        fixture.sql("SELECT setval('called', last_value, true) FROM called");
        fixture.sql("SELECT nextval('called'), nextval('\"Not Called\"'), nextval('down')")
    });
    prover.close().await;
    scratch.drop_database().await.unwrap();
}

#[tokio::test]
async fn large_objects_keep_their_oids_and_bytes_whatever_their_size_and_wherever_a_chunk_ends() {
    let fixture = Fixture::new(
        "SELECT lo_create(70001);
         SELECT lo_from_bytea(70002, 'short');
         SELECT lo_from_bytea(70003, decode(repeat('0123456789abcdef', 131072), 'hex'));
         SELECT lo_from_bytea(70004, decode(repeat('ff', 1048577), 'hex'));
         SELECT lo_put(lo_create(70005), 3000000, 'after a hole');
         CREATE ROLE lifeboat_lo LOGIN PASSWORD 'lifeboat_lo'; GRANT SELECT ON LARGE OBJECT 70002 TO lifeboat_lo;",
    );
    let snapshot = fixture.snapshot().await;
    assert_eq!(snapshot.large_objects().await.unwrap().readable, 5);
    let ((pages, digest), chunks) = copy_large_objects(&snapshot, 1).await;
    assert_eq!(pages, 1 + 1 + 1 + 2 + 3, "pages of 1 MiB, one for an empty object");
    assert_eq!(chunks.len(), 8);

    let scratch = fixture.scratch_server().create_database("lifeboat_lo", snapshot.source()).await.unwrap();
    let mut loader = scratch.target().loader().await.unwrap();
    for chunk in &chunks {
        assert_eq!(loader.load_large_objects(0, chunk).await.unwrap(), 1);
    }
    let restored = scratch.target().prover().await.unwrap().digest_large_objects(&hasher()).await.unwrap();
    assert_eq!((restored.rows, restored.digest), (pages, digest));
    let contents = "SELECT m.oid, md5(lo_get(m.oid)), length(lo_get(m.oid)) FROM pg_largeobject_metadata m ORDER BY 1";
    assert_eq!(fixture.sql(contents), fixture.server.psql(scratch.name(), contents).unwrap());
    loader.close().await;
    scratch.drop_database().await.unwrap();
    snapshot.close().await.unwrap();

    // A plain role reads what it was granted and learns how much it was not.
    let settings = fixture.settings_as("lifeboat_lo");
    let snapshot = lifeboat_postgres::Snapshot::take(&settings, &Default::default()).await.unwrap();
    let count = snapshot.large_objects().await.unwrap();
    assert_eq!((count.readable, count.unreadable), (1, 4));
    assert_eq!(copy_large_objects(&snapshot, CHUNK_BYTES).await.0.0, 1);
}

#[tokio::test]
async fn an_unchanged_database_gives_the_same_bytes_twice() {
    let fixture = Fixture::with_server_of_its_own(TYPES);
    let directory = tempfile::tempdir().unwrap();
    let tools = fixture.tools().await;
    let mut runs = Vec::new();
    for run in ["one", "two", "other plans"] {
        if run == "other plans" {
            fixture.sql("VACUUM ANALYZE");
        }
        let snapshot = fixture.snapshot().await;
        let (archive, roles) = (directory.path().join(run), directory.path().join(format!("{run}.sql")));
        snapshot.schema_archive(&tools, &archive).await.unwrap();
        snapshot.roles(&tools, &roles).await.unwrap();
        let chunks: Vec<Vec<u8>> = copy_all(&snapshot, 1000).await.into_iter().flat_map(|table| table.chunks).collect();
        let sequences = snapshot.sequences(None).await.unwrap();
        let inventory = snapshot.inventory().await.unwrap();
        let hashes: Vec<String> = snapshot.relations().iter().map(|relation| relation.columns_hash.clone()).collect();
        snapshot.close().await.unwrap();
        runs.push((
            std::fs::read(archive).unwrap(),
            (std::fs::read(roles).unwrap(), chunks, sequences, inventory, hashes),
        ));
        // The archive's own clock counts seconds.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    }
    assert!(runs[0] == runs[1]);
    // The archive alone depends on how the server plans: pg_dump numbers objects as they are found.
    assert!(runs[1].1 == runs[2].1);
}

#[tokio::test]
async fn a_chunk_is_a_file_that_psql_loads_alone() {
    let fixture = Fixture::new(
        "CREATE TABLE b (a int, t text); INSERT INTO b SELECT i, repeat('é', i) FROM generate_series(1, 100) i;
         CREATE TABLE t (a regtype, t text); INSERT INTO t SELECT 'int4', repeat(E'\\t', i) FROM generate_series(1, 100) i;",
    );
    let directory = tempfile::tempdir().unwrap();
    let snapshot = fixture.snapshot().await;
    for copied in copy_all(&snapshot, 500).await {
        assert!(copied.chunks.len() > 3);
        let name = &copied.table.name.name;
        fixture.sql(&format!("CREATE TABLE {name}_copy (LIKE {name})"));
        let format = if copied.table.format == CopyFormat::Binary { "binary" } else { "text" };
        // Each alone and in another order.
        for (i, chunk) in copied.chunks.iter().enumerate().rev() {
            let file = directory.path().join(format!("{name}-{i}"));
            std::fs::write(&file, chunk).unwrap();
            fixture.sql(&format!("\\copy {name}_copy from '{}' (format {format})", file.display()));
        }
        let differing = format!("SELECT count(*) FROM (TABLE {name} EXCEPT ALL TABLE {name}_copy) d");
        assert_eq!(fixture.sql(&differing), "0");
        assert_eq!(fixture.sql(&format!("SELECT count(*) FROM {name}_copy")), "100");
    }
}

#[tokio::test]
async fn sequences_with_any_name_come_back_where_they_stood() {
    let names = ["two\nlines", "carriage\rreturn", "back\\slash\\n", "quo'te\""];
    let quoted = names.map(|name| format!("\"{}\"", name.replace('"', "\"\"")));
    let create: String = quoted.iter().map(|name| format!("CREATE SEQUENCE {name};")).collect();
    let fixture = Fixture::new(&create);
    for (value, name) in (7..).zip(&quoted) {
        fixture.sql(&format!("SELECT setval('{}', {value})", name.replace('\'', "''")));
    }
    let snapshot = fixture.snapshot().await;
    let values = snapshot.sequences(None).await.unwrap();
    snapshot.close().await.unwrap();
    assert_eq!((values.count, values.sql.lines().count()), (4, 4), "{}", values.sql);

    let restored = Fixture::new(&create);
    lifeboat_postgres::RestoreTarget::new(restored.settings()).set_sequences(&values.sql).await.unwrap();
    for (value, name) in (7..).zip(&quoted) {
        assert_eq!(restored.sql(&format!("SELECT last_value FROM {name}")), value.to_string(), "{name}");
    }
}
