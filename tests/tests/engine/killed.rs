//! Backups that are killed at each request to a store: what they had sent is there and is reused, and their lease keeps the
//! next one out. The campaign kills every verb, at every service.

use lifeboat_bench::{Fault, Moment, Operation, Rule, Script};
use lifeboat_engine::EngineError;
use lifeboat_model::{BackupId, Manifest, Origin, Site, Stream};
use lifeboat_vault::VaultError;

use crate::bench::{Bench, database};
use crate::sample::CLINIC;
use crate::stores::{BOTH, Stores};

/// A change that gives the next run something new to store beside much that is old.
const CHANGE: &str = "
UPDATE clinic.account SET note = 'changed' WHERE id = 5;
INSERT INTO clinic.remark VALUES ('new');
CREATE TABLE clinic.added AS SELECT i, md5(i::text) FROM generate_series(1, 300) i;
SELECT nextval('clinic.invoice')";

/// Whether a request of this verb changes anything: being killed after another one is being killed before the next.
fn changes(operation: Operation) -> bool {
    matches!(operation, Operation::Put | Operation::Copy)
}

/// Every way to be killed, given the requests of a run that was not.
fn deaths(log: &[(Operation, String)]) -> Vec<(u64, Moment)> {
    let before = (1..).take(log.len()).map(|n| (n, Moment::Before));
    let after = (1..).zip(log).filter(|(_, (operation, _))| changes(*operation)).map(|(n, _)| (n, Moment::After));
    before.chain(after).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_killed_at_any_request_leaves_no_false_backup_and_the_next_run_completes_and_reuses() {
    let bench = Bench::with("killed", CLINIC);
    let old = bench.back_up().await.backup_id;
    bench.sql(CHANGE);

    let script = Script::new();
    let undisturbed = bench.stores.copy().await;
    let mut process = bench.process_on(undisturbed.behind(&script, &script));
    // One session: the requests come in the same order each time.
    process.run.ports.sessions = 1;
    let whole = process.back_up(&bench.request()).await.unwrap();
    let log = script.log();
    let publishes =
        |(operation, key): &(Operation, String)| *operation == Operation::Put && key.ends_with("manifest.json");
    let published = 1 + log.iter().position(publishes).unwrap();
    assert!(log.len() >= 50, "{}", log.len());
    let (mut killed_while_leased, mut found_again, mut listed_early) = (0, 0, 0);

    let deaths = deaths(&log);
    for &(n, moment) in &deaths {
        let at = format!("request {n} of {} ({:?}), {moment:?}", log.len(), log[n as usize - 1]);
        let stores = bench.stores.copy().await;
        let script = Script::new();
        script.die_at(n, moment);
        let mut dead = bench.process_on(stores.behind(&script, &script));
        dead.run.ports.sessions = 1;
        let result = dead.back_up(&bench.request()).await;
        assert!(script.is_dead(), "{at}");
        let stored_by_the_dead = new_chunks(&bench.stores, &stores);
        let asked = &log[..n as usize - usize::from(moment == Moment::Before)];
        let puts = asked.iter().filter(|(operation, key)| *operation == Operation::Put && key.starts_with("chunks/"));
        assert_eq!(stored_by_the_dead.len(), puts.count(), "{at}: what it had sent is there, and nothing else");

        // What is listed is whole, and the old backup is as it was.
        for site in BOTH {
            let listed = stores.backups(site).await;
            assert_eq!(listed[0], old, "{at}");
            for backup in &listed {
                stores.assert_whole(backup, site).await;
            }
            if listed.len() > 1 {
                listed_early += usize::from((n as usize) < published);
            }
            if result.is_ok() {
                assert_eq!(listed.len(), 2, "{at}: a success that is not listed on {site}");
            }
        }

        // A death before a request leaves what the one after the last write before it left: from there, it was tried.
        if moment == Moment::Before && n > 1 {
            continue;
        }
        // While the dead run's lease lasts, nobody else begins; after it, the next run completes.
        if stores.lease().is_some_and(|lease| lease.holder == dead.run.id && !lease.released) {
            killed_while_leased += 1;
            let error = bench.process_on(stores.sites()).back_up(&bench.request()).await.unwrap_err();
            assert!(matches!(error, EngineError::Vault(VaultError::LeaseHeld { .. })), "{at}: {error:?}");
            stores.let_the_lease_expire();
        }
        found_again += assert_next_completes(&bench, &stores, &old, &whole, &stored_by_the_dead, &at).await;
    }
    assert_eq!(listed_early, 0, "no manifest before its time");
    assert!(killed_while_leased > 10, "{killed_while_leased}");
    assert!(found_again > 20, "{found_again}");
    println!(
        "{} requests, {} deaths, {killed_while_leased} under the lease, {found_again} chunks found again",
        log.len(),
        deaths.len()
    );
}

/// The next run completes, and stores nothing again that the dead run had stored. Returns how many chunks it found.
async fn assert_next_completes(
    bench: &Bench,
    stores: &Stores,
    old: &BackupId,
    whole: &Manifest,
    stored_by_the_dead: &[String],
    at: &str,
) -> usize {
    let again = Script::new();
    let next = bench.process_on(stores.behind(&again, &again));
    let manifest = next.back_up(&bench.request()).await.unwrap_or_else(|error| panic!("{at}: {error}"));
    assert_eq!(next.said(), ["Backup Completed"], "{at}");
    for site in BOTH {
        stores.assert_whole(&manifest.backup_id, site).await;
        stores.assert_whole(old, site).await;
    }
    // Nothing that the dead run had stored is stored again, and the manifest says what was found.
    let sent: Vec<String> =
        again.log().into_iter().filter(|(operation, _)| *operation == Operation::Put).map(|(_, key)| key).collect();
    assert!(stored_by_the_dead.iter().all(|key| !sent.contains(key)), "{at}: a stored chunk was sent again");
    let entries = stores.chunk_entries(&manifest, Site::Primary).await;
    let found = entries.iter().flat_map(|entry| &entry.chunk).filter(|chunk| chunk.origin == Origin::Found).count();
    let published_all_the_same = stores.backups(Site::Primary).await.len() == 3;
    if published_all_the_same {
        assert_eq!(manifest.totals.new_chunks, 0, "{at}: the dead run's backup lists everything");
    } else {
        assert_eq!(found, stored_by_the_dead.len(), "{at}");
        assert_eq!(manifest.totals.new_chunks + found as u64, whole.totals.new_chunks, "{at}");
    }
    assert_eq!(stores.primary.keys("chunks/"), stores.offsite.keys("chunks/"), "{at}");
    assert_eq!(manifest.totals.rows, whole.totals.rows, "{at}");
    found
}

/// The chunks on the primary of `after` that `before` had not.
fn new_chunks(before: &Stores, after: &Stores) -> Vec<String> {
    let old = before.primary.keys("chunks/");
    after.primary.keys("chunks/").into_iter().filter(|key| !old.contains(key)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_backup_ever_killed_at_any_request_leaves_a_place_where_the_next_one_completes() {
    let bench = Bench::with("first", "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 100) i");
    let script = Script::new();
    let undisturbed = Stores::default();
    bench.process_on(undisturbed.behind(&script, &script)).back_up(&bench.request()).await.unwrap();
    let log = script.log();
    for &(n, moment) in &deaths(&log) {
        let at = format!("request {n} of {}, {moment:?}", log.len());
        let stores = Stores::default();
        let script = Script::new();
        script.die_at(n, moment);
        let _ = bench.process_on(stores.behind(&script, &script)).back_up(&bench.request()).await;
        assert!(script.is_dead(), "{at}");
        for site in BOTH {
            for backup in stores.backups(site).await {
                stores.assert_whole(&backup, site).await;
            }
        }
        if moment == Moment::Before && n > 1 {
            continue;
        }
        stores.let_the_lease_expire();
        let next = bench.process_on(stores.sites());
        let manifest = next.back_up(&bench.request()).await.unwrap_or_else(|error| panic!("{at}: {error}"));
        for site in BOTH {
            stores.assert_whole(&manifest.backup_id, site).await;
        }
        assert_eq!(stores.primary.bytes("repository.json"), stores.offsite.bytes("repository.json"), "{at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_the_user_s_is_never_taken_for_one_that_a_killed_drill_left() {
    let bench = Bench::with("killed-drill", CLINIC);
    bench.back_up().await;
    let create = format!("CREATE DATABASE lifeboat_drill_of_my_own OWNER {}", bench.driller());
    bench.scratch().psql("postgres", &create).unwrap();
    assert!(bench.drill(Site::Offsite).await.equal);
    assert_eq!(bench.scratch_databases(), ["lifeboat_drill_of_my_own"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_s_unlisted_chunks_are_named_by_a_verification_and_are_no_damage() {
    let bench = Bench::with("unlisted", CLINIC);
    bench.back_up().await;
    bench.sql(CHANGE);
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(lifeboat_bench::Refusal::Unavailable)).on(Operation::Put).under("backups/"));
    let process = bench.process_on(bench.stores.behind(&script, &script));
    process.back_up(&bench.request()).await.unwrap_err();
    let report = bench.verify_all().await;
    assert!(report.is_sound());
    assert!(!report.findings.is_empty());
    assert!(report.findings.iter().all(|finding| finding.kind == lifeboat_model::FindingKind::Unlisted));
    let next = bench.back_up().await;
    let entries = bench.stores.chunk_entries(&next, Site::Primary).await;
    let unlisted = report.findings.len() / 2;
    assert_eq!(
        entries.iter().flat_map(|entry| &entry.chunk).filter(|chunk| chunk.origin == Origin::Found).count(),
        unlisted,
        "all of them are used again"
    );
    assert!(entries.iter().any(|entry| matches!(entry.stream, Stream::Table(_))));
    assert!(bench.verify_all().await.findings.is_empty());
    assert_eq!(next.database, database());
}
