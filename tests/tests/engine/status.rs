//! What is shown at a glance is true, also when half of it cannot be looked at.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lifeboat_bench::{Fault, FaultyStore, Gate, Refusal, Rule, Script};
use lifeboat_engine::{HealthRequest, check_health, look_at_health, status};
use lifeboat_model::{Act, AlertKind, AlertState, Outcome, Site, Standing, VerificationScope};
use lifeboat_vault::{ObjectStore, Sites};

use crate::bench::{Bench, database};

const TABLE: &str = "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i";

fn asked() -> HealthRequest {
    HealthRequest { databases: vec![database()], drills: true }
}

/// The sites, with what is wrong with one of them.
fn sites(bench: &Bench, wrong: Site, fault: Fault) -> Sites {
    let script = Script::new();
    script.add(Rule::always(fault));
    let store = |site: Site| -> Arc<dyn ObjectStore> {
        let store = bench.stores.of(site).clone();
        if site == wrong { Arc::new(FaultyStore::new(store, script.clone())) } else { Arc::new(store) }
    };
    Sites::new(Some(store(Site::Primary)), Some(store(Site::Offsite)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_is_empty_then_well_then_what_went_wrong() {
    let bench = Bench::with("glance", TABLE);
    let process = bench.process();
    let empty = status(&process.again(), &asked()).await;
    assert_eq!((empty.status, empty.headline().as_str()), (Standing::Empty, "There is no backup yet"));
    assert_eq!((empty.unread.len(), empty.tail.unwrap().len()), (0, 0), "{:?}", empty.unread);

    let backup = bench.back_up().await;
    bench.process().verify(VerificationScope::All).await.unwrap();
    check_health(&bench.process().again(), &asked(), None).await.unwrap();
    let well = status(&bench.process().again(), &asked()).await;
    assert_eq!((well.status, well.headline().as_str()), (Standing::Ok, "Everything is all right"), "{well:?}");
    assert_eq!(well.backups.last_backup.unwrap().backup_id, backup.backup_id);
    let actions: Vec<&str> = well.tail.as_ref().unwrap().iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["verify", "backup"], "newest first");
    let run = well.history.as_ref().unwrap().runs(&database(), Act::Backup).next_back().unwrap();
    assert_eq!((run.rows, run.outcome), (Some(100), Outcome::Completed));
    assert_eq!(run.stored_bytes, Some(backup.totals.stored_bytes));
    let costs = well.costs.as_ref().unwrap();
    assert_eq!(costs.stored_bytes, 2 * backup.totals.stored_bytes, "on both sites");
    assert!(costs.is_whole && costs.month.storage > 0.0);

    let mut nowhere = bench.request();
    nowhere.source = lifeboat_postgres::ConnectionSettings::from_secret(&bench.server.url("nothing_here")).unwrap();
    bench.process().back_up(&nowhere).await.unwrap_err();
    // What is on record is shown before anybody has digested it.
    let wrong = status(&bench.process().again(), &asked()).await;
    assert_eq!((wrong.status, wrong.headline().as_str()), (Standing::Critical, "1 thing is wrong"));
    assert_eq!(wrong.incidents[0].name.kind, AlertKind::BackupFailed);
    let run = wrong.history.as_ref().unwrap().runs(&database(), Act::Backup).next_back().unwrap();
    assert_eq!((run.outcome, run.rows), (Outcome::Failed, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_does_not_serve_is_named_and_the_rest_is_shown() {
    let bench = Bench::with("half", TABLE);
    let backup = bench.back_up().await;
    for fault in [Fault::Reject(Refusal::Denied), Fault::Hold(Gate::new())] {
        let process = bench.process_on(sites(&bench, Site::Offsite, fault));
        let seen = status(&process.again(), &asked()).await;
        assert_eq!(seen.status, Standing::Unknown, "{seen:?}");
        let offsite = seen.health.components.iter().find(|part| part.name == "store offsite").unwrap();
        assert_eq!(offsite.status, Standing::Warning);
        assert_eq!(seen.tail.unwrap().len(), 1, "the primary has it");
        assert_eq!(seen.backups.last_backup.unwrap().backup_id, backup.backup_id);
        let clinic = &seen.backups.databases[0];
        let [primary, offsite] = clinic.sites.as_slice() else { panic!("{clinic:?}") };
        assert_eq!((primary.status, offsite.status, offsite.behind), (Standing::Ok, Standing::Unknown, None));
        assert!(clinic.schedules.iter().all(|schedule| !schedule.overdue), "{clinic:?}");
        // Whoever looks says the same of the off-site, and nothing of the backups, which are there.
        let report = look_at_health(&process.again(), &asked()).await;
        let wrong = report.probes.iter().filter(|probe| probe.wrong.is_some());
        let kinds: Vec<AlertKind> = wrong.map(|probe| probe.name.kind).collect();
        assert_eq!(kinds, [AlertKind::OffsiteLag], "{report:?}");
    }

    let process = bench.process_on(sites(&bench, Site::Primary, Fault::Reject(Refusal::Unavailable)));
    let seen = status(&process.again(), &asked()).await;
    assert_eq!(seen.status, Standing::Critical);
    let primary = seen.health.components.iter().find(|part| part.name == "store primary").unwrap();
    assert!(primary.detail.as_ref().unwrap().contains("primary"), "{primary:?}");
    assert!(!seen.unread.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_on_record_and_not_there_any_more_is_told() {
    let bench = Bench::with("vanished", TABLE);
    let backup = bench.back_up().await;
    let manifest = format!("backups/clinic/{}/manifest.json", backup.backup_id);
    assert!(bench.stores.primary.remove(&manifest));
    let report = look_at_health(&bench.process().again(), &asked()).await;
    let wrong: Vec<_> = report.probes.iter().filter_map(|probe| probe.wrong.as_ref()).collect();
    assert!(wrong.len() == 1 && wrong[0].what.contains("is missing on the primary"), "{wrong:?}");
    let seen = status(&bench.process().again(), &asked()).await;
    assert_eq!(seen.backups.status, Standing::Critical, "{seen:?}");
}

/// A store that takes requests and never answers: the worst of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_hangs_keeps_nobody_from_being_told() {
    let bench = Bench::with("hangs", TABLE);
    bench.back_up().await;
    let hanging = || bench.process_on(sites(&bench, Site::Primary, Fault::Hold(Gate::new())));
    let seen = status(&hanging().again(), &asked()).await;
    assert_eq!(seen.status, Standing::Critical);
    let process = hanging();
    check_health(&process.again(), &asked(), None).await.unwrap_err();
    let alerts = process.outbox.alerts();
    let told: Vec<_> = alerts.iter().map(|alert| (alert.kind, alert.state)).collect();
    assert_eq!(told, [(AlertKind::BackupOverdue, AlertState::Opened)], "{alerts:?}");
    assert!(alerts[0].what.contains("it is unknown whether there is a new one"), "{}", alerts[0].what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drills_from_one_site_do_not_make_up_for_those_that_the_other_one_misses() {
    let bench = Bench::with("one-site", TABLE);
    bench.back_up().await;
    assert!(bench.drill(Site::Primary).await.equal);
    check_health(&bench.process().again(), &asked(), None).await.unwrap();
    let process = bench.process();
    let limit = process.run.policy.freshness.drill;
    let overdue_after = async |waited: SignedDuration| {
        let key = "state/history.json";
        let mut history: serde_json::Value = serde_json::from_slice(&bench.stores.primary.bytes(key).unwrap()).unwrap();
        let since = &mut history["databases"]["clinic"]["sites_since"]["offsite"];
        assert!(since.is_string());
        *since = serde_json::json!(Timestamp::now() - waited);
        for store in [&bench.stores.primary, &bench.stores.offsite] {
            store.replace(key, history.to_string());
        }
        let report = look_at_health(&process.again(), &asked()).await;
        report.probes.into_iter().find(|probe| probe.name.kind == AlertKind::DrillOverdue).unwrap().wrong
    };
    // With two sites, each has every other drill.
    let an_hour = SignedDuration::from_hours(1);
    assert_eq!(overdue_after(limit * 2 - an_hour).await, None);
    let wrong = overdue_after(limit * 2 + an_hour).await.unwrap();
    assert!(wrong.what.starts_with("no drill has proved a backup of clinic from offsite in time"), "{}", wrong.what);
    assert!(wrong.hint.contains("--site offsite"), "{}", wrong.hint);
}
