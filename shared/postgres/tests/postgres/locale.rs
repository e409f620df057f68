//! Encodings and locales: the source's where the server has them, and rows that are equal where it has not.

use lifeboat_model::{CHUNK_BYTES, CopyFormat, Source};

use crate::fixture::{Fixture, copy_all, relation, restore_and_prove, restore_and_prove_where};

/// Texts of which every locale has another order, in what is ordered by them; options that a locale sorts in another order.
const TEXTS: &str = "
    CREATE TABLE t (a text PRIMARY KEY, b regtype) WITH (autovacuum_enabled = on, autovacuum_vacuum_scale_factor = 0.1);
    INSERT INTO t SELECT x || i FROM unnest('{a,B,c,_,Ä,é,z}'::text[]) x, generate_series(1, 100) i;
    CREATE INDEX lowered ON t (lower(a)); CREATE VIEW v AS SELECT a FROM t ORDER BY a;
    CREATE MATERIALIZED VIEW m AS SELECT max(a) AS a FROM t;";

#[tokio::test]
async fn a_locale_that_the_server_does_not_have_gives_way_to_another_one_that_is_named_and_everything_is_equal() {
    let fixture = Fixture::new(TEXTS);
    let (scratch, prover) = restore_and_prove_where(&fixture, |source| {
        source.collate = "xx_XX.UTF-8".to_owned();
        source.ctype = "xx_XX.UTF-8".to_owned();
    })
    .await;
    let [note] = scratch.notes() else { panic!("{:?}", scratch.notes()) };
    assert!(note.contains("`xx_XX.UTF-8`") && note.contains("`C.UTF-8`"), "{note}");
    let locale = "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = current_database()";
    assert_eq!(fixture.server.psql(scratch.name(), locale).unwrap(), "UTF8|C.UTF-8");
    prover.close().await;
    scratch.drop_database().await.unwrap();

    let (scratch, prover) = restore_and_prove(&fixture).await;
    assert_eq!(scratch.notes(), [""; 0], "the source's own locale is there");
    prover.close().await;
    scratch.drop_database().await.unwrap();
}

#[tokio::test]
async fn a_database_with_an_icu_locale_comes_back_with_it_and_is_equal_without_it() {
    let major = |fixture: &Fixture| fixture.sql("SHOW server_version_num").parse::<u32>().unwrap() / 10000;
    if major(&Fixture::new("")) < 15 {
        return;
    }
    let icu = "ENCODING UTF8 LOCALE_PROVIDER icu ICU_LOCALE 'sv' LC_COLLATE 'C' LC_CTYPE 'C'";
    let fixture = Fixture::with_options(icu, TEXTS);
    let (scratch, prover) = restore_and_prove(&fixture).await;
    assert_eq!(scratch.notes(), [""; 0]);
    let order = "SELECT string_agg(DISTINCT left(a, 1), '' ORDER BY left(a, 1)) FROM t";
    let swedish = fixture.sql(order);
    assert_eq!(fixture.server.psql(scratch.name(), order).unwrap(), swedish);
    prover.close().await;
    scratch.drop_database().await.unwrap();

    // A server that has no such thing: the order is another one, and every proof holds all the same.
    let unknown = |source: &mut Source| {
        assert_eq!(source.locale_provider.as_deref(), Some("icu"));
        assert_eq!(source.provider_locale.as_deref(), Some("sv"));
        assert!(source.collation_version.is_some());
        source.locale_provider = Some("libc".to_owned());
        source.collate = "sv_SE.UTF-8".to_owned();
    };
    let (scratch, prover) = restore_and_prove_where(&fixture, unknown).await;
    assert_ne!(fixture.server.psql(scratch.name(), order).unwrap(), swedish);
    assert_eq!(scratch.notes().len(), 1);
    prover.close().await;
    scratch.drop_database().await.unwrap();
}

#[tokio::test]
async fn a_latin1_database_comes_back_as_one_also_without_its_locale() {
    let fixture = Fixture::with_options(
        "ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C'",
        "CREATE TABLE t (a text, b regtype); INSERT INTO t SELECT chr(i), 'int4' FROM generate_series(1, 255) i;
         CREATE TABLE u (a text); INSERT INTO u SELECT a FROM t",
    );
    let (scratch, prover) = restore_and_prove_where(&fixture, |source| {
        assert_eq!(source.encoding, "LATIN1");
        source.collate = "xx_XX.ISO8859-1".to_owned();
    })
    .await;
    assert!(scratch.notes().iter().any(|note| note.contains("`C`")), "{:?}", scratch.notes());
    let bytes = "SELECT pg_encoding_to_char(encoding), (SELECT md5(string_agg(a, '' ORDER BY a)) FROM t),
                        (SELECT md5(string_agg(a, '' ORDER BY a)) FROM u)
                 FROM pg_database WHERE datname = current_database()";
    assert_eq!(fixture.server.psql(scratch.name(), bytes).unwrap(), fixture.sql(bytes));
    prover.close().await;
    scratch.drop_database().await.unwrap();
}

#[tokio::test]
async fn bytes_that_are_no_text_in_any_encoding_come_back_from_a_sql_ascii_database() {
    let fixture = Fixture::with_options(
        "ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C'",
        r"CREATE TABLE b (a text); INSERT INTO b VALUES (E'caf\xe9'), (E'\xff\xfe'), (E'\xc3\xa9');
          CREATE TABLE t (a text, b regtype); INSERT INTO t SELECT a FROM b; CREATE INDEX ON t (a)",
    );
    let snapshot = fixture.snapshot().await;
    assert_eq!(relation(&snapshot, "public.b").format, CopyFormat::Binary);
    assert_eq!(relation(&snapshot, "public.t").format, CopyFormat::Text);
    assert!(copy_all(&snapshot, CHUNK_BYTES).await.iter().all(|table| table.rows == 3));
    snapshot.close().await.unwrap();
    let (scratch, prover) = restore_and_prove(&fixture).await;
    let bytes = "SELECT md5(string_agg(a, '' ORDER BY a)) FROM t";
    assert_eq!(fixture.server.psql(scratch.name(), bytes).unwrap(), fixture.sql(bytes));
    prover.close().await;
    scratch.drop_database().await.unwrap();
}

#[tokio::test]
async fn rows_are_read_and_loaded_with_settings_that_do_not_depend_on_the_server() {
    let fixture = Fixture::new("");
    fixture.sql(&format!(
        "ALTER DATABASE {0} SET max_parallel_workers_per_gather = 3; ALTER DATABASE {0} SET lc_monetary = 'POSIX'",
        fixture.database
    ));
    // The condition of an extension's table is evaluated by the reader, a default by the loader.
    fixture.sql(
        "CREATE TABLE seen (a int, s text DEFAULT current_setting('max_parallel_workers_per_gather') || current_setting('lc_monetary'));
         CREATE TABLE t (a money); INSERT INTO t VALUES ('1');
         ALTER EXTENSION plpgsql ADD TABLE t;
         UPDATE pg_extension SET extconfig = ARRAY['t'::regclass::oid], extcondition = ARRAY[
             $$WHERE pg_catalog.current_setting('max_parallel_workers_per_gather') = '0' AND pg_catalog.current_setting('lc_monetary') = 'C'$$]
         WHERE extname = 'plpgsql'",
    );
    let snapshot = fixture.snapshot().await;
    let copied = copy_all(&snapshot, CHUNK_BYTES).await;
    assert_eq!(copied.iter().map(|table| table.rows).sum::<u64>(), 1);
    let mut loader = lifeboat_postgres::RestoreTarget::new(fixture.settings()).loader().await.unwrap();
    let seen = lifeboat_postgres::TableTarget {
        name: lifeboat_postgres::RelationName::new("public", "seen"),
        columns: vec!["a".to_owned()],
        format: CopyFormat::Text,
    };
    loader.load_chunk(&seen, b"1\n").await.unwrap();
    assert_eq!(fixture.sql("SELECT s FROM seen"), "0C");
}
