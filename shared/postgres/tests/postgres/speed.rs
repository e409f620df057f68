//! A yardstick, not a proof: `cargo test -p lifeboat-postgres -- --ignored speed --nocapture`.

use std::time::Instant;

use lifeboat_model::CHUNK_BYTES;

use crate::fixture::{Fixture, copy_all};

#[tokio::test]
#[ignore = "measures; proves nothing"]
async fn speed_of_reading_and_hashing_narrow_and_wide_rows() {
    let fixture = Fixture::new(
        "CREATE TABLE narrow AS SELECT i::int8 AS a, i AS b, now() AS c FROM generate_series(1, 3000000) i;
         CREATE TABLE wide AS SELECT i, repeat(md5(i::text), 12) AS note FROM generate_series(1, 500000) i; VACUUM ANALYZE;",
    );
    let snapshot = fixture.snapshot().await;
    let began = Instant::now();
    let copied = copy_all(&snapshot, CHUNK_BYTES).await;
    let bytes: usize = copied.iter().flat_map(|table| &table.chunks).map(Vec::len).sum();
    let rows: u64 = copied.iter().map(|table| table.rows).sum();
    println!("{rows} rows, {} MB in {:.2} s", bytes / 1_000_000, began.elapsed().as_secs_f64());
}
