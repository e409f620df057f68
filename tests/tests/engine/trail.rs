//! The audit trail beside backups: each vouches for the other.

use lifeboat_engine::{TrailRequest, restore_ledger, verify_ledger};
use lifeboat_model::{AlertState, BackupId, FindingKind, LedgerLink, Site, VerificationScope};

use crate::bench::{Bench, Process};
use crate::stores::BOTH;

const TABLE: &str = "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i";

/// The entry that a further backup names.
async fn later_backup(bench: &Bench) -> Option<LedgerLink> {
    bench.back_up().await.ledger
}

/// Cut off on both sites, and nobody looked before the next backup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_that_was_cut_between_two_backups_is_not_forgotten_with_the_next_one() {
    let bench = Bench::with("trail-cut", TABLE);
    for _ in 0..3 {
        bench.back_up().await;
    }
    let named = later_backup(&bench).await.unwrap();
    assert_eq!(named.number, 3);
    for site in BOTH {
        for key in bench.stores.of(site).keys("ledger/").iter().skip(1) {
            assert!(bench.stores.of(site).remove(key));
        }
    }
    // Two go on record in the place of what is gone; what the backups name is still what was there.
    assert_eq!(later_backup(&bench).await, Some(named));
    assert_eq!(later_backup(&bench).await, Some(named));
    let report = bench.verify_all().await;
    let [finding] = report.findings.as_slice() else { panic!("{:?}", report.findings) };
    assert_eq!(
        (finding.kind, finding.subject.to_string().as_str()),
        (FindingKind::LedgerBroken, "ledger/000000000003.json")
    );
    let process = bench.process();
    let told = verify_ledger(&process.again(), None, |_, _| true).await.unwrap_err();
    assert!(told.story().contains("ledger/000000000003.json"), "{}", told.story());
}

/// No object under `ledger/` keeps chunks from being read and healed, or backups from being taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_that_somebody_stopped_stops_neither_verifications_nor_backups() {
    let bench = Bench::with("trail-stopped", TABLE);
    bench.back_up().await;
    let chunk = bench.stores.primary.keys("chunks/").into_iter().next().unwrap();
    assert!(bench.stores.primary.flip_bit(&chunk, 50, 0));
    bench.stores.primary.replace("ledger/zzz", "nothing");
    let process = bench.process();
    let report = process.verify(VerificationScope::All).await.unwrap();
    assert_eq!(told(&process), [("ledger-broken/clinic".to_owned(), AlertState::Opened)]);
    assert!(
        report.findings.iter().any(|finding| finding.subject.to_string() == chunk && finding.healed),
        "{:?}",
        report.findings
    );
    assert!(report.findings.iter().any(|finding| finding.kind == FindingKind::LedgerBroken && !finding.healed));
    assert_eq!(bench.back_up().await.ledger, None);
    assert!(bench.stores.primary.remove("ledger/zzz"));
    bench.back_up().await;
    let process = bench.process();
    assert!(process.verify(VerificationScope::All).await.unwrap().is_sound());
    assert_eq!(told(&process), [("ledger-broken/clinic".to_owned(), AlertState::Resolved)]);
}

/// The verification of a backup walks the end of the trail, as each verification does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_that_was_repaired_is_resolved_by_the_verification_of_any_backup() {
    const ENTRY: &str = "ledger/000000000001.json";
    let bench = Bench::with("trail-repaired", TABLE);
    let first = bench.back_up().await.backup_id;
    let second = bench.back_up().await.backup_id;
    let sound = bench.stores.primary.bytes(ENTRY).unwrap();
    BOTH.iter().for_each(|site| bench.stores.of(*site).replace(ENTRY, "nothing"));
    let verify = async |backup_id: &BackupId| {
        let process = bench.process();
        process.verify(VerificationScope::Backup { backup_id: backup_id.clone() }).await.unwrap();
        told(&process)
    };
    assert_eq!(verify(&first).await, [("ledger-broken/clinic".to_owned(), AlertState::Opened)]);
    assert_eq!(verify(&second).await, []);
    BOTH.iter().for_each(|site| bench.stores.of(*site).replace(ENTRY, sound.clone()));
    assert_eq!(verify(&second).await, [("ledger-broken/clinic".to_owned(), AlertState::Resolved)]);
}

fn told(process: &Process) -> Vec<(String, AlertState)> {
    let alerts = process.outbox.alerts().into_iter();
    alerts.filter_map(|alert| Some((alert.incident?.to_string(), alert.state))).collect()
}

/// Somebody who may write to one bucket, and to it alone, makes a trail, a manifest and a key to sign it with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_is_brought_back_by_a_manifest_that_the_chunk_key_authenticates_and_by_no_other() {
    let bench = Bench::with("trail-restored", TABLE);
    bench.back_up().await;
    let backup = bench.back_up().await;
    bench.back_up().await;
    let process = bench.process();
    let databases = [backup.database.clone()];
    for site in BOTH {
        let until = "2100-01-01T00:00:00Z".parse().unwrap();
        let request = TrailRequest { backup_id: backup.backup_id.clone(), until, site };
        let mut brought = Vec::new();
        let take = |entry: &lifeboat_model::LedgerEntry, _: &str| {
            brought.push(entry.number);
            true
        };
        let report = restore_ledger(&process.again(), &databases, &request, take).await.unwrap();
        assert!(report.is_proved() && brought == [1, 2, 3], "{brought:?} {report:?}");
    }
    let stores = bench.stores.copy().await;
    let key = stores.offsite.keys("backups/").into_iter().find(|key| key.contains("manifest")).unwrap();
    assert!(stores.offsite.flip_bit(&key, 700, 0));
    let backup_id = key.split('/').nth(2).unwrap().parse().unwrap();
    let request = TrailRequest { backup_id, until: "2100-01-01T00:00:00Z".parse().unwrap(), site: Site::Offsite };
    let process = bench.process_on(stores.sites());
    restore_ledger(&process.again(), &databases, &request, |_, _| true).await.unwrap_err();
}
