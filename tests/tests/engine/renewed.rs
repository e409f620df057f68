//! A stack that is made anew beside its old off-site, and keys and buckets that are not what they were.

use std::sync::Arc;

use lifeboat_bench::{HmacKey, MemoryStore, RoleKeys};
use lifeboat_engine::{Asked, BackupChoice, BackupRequest, DrillRequest, HealthRequest, check_health};
use lifeboat_model::{AlertKind, AlertState, EpochNumber, Fact, Severity, Site, VerificationScope};
use lifeboat_seal::{DataKeys, RawAesDataKeys, RawAesKey};
use lifeboat_vault::{DefaultLock, LedgerFilter, MacKey, MacKeys, Protection, Repository};

use crate::bench::{Bench, Process, database};
use crate::sample::CLINIC;
use crate::stores::{BOTH, Stores, keys_of, mac_key};

const TABLE: &str = "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i";

fn raw_key(name: &str, secret: u8) -> RawAesKey {
    RawAesKey::new("lifeboat", name, &[secret; 32]).unwrap()
}

fn raw_keys(keys: Vec<RawAesKey>) -> Arc<dyn DataKeys> {
    Arc::new(RawAesDataKeys::new(keys).unwrap())
}

/// The keys of the new stack: a new one on the primary, and that of the old off-site.
fn new_keys() -> Arc<dyn DataKeys> {
    raw_keys(vec![raw_key("primary-anew", 3), raw_key("offsite", 2)])
}

/// The same as the role of `backup` has them: it does not decrypt with the off-site's.
fn new_role() -> Arc<dyn DataKeys> {
    Arc::new(RoleKeys { seals: new_keys(), opens: Ok(raw_keys(vec![raw_key("primary-anew", 3)])) })
}

fn new_macs() -> MacKeys {
    let anew: Arc<dyn MacKey> = Arc::new(HmacKey::new("primary-anew", b"primary-anew"));
    MacKeys::new([(Site::Primary, anew), (Site::Offsite, Arc::new(mac_key(Site::Offsite)))])
}

fn health() -> HealthRequest {
    HealthRequest { databases: vec![database()], drills: false }
}

fn told(process: &Process) -> Vec<(AlertKind, AlertState)> {
    process.outbox.alerts().iter().map(|alert| (alert.kind, alert.state)).collect()
}

/// A process of the new stack.
fn renewed(bench: &Bench, stores: &Stores, keys: Arc<dyn DataKeys>) -> Process {
    let mut process = bench.process_on(stores.sites());
    (process.run.ports.keys, process.run.ports.macs) = (keys, new_macs());
    process
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_made_anew_beside_its_old_off_site_backs_up_verifies_and_restores_old_and_new_backups() {
    let bench = Bench::with("renewed", CLINIC);
    let mut old_stack = bench.process();
    old_stack.run.ports.keys = Arc::new(RoleKeys { seals: keys_of(&BOTH), opens: Ok(keys_of(&[Site::Primary])) });
    let old = old_stack.back_up(&bench.request()).await.unwrap();
    assert_eq!(old_stack.alerted(), [Severity::Info]);

    // The region is lost with its bucket and both its keys.
    let stores = Stores { primary: MemoryStore::new(), ..bench.stores.clone() };
    let process = renewed(&bench, &stores, new_role());
    let new = process.back_up(&bench.request()).await.unwrap();
    assert_eq!((old.epoch, new.epoch, new.totals.reused_chunks), (EpochNumber(1), EpochNumber(2), 0));
    let notice = process.outbox.alerts().into_iter().find(|alert| alert.kind == AlertKind::BackupCompleted).unwrap();
    assert_eq!(notice.severity, Severity::Warning);
    assert!(notice.what.contains("began a new epoch, because"), "{}", notice.what);
    assert!(notice.hint.unwrap().contains("keep the keys of earlier epochs"));
    assert!(notice.facts.contains(&("epoch_cause".to_owned(), "keys".to_owned())), "{:?}", notice.facts);

    // A verification, which follows each backup, brings back what the primary lost: the audit trail and the older backup.
    let report = renewed(&bench, &stores, new_keys()).verify(VerificationScope::All).await.unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    // Ids of one second have no order.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let process = renewed(&bench, &stores, new_role());
    let next = process.back_up(&bench.request()).await.unwrap();
    assert_eq!((next.epoch, next.totals.new_chunks), (EpochNumber(2), 0), "one epoch is begun, and then it is used");
    let mut notices = process.outbox.alerts();
    notices.retain(|alert| alert.kind == AlertKind::BackupCompleted);
    let severities: Vec<Severity> = notices.iter().map(|alert| alert.severity).collect();
    assert_eq!(severities, [Severity::Info], "{notices:?}");

    let repository = Repository::open(stores.sites(), new_keys()).await.unwrap();
    let newest = repository.ledger(&new_macs()).entries(&LedgerFilter::default(), 1).await.unwrap().pop().unwrap();
    let facts = [Fact::Epoch, Fact::EpochCause].map(|fact| newest.detail[fact.as_str()].as_str());
    assert_eq!((newest.action.as_str(), facts), ("backup", ["0002", "keys"]));

    // Old and new backups open with the off-site's key alone, and the new ones with that of the new primary too.
    let ways = [
        (&old, Site::Offsite, keys_of(&[Site::Offsite])),
        (&new, Site::Offsite, keys_of(&[Site::Offsite])),
        (&next, Site::Primary, raw_keys(vec![raw_key("primary-anew", 3)])),
    ];
    for (manifest, site, keys) in ways {
        let process = renewed(&bench, &stores, keys);
        let choice = BackupChoice::Id(manifest.backup_id.clone());
        let report = process.drill(&DrillRequest { backup: choice, ..bench.drill_request(site) }).await.unwrap();
        assert!(report.equal, "{} from {site}: {:?}", manifest.backup_id, report.findings);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_adopted_buckets_and_other_keys_backups_go_on_and_keep_naming_the_ledger() {
    let bench = Bench::with("adopted", TABLE);
    bench.back_up().await;
    let old = bench.back_up().await;
    let mut process = bench.process();
    process.run.ports.keys = raw_keys(vec![raw_key("primary-anew", 3), raw_key("offsite-anew", 4)]);
    let new = process.back_up(&bench.request()).await.unwrap();
    assert_eq!((old.epoch, new.epoch), (EpochNumber(1), EpochNumber(2)));
    assert!(new.ledger.unwrap().number > old.ledger.unwrap().number, "{:?} after {:?}", new.ledger, old.ledger);
    assert!(bench.verify_all().await.is_sound());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_backup_in_an_epoch_of_other_keys_says_so_also_when_the_run_that_began_it_died() {
    let bench = Bench::with("died", TABLE);
    bench.back_up().await;
    let keys = || raw_keys(vec![raw_key("primary-anew", 3), raw_key("offsite-anew", 4)]);
    let at = jiff::Timestamp::now();
    let dying = Repository::open_or_create(bench.stores.sites(), keys(), at).await.unwrap();
    assert_eq!(dying.begin_writing(at).await.unwrap().epoch(), EpochNumber(2));
    for severity in [Severity::Warning, Severity::Info] {
        // The function may die before it announces the backup. Then the event comes again, and is already answered.
        let request = BackupRequest { asked: Asked::Since(jiff::Timestamp::now()), ..bench.request() };
        let mut taken = Vec::new();
        for _ in 0..2 {
            let mut process = bench.process();
            process.run.ports.keys = keys();
            taken.push(process.back_up(&request).await.unwrap());
            assert_eq!(process.alerted(), [severity]);
        }
        assert_eq!((taken[0].epoch, &taken[0].backup_id), (EpochNumber(2), &taken[1].backup_id));
        // An event's time has whole seconds.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_works_but_does_not_open_what_is_stored_is_an_incident_that_names_site_and_epoch() {
    let bench = Bench::with("stored-key", TABLE);
    bench.back_up().await;
    // It has the name of the primary's key, encrypts, and decrypts what it encrypted.
    let mut process = bench.process();
    process.run.ports.keys = raw_keys(vec![raw_key("primary", 77), raw_key("offsite", 2)]);
    let report = check_health(&process.again(), &health(), None).await.unwrap();
    assert_eq!(told(&process), [(AlertKind::KeyUnusable, AlertState::Opened)]);
    let alert = process.outbox.alerts()[0].clone();
    assert_eq!(
        (alert.severity, alert.incident.unwrap().to_string()),
        (Severity::Critical, "key-unusable/primary".to_owned())
    );
    assert!(alert.what.contains("primary key of epoch 0001") && alert.what.contains("`primary`"), "{}", alert.what);
    assert_eq!(report.probes.iter().filter(|probe| probe.wrong.is_some()).count(), 1);
    let checks = lifeboat_engine::doctor(&process.again(), &bench.request().source).await;
    let failed: Vec<&str> = checks
        .iter()
        .filter(|check| check.verdict == lifeboat_model::Verdict::Failed)
        .map(|check| check.check.as_str())
        .collect();
    assert_eq!(failed, ["primary key of epoch 0001"]);

    let process = bench.process();
    check_health(&process.again(), &health(), None).await.unwrap();
    assert_eq!(told(&process), [(AlertKind::KeyUnusable, AlertState::Resolved)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_locks_for_too_short_a_time_is_an_incident_until_it_is_mended() {
    let bench = Bench::with("unlocked", TABLE);
    bench.back_up().await;
    let protect = |lock| bench.stores.offsite.protect(Protection { versioned: true, lock });
    let locked = |days| Some(DefaultLock { mode: "GOVERNANCE".to_owned(), days });
    for lock in [locked(97), None] {
        protect(lock);
        let process = bench.process();
        check_health(&process.again(), &health(), None).await.unwrap();
        assert_eq!(told(&process), [(AlertKind::BucketUnprotected, AlertState::Opened)]);
        assert!(process.outbox.alerts()[0].what.starts_with("offsite protected: "), "{:?}", process.outbox.alerts());
        protect(locked(120));
        let process = bench.process();
        check_health(&process.again(), &health(), None).await.unwrap();
        assert_eq!(told(&process), [(AlertKind::BucketUnprotected, AlertState::Resolved)]);
    }
}
