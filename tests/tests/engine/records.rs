//! Every entry of the ledger says which run wrote it and what that run used.

use std::collections::BTreeSet;
use std::sync::Arc;

use lifeboat_bench::{Fault, Operation, Refusal, Rule, Script};
use lifeboat_engine::{BackupRequest, HealthRequest, acknowledge, adopt_policy, check_health, clean_scratch};
use lifeboat_model::{Act, Fact, Policy, PolicyDocument, PolicyVersions, Site};

use crate::bench::{Bench, database};

const TABLE: &str = "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i";

/// Usage that every entry states.
const USAGE: [Fact; 4] = [Fact::Writes, Fact::Reads, Fact::KeyRequests, Fact::GbSeconds];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_each_act_has_the_run_s_id_and_usage() {
    let bench = Bench::with_own_scratch("records", TABLE);
    bench.back_up().await;
    bench.verify_all().await;
    bench.drill(Site::Primary).await;
    bench.restore(Site::Primary, bench.settings("restored")).await;
    let drill_killed_early = format!("CREATE DATABASE lifeboat_drill_0123abcd OWNER {}", bench.driller());
    bench.scratch().psql("postgres", &drill_killed_early).unwrap();
    clean_scratch(&bench.process().again(), Ok(bench.scratch_settings())).await.unwrap();
    // A backup that did not get to the off-site, and the next one, which brings it over.
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(Refusal::Unavailable)).on(Operation::Copy));
    script.add(Rule::always(Fault::Reject(Refusal::Unavailable)).on(Operation::Put));
    bench.sql("INSERT INTO t VALUES (101)");
    let behind = bench.process_on(bench.stores.behind(&Script::new(), &script));
    behind.back_up(&bench.request()).await.unwrap_err();
    bench.back_up().await;

    let url = bench.server.url("nothing_here");
    let source = lifeboat_postgres::ConnectionSettings::from_secret(&url).unwrap();
    let nowhere = BackupRequest { source, ..bench.request() };
    bench.process().back_up(&nowhere).await.unwrap_err();
    acknowledge(&bench.process().again(), &"backup-failed/clinic".parse().unwrap(), &[]).await.unwrap();

    let document = PolicyDocument {
        text: "version = 1\n".to_owned(),
        version: 1,
        modified_at: jiff::Timestamp::now(),
        modified_by: None,
        reason: None,
    };
    let versions = PolicyVersions { in_place: document.clone(), history: Some(vec![document]) };
    adopt_policy(&bench.process().again(), Ok(&versions)).await.unwrap();
    let mut impatient = bench.process();
    let mut policy = Policy::default();
    policy.freshness.drill = jiff::SignedDuration::from_secs(-1);
    impatient.run.policy = Arc::new(policy);
    let request = HealthRequest { databases: vec![database()], drills: true };
    check_health(&impatient.again(), &request, None).await.unwrap();

    let ledger = bench.stores.ledger().await;
    let acts: BTreeSet<Act> = ledger.iter().map(|entry| entry.act().unwrap()).collect();
    assert_eq!(acts, Act::ALL.iter().copied().collect(), "each act has an entry");
    for entry in &ledger {
        let run_id: Option<String> = Fact::RunId.read(&entry.detail);
        assert!(run_id.is_some_and(|id| id.starts_with("run-")), "{entry:?}");
        for fact in USAGE {
            assert!(fact.read::<f64>(&entry.detail).is_some(), "{fact} of {entry:?}");
        }
    }
}
