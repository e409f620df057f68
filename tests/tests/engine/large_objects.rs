//! Large objects that take more than one chunk.

use lifeboat_model::{CHUNK_BYTES, Site, Stream};

use crate::bench::Bench;

/// Objects of 20 MiB, so that the first chunk ends inside the second; incompressible, so that nothing hides in a run of zeros.
const OBJECTS: &str = "
SELECT lo_from_bytea(60000 + o, (SELECT string_agg(sha512((o || ' ' || i)::text::bytea), '' ORDER BY i)
       FROM generate_series(1, 327680) i)) FROM generate_series(1, 3) o";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_of_several_chunks_are_restored_by_several_sessions() {
    let bench = Bench::with("large-objects", OBJECTS);
    let mut process = bench.process();
    process.run.ports.sessions = 4;
    let manifest = process.back_up(&bench.request()).await.unwrap();
    assert_eq!(manifest.large_objects, 3);
    let entries = bench.stores.chunk_entries(&manifest, Site::Primary).await;
    let chunks: Vec<_> = entries.iter().filter(|entry| entry.stream == Stream::LargeObjects).collect();
    assert_eq!(chunks.len(), 60 * 1024 * 1024 / CHUNK_BYTES + 1, "a chunk ends inside an object");
    let report = process.drill(&bench.drill_request(Site::Primary)).await.unwrap();
    assert!(report.equal, "{:?}", report.findings);
    assert_eq!(report.large_objects, 3);
    assert_eq!(process.said(), ["Backup Completed", "Restore Test Completed"]);
}
