use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::SignedDuration;
use lifeboat_bench::{Fault, FaultyStore, Moment, Operation, Refusal, Rule, Script};
use lifeboat_model::Site;
use lifeboat_vault::{LedgerFilter, ObjectStore, Repository, Sites, VaultError, Walk};

use lifeboat_bench::{Bench, TTL, act, now};

fn day(n: i64) -> jiff::Timestamp {
    now() + SignedDuration::from_hours(24 * n)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creators_at_once_end_with_one_repository() {
    for _ in 0..20 {
        let bench = Bench::new();
        let creators: Vec<_> = (0..4)
            .map(|_| {
                let bench = bench.clone();
                tokio::spawn(async move { bench.repository().await.id() })
            })
            .collect();
        let mut ids: Vec<String> = join_all(creators).await.into_iter().map(Result::unwrap).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(bench.primary.bytes("repository.json"), bench.offsite.bytes("repository.json"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_begin_an_epoch_at_once_share_it() {
    let bench = Bench::new();
    bench.repository().await;
    let later = day(91);
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let bench = bench.clone();
            tokio::spawn(async move {
                let writer = bench.repository().await.begin_writing(later).await.unwrap();
                (writer.epoch(), writer.chunk_key().chunk_id(b"x"))
            })
        })
        .collect();
    let mut seen: Vec<_> = join_all(writers).await.into_iter().map(Result::unwrap).collect();
    seen.dedup();
    assert_eq!(seen.len(), 1);
    assert_eq!(bench.repository().await.document().epochs.len(), 2);
}

#[tokio::test]
async fn of_two_takers_one_gets_the_lease_and_the_other_hears_who_has_it() {
    let repository = Bench::new().repository().await;
    let leases = repository.leases().unwrap();
    let taken = join_all(["a", "b", "c", "d"].map(|holder| leases.acquire("backup-clinic", holder, TTL, now()))).await;
    let holders: Vec<String> = taken.iter().flatten().map(|held| held.lease().holder.clone()).collect();
    assert_eq!(holders.len(), 1, "{taken:?}");
    for refused in taken.into_iter().filter_map(Result::err) {
        match refused {
            VaultError::LeaseHeld { name, holder, expires_at } => {
                assert_eq!((name.as_str(), &holder, expires_at), ("backup-clinic", &holders[0], now() + TTL));
            }
            VaultError::Contended { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_lease_ends_by_itself_by_being_given_back_and_never_before() {
    let repository = Bench::new().repository().await;
    let leases = repository.leases().unwrap();
    let mut a = leases.acquire("x", "a", TTL, now()).await.unwrap();
    let almost = now() + SignedDuration::from_secs(15 * 60 - 1);
    assert!(matches!(leases.acquire("x", "b", TTL, almost).await, Err(VaultError::LeaseHeld { .. })));
    leases.renew(&mut a, TTL, almost).await.unwrap();
    assert!(matches!(leases.acquire("x", "b", TTL, now() + TTL).await, Err(VaultError::LeaseHeld { .. })));
    let b = leases.acquire("x", "b", TTL, almost + TTL).await.unwrap();
    assert!(matches!(leases.renew(&mut a, TTL, almost + TTL).await, Err(VaultError::LeaseLost { .. })));
    assert!(matches!(leases.release(a, almost + TTL).await, Err(VaultError::LeaseLost { .. })));
    leases.release(b, almost + TTL).await.unwrap();
    assert!(!leases.look("x").await.unwrap().unwrap().is_held(almost + TTL));
    let _c = leases.acquire("x", "c", TTL, almost + TTL).await.unwrap();
    assert!(matches!(leases.acquire("../x", "a", TTL, now()).await, Err(VaultError::BadKey { .. })));
}

#[tokio::test]
async fn a_lease_whose_answer_was_lost_is_still_ours() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let leases = repository.leases().unwrap();
    bench.script.add(Rule::always(Fault::FailAfterWrite).on(Operation::Put).under("leases/").only_nth(1));
    leases.acquire("x", "a", TTL, now()).await.unwrap_err();
    let again = leases.acquire("x", "a", TTL, now()).await.unwrap();
    leases.release(again, now()).await.unwrap();
}

async fn assert_one_chain(repository: &Repository, bench: &Bench, entries: u64) {
    let report = repository.ledger(&bench.macs).verify_chain().await.unwrap();
    assert_eq!(report.entries, entries);
    let newest_first = repository.ledger(&bench.macs).entries(&LedgerFilter::default(), usize::MAX).await.unwrap();
    let numbers: Vec<u64> = newest_first.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (1..=entries).rev().collect::<Vec<_>>());
    assert_eq!(bench.primary.keys("ledger/"), bench.offsite.keys("ledger/"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_entries_by_eight_writers_at_once_are_one_unbroken_chain() {
    let bench = Bench::new();
    let repository = Arc::new(bench.repository().await);
    let writers: Vec<_> = (0..8_i64)
        .map(|writer| {
            let ledger = repository.ledger(&bench.macs);
            tokio::spawn(async move {
                for round in 0..125 {
                    // Clocks that disagree about the day.
                    let at = day((writer + round) % 2);
                    ledger.append(act(&format!("writer-{writer}-{round}")), at).await.unwrap();
                }
            })
        })
        .collect();
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    assert_one_chain(&repository, &bench, 1000).await;
    let entries = repository.ledger(&bench.macs).entries(&LedgerFilter::default(), usize::MAX).await.unwrap();
    let actors: BTreeSet<String> = entries.into_iter().map(|entry| entry.actor).collect();
    assert_eq!(actors.len(), 1000, "each act is on record once");
}

#[tokio::test]
async fn a_writer_killed_at_any_request_leaves_a_chain_that_the_next_one_continues() {
    let mut kills = 0;
    for moment in [Moment::Before, Moment::After] {
        for n in 1.. {
            let bench = Bench::new();
            let repository = bench.repository().await;
            repository.ledger(&bench.macs).append(act("first"), day(1)).await.unwrap();
            bench.script.clear();
            bench.script.die_at(n, moment);
            let killed = repository.ledger(&bench.macs).append(act("killed"), day(0)).await;
            if killed.is_ok() {
                break;
            }
            kills += 1;
            bench.script.clear();
            // The next process: what the killed one set aside is its own.
            let repository = bench.repository().await;
            repository.ledger(&bench.macs).append(act("next"), day(0)).await.unwrap();
            let report = repository.ledger(&bench.macs).verify_chain().await.unwrap();
            assert!((2..=3).contains(&report.entries), "{n} {moment:?} {report:?}");
            // What had not reached the other site gets there.
            let report = repository.ledger(&bench.macs).walk(&healing(), |_, _| true).await.unwrap();
            assert!(report.is_proved() && report.is_sound() && report.behind == 0, "{n} {moment:?} {report:?}");
            assert_one_chain(&repository, &bench, report.entries).await;
        }
    }
    assert!(kills >= 8, "{kills} kills");
}

pub fn healing() -> Walk {
    Walk { heal: true, ..Walk::whole() }
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_on_record_once() {
    for fault in [Fault::FailAfterWrite, Fault::Reject(Refusal::TimedOut)] {
        let bench = Bench::new();
        let repository = bench.repository().await;
        bench.script.add(Rule::always(fault).on(Operation::Put).under("ledger/").only_nth(1));
        let entry = repository.ledger(&bench.macs).append(act("once"), now()).await.unwrap();
        assert_eq!(entry.number, 1);
        assert_one_chain(&repository, &bench, 1).await;
    }
}

#[tokio::test]
async fn the_ledger_goes_on_when_the_other_site_is_away_and_a_walk_brings_over_what_it_missed() {
    let bench = Bench::new();
    bench.repository().await;
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(Refusal::Unavailable)).on(Operation::Put));
    let offsite: Arc<dyn ObjectStore> = Arc::new(FaultyStore::new(bench.offsite.clone(), script.clone()));
    let sites = Sites::new(Some(bench.store(Site::Primary)), Some(offsite));
    let repository = Repository::open(sites, bench.keys.clone()).await.unwrap();
    for actor in ["one", "two", "three"] {
        repository.ledger(&bench.macs).append(act(actor), now()).await.unwrap();
    }
    let report = repository.ledger(&bench.macs).verify_chain().await.unwrap();
    assert_eq!((report.entries, report.behind, report.findings.len()), (3, 3, 0));
    assert!(bench.offsite.keys("ledger/").is_empty());
    script.clear();
    // The next process brings over all of them, in their order, with its own entry or without.
    let report = bench.repository().await.ledger(&bench.macs).walk(&healing(), |_, _| true).await.unwrap();
    assert_eq!((report.entries, report.behind, report.findings.len()), (3, 0, 0));
    assert_one_chain(&repository, &bench, 3).await;
    bench.offsite.keys("ledger/").iter().for_each(|key| assert!(bench.offsite.remove(key)));
    bench.repository().await.ledger(&bench.macs).append(act("four"), now()).await.unwrap();
    assert_one_chain(&repository, &bench, 4).await;
}
