//! Each function may append to the ledger. What it records of another function's act is not believed without what only that function leaves.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lifeboat_bench::{Fault, Refusal, Rule, Script};
use lifeboat_engine::{check_health, look_at_health};
use lifeboat_model::{Act, AlertKind, Fact, Facts, LedgerAct, Outcome, Policy, Site};

use crate::bench::{Bench, Process, database};
use crate::incidents::health;
use crate::stores::{BOTH, macs};

const TABLE: &str = "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i";

/// A completed act in the ledger as its function would record it, as late as clocks may differ.
async fn forge(bench: &Bench, act: Act, site: Site) {
    let process = bench.process();
    let detail = Facts::new().with(Fact::Database, database()).with(Fact::Site, site).with(Fact::Equal, true);
    let forged = LedgerAct {
        mandate: process.run.mandate,
        action: act,
        subject: database().to_string(),
        outcome: Outcome::Completed,
        detail: detail.into_detail(),
    };
    let soon = Timestamp::now() + SignedDuration::from_mins(14);
    bench.stores.repository().await.ledger(&macs()).append(forged, soon).await.unwrap();
}

/// What is overdue for such a process by a policy that allows an hour.
async fn overdue(mut process: Process) -> Vec<String> {
    let mut policy = Policy::default();
    let hour = SignedDuration::from_hours(1);
    (policy.freshness.verification, policy.freshness.drill) = (hour, hour);
    process.run.policy = Arc::new(policy);
    let report = look_at_health(&process.again(), &health()).await;
    let kinds = [AlertKind::VerificationOverdue, AlertKind::DrillOverdue];
    let wrong = report.probes.into_iter().filter(|probe| kinds.contains(&probe.name.kind));
    wrong.filter_map(|probe| probe.wrong).map(|wrong| wrong.what).collect()
}

/// A health check that expected everything long ago.
async fn expect_since_january(bench: &Bench) {
    check_health(&bench.process().again(), &health(), None).await.unwrap();
    let stored = bench.stores.primary.bytes(HISTORY).unwrap();
    let mut history: serde_json::Value = serde_json::from_slice(&stored).unwrap();
    let known = &mut history["databases"]["clinic"];
    for since in ["/awaited/verify", "/awaited/test-restore", "/sites_since/primary", "/sites_since/offsite"] {
        *known.pointer_mut(since).unwrap() = "2026-01-01T00:00:00Z".into();
    }
    bench.stores.primary.replace(HISTORY, history.to_string());
}

const HISTORY: &str = "state/history.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_that_is_on_record_and_left_no_trace_is_still_overdue() {
    let bench = Bench::with("forged", TABLE);
    bench.back_up().await;
    expect_since_january(&bench).await;
    forge(&bench, Act::Verify, Site::Primary).await;
    for site in BOTH {
        forge(&bench, Act::TestRestore, site).await;
    }
    check_health(&bench.process().again(), &health(), None).await.unwrap();
    let wrong = overdue(bench.process()).await;
    assert!(wrong.len() == 2 && wrong[0].starts_with("no verification of clinic has succeeded in "), "{wrong:?}");
    assert!(wrong[1].starts_with("no drill has proved a backup of clinic from primary in time"), "{wrong:?}");

    // What really happened counts, from each site by itself.
    bench.verify_all().await;
    bench.drill(Site::Primary).await;
    let wrong = overdue(bench.process()).await;
    assert!(
        wrong.len() == 1 && wrong[0].starts_with("no drill has proved a backup of clinic from offsite"),
        "{wrong:?}"
    );
    bench.drill(Site::Offsite).await;
    assert_eq!(overdue(bench.process()).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_of_a_drill_counts_when_either_site_gives_it_and_only_when_it_is_a_proof() {
    let bench = Bench::with("reports", TABLE);
    bench.back_up().await;
    for site in BOTH {
        bench.drill(site).await;
    }
    expect_since_january(&bench).await;
    let drill_overdue = async |primary: Option<Rule>, offsite: Option<Rule>| {
        let scripts = [primary, offsite].map(|rule| {
            let script = Script::new();
            rule.into_iter().for_each(|rule| script.add(rule));
            script
        });
        let process = bench.process_on(bench.stores.behind(&scripts[0], &scripts[1]));
        let wrong = overdue(process).await;
        wrong.iter().any(|what| what.contains("drill"))
    };
    let hidden = || Some(Rule::always(Fault::Reject(Refusal::Unavailable)).under("drills/"));
    assert!(!drill_overdue(None, None).await);
    assert!(!drill_overdue(hidden(), None).await);
    assert!(!drill_overdue(None, hidden()).await);
    assert!(!drill_overdue(hidden(), hidden()).await, "an outage passes by itself");
    let denied = || Some(Rule::always(Fault::Reject(Refusal::Denied)).under("drills/"));
    assert!(!drill_overdue(None, denied()).await);
    assert!(drill_overdue(denied(), denied()).await, "nobody knows whether a drill is due");

    let key = bench.stores.primary.keys("drills/").pop().unwrap();
    let report = String::from_utf8(bench.stores.primary.bytes(&key).unwrap().to_vec()).unwrap();
    bench.stores.primary.replace(&key, "{");
    assert!(!drill_overdue(None, None).await, "the off-site still has it");
    for not_a_proof in
        [report.replace(r#""equal":true,"seconds""#, r#""equal":false,"seconds""#), report.replace("clinic", "other")]
    {
        assert_ne!(not_a_proof, report);
        BOTH.iter().for_each(|site| bench.stores.of(*site).replace(&key, not_a_proof.clone()));
        assert!(drill_overdue(None, None).await, "{not_a_proof}");
    }
    BOTH.iter().for_each(|site| bench.stores.of(*site).replace(&key, report.clone()));
    assert!(!drill_overdue(None, None).await);
}
