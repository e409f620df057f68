//! What a second backup costs.

use lifeboat_model::{Manifest, Origin, RelationStatus, SLICE_BLOCKS, Site, Stream};

use crate::bench::Bench;

/// 560 bytes a row, most of them random: 14 rows to a block, about 350 MB. And what is never touched.
const VISITS: &str = "
CREATE TABLE visit (id int PRIMARY KEY, at timestamptz NOT NULL, report text NOT NULL);
INSERT INTO visit SELECT i, timestamptz '2020-01-01' + i * interval '1 minute',
    encode(sha512(int4send(i)) || sha512(int4send(-i)) || sha512(int8send(i)) || sha512(int8send(-i)), 'hex') FROM generate_series(1, 600000) i;
CREATE TABLE professional AS SELECT i, md5(i::text) AS name FROM generate_series(1, 5000) i;
CREATE TABLE clinic (id int, name text);
INSERT INTO clinic VALUES (1, 'north'), (2, 'south');
SELECT lo_from_bytea(80001, 'a letter')";

/// 1 % of the rows, in one range.
const CHANGED: &str = "
UPDATE visit SET report = encode(sha512(int8send(id + 1000000)) || substr(decode(report, 'hex'), 65), 'hex')
WHERE id BETWEEN 300000 AND 305999";

fn status<'a>(manifest: &'a Manifest, name: &str) -> &'a RelationStatus {
    &manifest.relations.iter().find(|relation| relation.name == name).unwrap().status
}

/// The bound in slices of 2 MiB, of which the table has about 170. PostgreSQL leaves the old versions of 1 % of the rows,
/// 1.7 slices, where they were. They touch at most 3 slices, and each of these is stored again without them, 1.3 slices.
/// The new versions go to the end of the table: 1.7 slices, and the rows that the last slice had already, at most 1.
/// Together they are at most 4 of 170 slices, 2.4 %. Rows changed *everywhere* would touch every slice: 6,000 rows on 170
/// slices. This is the price of finding changes without the server's help, and the reason for small slices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_after_one_percent_of_the_rows_changed_in_one_range_stores_at_most_three_percent_and_names_what_it_reused()
 {
    let bench = Bench::with("reuse", VISITS);
    let (first, first_time) = timed(&bench).await;
    let slices = first.tables().find(|(relation, _)| relation.name == "visit").unwrap().1.chunks;
    assert!(first.totals.raw_bytes > 300_000_000, "{}", first.totals.raw_bytes);
    assert!(slices > 150, "{slices} slices of {SLICE_BLOCKS} blocks");
    assert_eq!((first.totals.reused_chunks, first.totals.reused_bytes), (0, 0));

    bench.sql(CHANGED);
    let before = bench.stores.primary.keys("chunks/");
    let (second, second_time) = timed(&bench).await;
    let share = second.totals.stored_bytes as f64 / first.totals.stored_bytes as f64;
    assert!(share <= 0.03, "{:.2} % of the first backup's bytes", share * 100.0);
    assert!(second.totals.stored_bytes > first.totals.stored_bytes / 200, "the changed rows are new bytes: {share}");

    // What was reused is counted, named by table, and true.
    let added = bench.stores.primary.keys("chunks/").len() - before.len();
    assert_eq!(second.totals.new_chunks, added as u64);
    let entries = bench.stores.chunk_entries(&second, Site::Primary).await;
    let chunks: Vec<_> = entries.iter().filter_map(|entry| Some((entry.stream, entry.chunk.as_ref()?))).collect();
    let reused = |(_, chunk): &&(Stream, &lifeboat_model::StoredChunk)| chunk.is_reused();
    assert_eq!(chunks.iter().filter(reused).count() as u64, second.totals.reused_chunks);
    assert_eq!(
        chunks.iter().filter(reused).map(|(_, chunk)| chunk.stored_bytes).sum::<u64>(),
        second.totals.reused_bytes
    );
    assert!(chunks.iter().filter(reused).all(|(_, chunk)| chunk.origin == Origin::Listed), "known without a request");
    assert_eq!(*status(&second, "visit"), RelationStatus::Copied);
    assert_eq!(*status(&second, "professional"), RelationStatus::Reused);
    assert_eq!(*status(&second, "clinic"), RelationStatus::Reused);
    let visit = second.tables().find(|(relation, _)| relation.name == "visit").unwrap().1;
    assert_eq!(
        visit.chunks - visit.reused_chunks,
        second.totals.new_chunks,
        "definitions and large objects are reused, too"
    );
    assert!(visit.reused_chunks > slices * 95 / 100, "{} of {slices}", visit.reused_chunks);
    assert_eq!(visit.rows, 600_000);

    // The second restores as itself, from chunks of both; the first is whole as it was.
    let mut request = bench.restore_request(Site::Offsite, bench.empty_database("restored"));
    request.backup = Some(second.backup_id.clone());
    let report = bench.process().restore(&request).await.unwrap().proved;
    assert!(report.equal, "{:?}", report.findings);
    let changed_rows =
        "SELECT count(*) FROM visit WHERE starts_with(report, encode(sha512(int8send(id + 1000000)), 'hex'))";
    assert_eq!(bench.server.psql("restored", changed_rows).unwrap(), "6000");
    bench.stores.assert_whole(&first.backup_id, Site::Primary).await;

    // Nothing changed: nothing stored.
    let (third, third_time) = timed(&bench).await;
    assert_eq!((third.totals.new_chunks, third.totals.stored_bytes), (0, 0));
    assert_eq!(*status(&third, "visit"), RelationStatus::Reused);
    println!(
        "first {} bytes in {} chunks, {first_time:.1} s; second {:.2} % of it, {} new chunks of {}, {second_time:.1} s; third {third_time:.1} s",
        first.totals.stored_bytes,
        first.totals.new_chunks,
        share * 100.0,
        second.totals.new_chunks,
        second.totals.new_chunks + second.totals.reused_chunks,
    );
}

async fn timed(bench: &Bench) -> (Manifest, f64) {
    let began = std::time::Instant::now();
    (bench.back_up().await, began.elapsed().as_secs_f64())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_database_of_the_same_repository_shares_chunks_and_not_backups() {
    let bench =
        Bench::with("two-databases", "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 1000) i");
    let one = bench.back_up().await;
    let mut request = bench.request();
    request.database = "other".parse().unwrap();
    let other = bench.process().back_up(&request).await.unwrap();
    assert_eq!(other.totals.new_chunks, 0);
    let entries = bench.stores.chunk_entries(&other, Site::Primary).await;
    assert!(entries.iter().flat_map(|entry| &entry.chunk).all(|chunk| chunk.origin == Origin::Found));
    assert_eq!(bench.stores.backups(Site::Primary).await, [one.backup_id]);
    assert_eq!(bench.stores.primary.keys("leases/backup-").len(), 2, "each database has a lease of its own");
    // What only the other one lists is no stray of this one.
    bench.sql("CREATE TABLE more AS SELECT i FROM generate_series(1, 100) i");
    assert!(bench.process().back_up(&request).await.unwrap().totals.new_chunks > 0);
    assert_eq!(bench.verify_all().await.findings, []);
}
