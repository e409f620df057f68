//! Requests that come twice, and runs that meet.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lifeboat_bench::{Fault, Gate, Operation, Rule, Script};
use lifeboat_engine::{Asked, BackupRequest, EngineError};
use lifeboat_model::{Event, Outcome, Severity, Site};
use lifeboat_vault::VaultError;

use crate::bench::Bench;
use crate::sample::CLINIC;
use crate::stores::BOTH;

fn wanted_at(bench: &Bench, at: Timestamp) -> BackupRequest {
    BackupRequest { asked: Asked::Since(at), ..bench.request() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_delivered_twice_is_carried_out_once_and_answered_twice() {
    let bench = Bench::with("twice", CLINIC);
    let request = wanted_at(&bench, Timestamp::now());
    let (first, second) = (bench.process(), bench.process());
    let one = first.back_up(&request).await.unwrap();
    bench.sql("INSERT INTO clinic.remark VALUES ('later')");
    let before = bench.stores.backup_objects(Site::Primary);
    let two = second.back_up(&request).await.unwrap();
    assert_eq!(one, two);
    assert_eq!(bench.stores.backup_objects(Site::Primary), before, "nothing was stored for the second delivery");
    assert_eq!(first.outbox.events(), second.outbox.events());
    assert_eq!(second.alerted(), [Severity::Info]);
    for site in BOTH {
        assert_eq!(bench.stores.backups(site).await.len(), 1);
    }
    // A later tick is another request.
    let later = wanted_at(&bench, Timestamp::now() + SignedDuration::from_secs(1));
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let three = bench.process().back_up(&later).await.unwrap();
    assert_ne!(three.backup_id, one.backup_id);
    assert_eq!(three.totals.rows, one.totals.rows + 1);
}

/// Both look whether the request is answered before either has taken the lease; the slower of them must look again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_delivered_twice_at_the_same_moment_is_carried_out_once() {
    let bench = Arc::new(Bench::with("same-moment", CLINIC));
    let request = wanted_at(&bench, Timestamp::now());
    let (gate, script) = (Gate::new(), Script::new());
    script.add(Rule::always(Fault::Hold(gate.clone())).on(Operation::Get).under("leases/").only_nth(1));
    let slow = bench.process_on(bench.stores.behind(&script, &script));
    let slower = tokio::spawn({
        let request = request.clone();
        async move { slow.back_up(&request).await }
    });
    gate.arrival().await;
    let one = bench.process().back_up(&request).await.unwrap();
    gate.open();
    let two = slower.await.unwrap().unwrap();
    assert_eq!(one.backup_id, two.backup_id);
    assert_eq!(bench.stores.backups(Site::Primary).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_runs_at_once_the_second_is_refused_with_holder_and_expiry_and_publishes_nothing() {
    let bench = Bench::with("at-once", CLINIC);
    let (gate, script) = (Gate::new(), Script::new());
    script.add(Rule::always(Fault::Hold(gate.clone())).on(Operation::Put).under("chunks/"));
    let first = bench.process_on(bench.stores.behind(&script, &script));
    let first_id = first.run.id.clone();
    let request = bench.request();
    let running = tokio::spawn(async move { (first.back_up(&request).await, first) });
    gate.arrival().await;

    let second = bench.process();
    let before = bench.stores.primary.keys("chunks/");
    let error = second.back_up(&bench.request()).await.unwrap_err();
    let EngineError::Vault(VaultError::LeaseHeld { holder, expires_at, .. }) = &error else { panic!("{error:?}") };
    assert_eq!(*holder, first_id);
    let left = expires_at.duration_since(Timestamp::now());
    assert!(
        left > SignedDuration::ZERO && left <= SignedDuration::from_secs(60),
        "a killed run keeps nobody out for long: {left}"
    );
    for fact in [holder.as_str(), &expires_at.to_string()] {
        assert!(error.to_string().contains(fact), "{error}");
    }
    assert!(error.hint().contains("wait"), "{}", error.hint());
    assert_eq!(bench.stores.primary.keys("chunks/"), before);
    assert_eq!(bench.stores.primary.keys("backups/"), Vec::<String>::new());
    assert_eq!(second.said(), ["Backup Failed"]);
    assert!(matches!(&second.outbox.events()[0], Event::BackupFailed { error, .. } if error.contains(holder)));

    gate.open();
    let (result, first) = running.await.unwrap();
    let manifest = result.unwrap();
    assert_eq!(first.said(), ["Backup Completed"]);
    assert_eq!(bench.stores.backups(Site::Offsite).await, std::slice::from_ref(&manifest.backup_id));
    let outcomes: Vec<Outcome> = bench.stores.acts().await.into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, [Outcome::Failed, Outcome::Completed]);
    // And the lease is free: a third run, by anyone, begins at once.
    assert!(bench.process().back_up(&bench.request()).await.is_ok());
}
