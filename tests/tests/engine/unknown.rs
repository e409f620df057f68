//! What could not be looked at is neither well nor repaired.

use lifeboat_bench::{Fault, Operation, Refusal, Rule, Script};
use lifeboat_engine::{check_health, look_at_health};
use lifeboat_model::{AlertKind, AlertState};

use crate::bench::Bench;
use crate::incidents::{health, told};
use crate::stores::BOTH;

const TABLE: &str = "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i";

/// A key that was tried on nothing stored may still be the wrong one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_is_away_does_not_resolve_what_is_wrong_with_its_key() {
    let bench = Bench::with("untried", TABLE);
    bench.back_up().await;
    let probed = async |rule: Option<Rule>| {
        let script = Script::new();
        rule.into_iter().for_each(|rule| script.add(rule));
        let process = bench.process_on(bench.stores.behind(&Script::new(), &script));
        let report = look_at_health(&process.again(), &health()).await;
        let keys = report.probes.into_iter().filter(|probe| probe.name.kind == AlertKind::KeyUnusable);
        keys.map(|probe| (probe.name.subject.to_string(), probe.wrong.is_none())).collect::<Vec<_>>()
    };
    let well = |subject: &str| (subject.to_owned(), true);
    let away = || Rule::always(Fault::Reject(Refusal::Unavailable));
    assert_eq!(probed(None).await, ["repository", "primary", "offsite"].map(well));
    assert_eq!(probed(Some(away())).await, ["repository", "primary"].map(well));
    assert_eq!(probed(Some(away().on(Operation::List))).await, ["repository", "primary"].map(well));
}

/// Nobody knows whether rows are left where that is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_scratch_databases_that_cannot_be_read_is_a_problem() {
    let bench = Bench::with("unread-record", TABLE);
    bench.back_up().await;
    const RECORD: &str = "state/scratch.json";
    // A new bucket has none, and the other site's copy may hold names.
    bench.stores.offsite.replace(RECORD, "{");
    let process = bench.process();
    assert!(!check_health(&process.again(), &health(), None).await.unwrap().is_well());
    assert_eq!(told(&process), [(AlertKind::DrillLeftover, AlertState::Opened)]);
    BOTH.iter().for_each(|site| bench.stores.of(*site).replace(RECORD, "{"));
    assert!(!check_health(&bench.process().again(), &health(), None).await.unwrap().is_well());
    assert!(BOTH.iter().all(|site| bench.stores.of(*site).remove(RECORD)));
    let process = bench.process();
    check_health(&process.again(), &health(), None).await.unwrap();
    assert_eq!(told(&process), [(AlertKind::DrillLeftover, AlertState::Resolved)]);
}
