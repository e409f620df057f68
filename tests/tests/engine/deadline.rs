//! Runs whose time is up.

use std::time::Duration;

use lifeboat_bench::{Fault, Gate, Operation, Rule, Script};
use lifeboat_engine::{Deadline, EngineError};
use lifeboat_model::{Event, Origin, Outcome, Severity, Site, Stream, VerificationScope};

use crate::bench::Bench;
use crate::stores::BOTH;

const TABLES: u64 = 60;

/// Sixty tables of one slice each, all different.
const MANY_TABLES: &str = "
DO $$ BEGIN FOR t IN 1..60 LOOP
  EXECUTE format('CREATE TABLE t%s AS SELECT i, md5((%s * i)::text) AS word FROM generate_series(1, 200) i', t, t);
END LOOP; END $$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_whose_deadline_comes_near_ends_cleanly_and_the_next_run_goes_on_from_there() {
    let bench = Bench::with("deadline", MANY_TABLES);
    // Much longer to store than there is to live, and long enough to live that a slow machine begins to store.
    let script = Script::new();
    script.add(Rule::always(Fault::Slow(Duration::from_secs(1))).on(Operation::Put).under("chunks/"));
    let mut process = bench.process_on(bench.stores.behind(&script, &script));
    process.run.deadline = Deadline::after(Duration::from_secs(20));
    let began = std::time::Instant::now();
    let error = process.back_up(&bench.request()).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(20), "it ended itself: {:?}", began.elapsed());
    let EngineError::DeadlineNear { done, total } = error else { panic!("{error:?}") };
    assert_eq!(total, TABLES);
    assert!(done > 0 && done < total, "{done} of {total}");
    assert!(error.to_string().contains(&format!("{done} of {total}")), "{error}");

    for site in BOTH {
        assert_eq!(bench.stores.backups(site).await, []);
        assert_eq!(bench.stores.of(site).keys("backups/"), Vec::<String>::new());
    }
    assert!(bench.stores.lease().unwrap().released);
    assert_eq!((process.said(), process.alerted()), (vec!["Backup Failed"], vec![Severity::Critical]));
    let Event::BackupFailed { hint, .. } = &process.outbox.events()[0] else { panic!("not a failure") };
    assert!(hint.contains("continues from there"), "{hint}");
    assert_eq!(bench.stores.acts().await, [("backup".to_owned(), Outcome::Failed)]);
    let stored = bench.stores.primary.keys("chunks/").len();

    let manifest = bench.back_up().await;
    let entries = bench.stores.chunk_entries(&manifest, Site::Primary).await;
    let of = |origin| entries.iter().filter(move |entry| entry.chunk.as_ref().is_some_and(|c| c.origin == origin));
    assert_eq!(of(Origin::Found).count(), stored, "every chunk that was stored, and no other");
    let tables = of(Origin::Found).filter(|entry| matches!(entry.stream, Stream::Table(_))).count() as u64;
    assert!(tables >= done, "{tables} of {done}");
    assert_eq!(of(Origin::Listed).count(), 0);
    assert_eq!(manifest.totals.reused_chunks, stored as u64);
    assert_eq!(manifest.totals.rows, TABLES * 200);
    assert!(bench.drill(Site::Offsite).await.equal);
    println!("{done} of {total} slices before the deadline, {stored} chunks found again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_without_any_time_left_says_so_and_holds_no_lease() {
    let bench = Bench::with("no-time", "CREATE TABLE t AS SELECT 1 AS a");
    let mut process = bench.process();
    process.run.deadline = Deadline::after(Duration::ZERO);
    let error = process.back_up(&bench.request()).await.unwrap_err();
    assert!(matches!(error, EngineError::DeadlineNear { done: 0, .. } | EngineError::OutOfTime { .. }), "{error:?}");
    assert!(bench.stores.lease().is_none_or(|lease| lease.released), "{:?}", bench.stores.lease());
    assert_eq!(bench.stores.backups(Site::Primary).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_until_the_end_leaves_the_bus_and_the_subscribers_their_time() {
    let bench = Bench::with("hung", "CREATE TABLE t AS SELECT 1 AS a");
    bench.back_up().await;
    let script = Script::new();
    script.add(Rule::always(Fault::Hold(Gate::new())));
    let mut process = bench.process_on(bench.stores.behind(&script, &script));
    process.run.deadline = Deadline::after(Duration::from_secs(4));
    // Nobody opens the gate: a run that waited for it would never end.
    let ended = tokio::time::timeout(Duration::from_secs(120), process.back_up(&bench.request())).await;
    let error = ended.unwrap().unwrap_err();
    assert!(matches!(error, EngineError::OutOfTime { .. }), "{error:?}");
    assert_eq!((process.said(), process.alerted()), (vec!["Backup Failed"], vec![Severity::Critical]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verification_that_hangs_ends_itself_says_so_and_keeps_what_it_found() {
    let bench = Bench::with("hanging", "CREATE TABLE t AS SELECT 1 AS a");
    bench.back_up().await;
    let manifest =
        bench.stores.offsite.keys("backups/").into_iter().find(|key| key.ends_with("manifest.json")).unwrap();
    assert!(bench.stores.offsite.remove(&manifest));
    // The store takes the question for a chunk and never answers.
    let script = Script::new();
    script.add(Rule::always(Fault::Hold(Gate::new())).on(Operation::Measure).under("chunks/"));
    let mut process = bench.process_on(bench.stores.behind(&script, &script));
    process.run.deadline = Deadline::after(Duration::from_secs(12));
    let error = process.verify(VerificationScope::All).await.unwrap_err();
    assert!(matches!(error, EngineError::OutOfTime { .. }), "{error:?}");
    assert_eq!((process.said(), process.alerted()), (vec!["Verification Failed"], vec![Severity::Critical]));
    let what = process.outbox.alerts().remove(0).what;
    assert!(what.contains("1 damaged object(s) were replaced") && what.contains(&manifest), "{what}");
    let reports = bench.stores.primary.keys("findings/");
    let [report] = reports.as_slice() else { panic!("{reports:?}") };
    let report = String::from_utf8(bench.stores.primary.bytes(report).unwrap().to_vec()).unwrap();
    assert!(report.contains(&manifest), "the healed manifest is on record: {report}");
}
