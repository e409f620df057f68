//! Runs that are killed: at each request to a store, before or after it takes effect, and in the middle of a drill.

use std::time::Duration;

use lifeboat_engine::EngineError;
use lifeboat_model::{Origin, Site, Stream, VerificationScope};
use lifeboat_vault::{Fault, Gate, Moment, Operation, Rule, Script, VaultError};

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
    process.lifeboat.sessions = 1;
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
        dead.lifeboat.sessions = 1;
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
        if stores.lease().is_some_and(|lease| lease.holder == dead.lifeboat.run_id && !lease.released) {
            killed_while_leased += 1;
            let error = bench.process_on(stores.sites()).back_up(&bench.request()).await.unwrap_err();
            assert!(matches!(error, EngineError::Vault(VaultError::LeaseHeld { .. })), "{at}: {error:?}");
            stores.let_the_lease_expire();
        }
        let again = Script::new();
        let next = bench.process_on(stores.behind(&again, &again));
        let manifest = next.back_up(&bench.request()).await.unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(next.said(), ["Backup Completed"], "{at}");
        for site in BOTH {
            stores.assert_whole(&manifest.backup_id, site).await;
            stores.assert_whole(&old, site).await;
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
        found_again += found;
        assert_eq!(stores.primary.keys("chunks/"), stores.offsite.keys("chunks/"), "{at}");
        assert_eq!(manifest.totals.rows, whole.totals.rows, "{at}");
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
async fn a_verification_killed_at_any_request_while_it_heals_leaves_no_harm_and_the_next_one_heals_the_rest() {
    let bench = Bench::with("killed-verify", "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 100) i");
    let manifest = bench.back_up().await;
    let sound = bench.stores.copy().await;
    let chunks = bench.stores.primary.keys("chunks/");
    let backups = bench.stores.primary.keys("backups/");
    // Something of each kind, on both sites, never the same object on both.
    assert!(bench.stores.primary.flip_bit(&chunks[0], 40, 3) && bench.stores.offsite.remove(&chunks[1]));
    assert!(bench.stores.primary.truncate(&backups[0], 5) && bench.stores.offsite.remove(&backups[1]));
    assert!(bench.stores.offsite.flip_bit("repository.json", 30, 1));

    let script = Script::new();
    let undisturbed = bench.stores.copy().await;
    let process = bench.process_on(undisturbed.behind(&script, &script));
    let report = process.verify(VerificationScope::All).await.unwrap();
    assert_eq!(report.findings.iter().filter(|finding| finding.healed).count(), 5, "{:?}", report.findings);
    assert!(report.is_sound());
    let log = script.log();
    for &(n, moment) in &deaths(&log) {
        let stores = bench.stores.copy().await;
        let script = Script::new();
        script.die_at(n, moment);
        let _ = bench.process_on(stores.behind(&script, &script)).verify(VerificationScope::All).await;
        assert!(script.is_dead(), "request {n}");
        let next = bench.process_on(stores.sites()).verify(VerificationScope::All).await.unwrap();
        assert!(next.is_sound(), "request {n}, {moment:?}: {:?}", next.findings);
        for site in BOTH {
            for key in sound.backup_objects(site) {
                assert_eq!(stores.of(site).bytes(&key), sound.of(site).bytes(&key), "request {n}: {key} on {site}");
            }
            stores.assert_whole(&manifest.backup_id, site).await;
        }
    }
    println!("{} requests of a verification", log.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_killed_in_the_middle_leaves_a_scratch_database_that_the_next_drill_drops() {
    let bench = Bench::with("killed-drill", CLINIC);
    bench.back_up().await;
    let script = Script::new();
    let process = bench.process_on(bench.stores.behind(&script, &script));
    assert!(process.drill(&bench.drill_request(Site::Offsite)).await.unwrap().equal);
    let requests = script.requests();
    let mut left = 0;
    for n in (1..=requests).step_by((requests / 6).max(1) as usize) {
        let (gate, script) = (Gate::new(), Script::new());
        script.add(Rule::always(Fault::Hold(gate.clone())).only_nth(n));
        let process = bench.process_on(bench.stores.behind(&script, &script));
        let request = bench.drill_request(Site::Offsite);
        let drill = tokio::spawn(async move { process.drill(&request).await });
        gate.arrival().await;
        // The process is gone between one instruction and the next; what it had connected is closed by the system.
        drill.abort();
        assert!(drill.await.unwrap_err().is_cancelled());
        left += bench.scratch_databases().len();
        wait_until_nobody_is_connected(&bench).await;

        let report = bench.drill(Site::Offsite).await;
        assert!(report.equal, "request {n}: {:?}", report.findings);
        assert_eq!(bench.scratch_databases(), Vec::<String>::new(), "request {n}");
    }
    assert!(left >= 3, "of {requests} requests, only {left} of the tried came after the database was made");
    // Nothing of the user's was taken for a leftover.
    bench.server.psql("postgres", "CREATE DATABASE lifeboat_drill_of_my_own").unwrap();
    assert!(bench.drill(Site::Offsite).await.equal);
    assert_eq!(bench.scratch_databases(), ["lifeboat_drill_of_my_own"]);
}

async fn wait_until_nobody_is_connected(bench: &Bench) {
    const SQL: &str =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'lifeboat%' OR datname LIKE 'lifeboat%'";
    for _ in 0..500 {
        if bench.server.psql("postgres", SQL).unwrap() == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("sessions of a killed drill are still connected: {SQL}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_s_unlisted_chunks_are_named_by_a_verification_and_are_no_damage() {
    let bench = Bench::with("unlisted", CLINIC);
    bench.back_up().await;
    bench.sql(CHANGE);
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(lifeboat_vault::Refusal::Unavailable)).on(Operation::Put).under("backups/"));
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
