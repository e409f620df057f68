//! Slices cover every row exactly once, whatever happens meanwhile, and chunks end between rows.

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat_model::{RowDigest, Slice};
use lifeboat_postgres::{Disposition, PostgresError, Relation, SliceReader, Snapshot};
use proptest::prelude::*;

use crate::fixture::{Fixture, hasher, relation};

/// The ids in the chunks of one slice of a table whose first column is an `int8`, in binary.
async fn ids_of(reader: &mut SliceReader, table: &Relation, slice: Slice, chunk_bytes: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    let mut stream = reader.copy_slice(table, slice).await.unwrap();
    let mut buffer = Vec::new();
    while let Some(chunk) = stream.next_chunk(&mut buffer, &hasher(), chunk_bytes).await.unwrap() {
        let (mut rows, mut digest) = (0, RowDigest::default());
        let mut rest = &buffer[19..];
        while rest != [0xff, 0xff] {
            let fields = i16::from_be_bytes(rest[..2].try_into().unwrap());
            let mut end = 2;
            for field in 0..fields {
                let length = i32::from_be_bytes(rest[end..end + 4].try_into().unwrap());
                end += 4;
                if field == 0 {
                    ids.push(i64::from_be_bytes(rest[end..end + 8].try_into().unwrap()));
                }
                end += usize::try_from(length).unwrap_or(0);
            }
            digest += hasher().row(&rest[..end]);
            rest = &rest[end..];
            rows += 1;
        }
        assert_eq!((chunk.rows, chunk.digest), (rows, digest), "count and digest are those of the rows in the file");
    }
    ids
}

async fn all_ids(snapshot: &Snapshot, slice_blocks: u32) -> Vec<i64> {
    let table = relation(snapshot, "public.t");
    let mut reader = snapshot.reader().await.unwrap();
    let mut ids = Vec::new();
    for slice in table.slices(slice_blocks) {
        ids.extend(ids_of(&mut reader, table, slice, 10_000).await);
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_read_one_by_one_hold_every_row_of_the_snapshot_once_while_writers_churn() {
    let fixture = Fixture::new(
        "CREATE TABLE t (id bigserial PRIMARY KEY, note text, n int); INSERT INTO t (note, n) SELECT repeat('x', i % 200), 0 FROM generate_series(1, 20000) i;",
    );
    let url = fixture.server.url(&fixture.database);
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let url = url.clone();
            tokio::spawn(async move {
                let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                for round in 0.. {
                    let churn = format!(
                        "UPDATE t SET n = n + 1, note = note || 'y' WHERE id % 97 = {0};
                         DELETE FROM t WHERE id % 1009 = {0}; INSERT INTO t (note) SELECT 'new' FROM generate_series(1, 50);",
                        (round * 3 + writer) % 97
                    );
                    client.batch_execute(&churn).await.unwrap();
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let snapshot = fixture.snapshot().await;
        let ids = all_ids(&snapshot, 16).await;
        // The same snapshot once more, as one range: the truth.
        let truth = all_ids(&snapshot, u32::MAX).await;
        assert!(ids.len() > 19_000);
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "no row twice");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>(), truth.iter().collect::<BTreeSet<_>>());
        snapshot.close().await.unwrap();
    }
    for writer in writers {
        writer.abort();
    }
}

#[tokio::test]
async fn a_change_in_one_range_leaves_the_bytes_of_all_other_slices_as_they_were() {
    let fixture = Fixture::new(
        "CREATE TABLE t (id int8, note text); INSERT INTO t SELECT i, repeat('x', 80) FROM generate_series(1, 20000) i",
    );
    let chunks = async || {
        let snapshot = fixture.snapshot().await;
        let table = relation(&snapshot, "public.t").clone();
        let mut reader = snapshot.reader().await.unwrap();
        let mut chunks = Vec::new();
        for slice in table.slices(16) {
            let mut buffer = Vec::new();
            let mut stream = reader.copy_slice(&table, slice).await.unwrap();
            stream.next_chunk(&mut buffer, &hasher(), 1 << 24).await.unwrap();
            chunks.push(buffer);
        }
        chunks
    };
    let before = chunks().await;
    fixture.sql("UPDATE t SET note = repeat('y', 80) WHERE id BETWEEN 5000 AND 5100");
    let after = chunks().await;
    let changed = (0..before.len()).filter(|i| before[*i] != after[*i]).count();
    assert!(before.len() > 10 && (1..=3).contains(&changed), "{changed} of {}", before.len());
}

#[tokio::test]
async fn an_empty_table_and_an_empty_slice_give_no_chunk() {
    let fixture = Fixture::new(
        "CREATE TABLE b (a int); CREATE TABLE t (a regtype);
         CREATE TABLE holes (a int) WITH (autovacuum_enabled = off); INSERT INTO holes SELECT generate_series(1, 10000); DELETE FROM holes WHERE a < 9000;",
    );
    let snapshot = fixture.snapshot().await;
    let mut reader = snapshot.reader().await.unwrap();
    for relation in snapshot.relations().iter().filter(|r| r.disposition == Disposition::Copy) {
        let first = relation.slices(8).next().unwrap();
        let mut buffer = vec![1];
        let mut stream = reader.copy_slice(relation, first).await.unwrap();
        assert_eq!(stream.next_chunk(&mut buffer, &hasher(), 100).await.unwrap(), None, "{}", relation.name);
        assert!(buffer.is_empty());
        assert_eq!(stream.next_chunk(&mut buffer, &hasher(), 100).await.unwrap(), None, "and again");
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_half_way_ends_its_session_so_that_no_row_of_it_can_get_into_another() {
    let fixture = Fixture::new("CREATE TABLE t AS SELECT i, repeat('x', 500) FROM generate_series(1, 20000) i");
    let snapshot = fixture.snapshot().await;
    let table = relation(&snapshot, "public.t");
    let slice = table.slices(u32::MAX).next().unwrap();
    let mut reader = snapshot.reader().await.unwrap();
    let mut stream = reader.copy_slice(table, slice).await.unwrap();
    stream.next_chunk(&mut Vec::new(), &hasher(), 1000).await.unwrap().unwrap();
    drop(stream);
    let next = tokio::time::timeout(Duration::from_secs(60), reader.copy_slice(table, slice)).await.expect("it hangs");
    let error = next.map(|_| "rows").unwrap_err();
    assert!(matches!(error, PostgresError::ServerClosed { .. }), "{error:?}");
    reader.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn however_small_a_chunk_may_be_its_rows_add_up_to_the_same_digest(limit in 1_usize..5000, widths in prop::collection::vec(0_usize..2000, 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rows: Vec<String> = widths.iter().map(|width| format!("(1, repeat('z', {width}))")).collect();
            let fixture = Fixture::new(&format!("CREATE TABLE t (id int8, note text); INSERT INTO t VALUES {}", rows.join(", ")));
            let snapshot = fixture.snapshot().await;
            let table = relation(&snapshot, "public.t");
            let slice = table.slices(256).next().unwrap();
            let mut reader = snapshot.reader().await.unwrap();
            let whole = reader.copy_slice(table, slice).await.unwrap().totals(&hasher()).await.unwrap();
            let mut stream = reader.copy_slice(table, slice).await.unwrap();
            let (mut buffer, mut counted, mut digest) = (Vec::new(), 0, RowDigest::default());
            while let Some(chunk) = stream.next_chunk(&mut buffer, &hasher(), limit).await.unwrap() {
                assert!(chunk.rows > 0 && buffer.starts_with(b"PGCOPY\n\xff\r\n\0") && buffer.ends_with(&[0xff, 0xff]));
                let longest_row = 2 + 4 + 8 + 4 + widths.iter().max().unwrap();
                assert!(buffer.len() < limit.max(21) + longest_row + 2);
                counted += chunk.rows;
                digest += chunk.digest;
            }
            assert_eq!((counted, digest), (whole.rows, whole.digest));
            assert_eq!(counted, widths.len() as u64);
        });
    }
}
