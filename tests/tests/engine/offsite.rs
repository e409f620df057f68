//! An off-site that is away: the backup is kept on the primary and marked, and a later run brings it over.

use jiff::{SignedDuration, Timestamp};
use lifeboat_bench::{Fault, Moment, Operation, Refusal, Rule, Script};
use lifeboat_engine::{Asked, BackupRequest, EngineError, ListRequest};
use lifeboat_model::{
    BackupId, Event, FindingKind, ListedBackup, Outcome, Presence, Severity, Site, VerificationScope,
};
use lifeboat_vault::VaultError;

use crate::bench::{Bench, Process, database};
use crate::sample::CLINIC;
use crate::stores::{BOTH, Stores};

/// A process for which the off-site answers by this rule.
fn with_offsite(bench: &Bench, stores: &Stores, rule: Rule) -> (Process, Script) {
    let script = Script::new();
    script.add(rule);
    (bench.process_on(stores.behind(&Script::new(), &script)), script)
}

fn away() -> Rule {
    Rule::always(Fault::Reject(Refusal::Unavailable))
}

/// A backup while the off-site is away by this rule: kept on the primary alone. Returns its id.
async fn falls_behind(bench: &Bench, rule: Rule) -> (BackupId, Script) {
    bench.stores.forget_incidents();
    let before = BOTH.map(|site| bench.stores.of(site).keys("backups/").len());
    let (process, script) = with_offsite(bench, &bench.stores, rule);
    let error = process.back_up(&bench.request()).await.unwrap_err();
    let EngineError::OffsiteBehind { backup_id, .. } = &error else { panic!("{error:?}") };
    assert_eq!((process.said(), process.alerted()), (vec!["Backup Failed"], vec![Severity::Critical]));
    let Event::BackupFailed { error: sentence, hint, .. } = &process.outbox.events()[0] else { panic!() };
    let behind =
        format!("backup `{backup_id}` is complete on the primary, but not yet on the off-site: the offsite site");
    assert!(sentence.starts_with(&behind), "{sentence}");
    assert!(hint.contains("the next backup of this database copies it"), "{hint}");
    assert!(bench.stores.lease().unwrap().released);
    assert_eq!(bench.stores.ledger().await.last().unwrap().outcome, Outcome::Failed);

    bench.stores.assert_whole(backup_id, Site::Primary).await;
    let [primary, offsite] = BOTH.map(|site| bench.stores.of(site).keys("backups/"));
    assert_eq!(primary.len(), before[0] + 2, "a manifest and its chunk list");
    assert!(offsite.len() <= before[1] + 1 && !offsite.contains(&lifeboat_vault::manifest_key(&database(), backup_id)));
    assert_eq!(presence(bench, backup_id).await, Presence::Behind);
    (backup_id.clone(), script)
}

/// What the listing says of the off-site.
async fn presence(bench: &Bench, backup_id: &BackupId) -> Presence {
    let lifeboat = bench.process().again();
    let shown = lifeboat_engine::show(&lifeboat, &[database()], backup_id, Site::Primary).await.unwrap();
    assert_eq!(shown.sites[&Site::Primary], Presence::Complete);
    let request = ListRequest::newest(database(), Site::Primary);
    let page = lifeboat_engine::backups(&lifeboat, &request).await.unwrap();
    let presence = shown.sites[&Site::Offsite];
    assert!(page.backups.contains(&ListedBackup::Usable(Box::new(shown))));
    presence
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_off_site_away_backups_are_kept_and_marked_and_the_next_run_brings_them_over() {
    let bench = Bench::with("away", CLINIC);
    bench.back_up().await;
    let reject = |refusal| Rule::always(Fault::Reject(refusal));
    let mut behind = Vec::new();
    let cases = [
        // Away from the first request on: asked once, and then left alone.
        (reject(Refusal::Unavailable), Some(1)),
        (reject(Refusal::Denied), Some(1)),
        (reject(Refusal::TimedOut), Some(1)),
        // Readable and not writable: the first chunk that is to be copied shows it, to each of two sessions at most.
        (reject(Refusal::Denied).on(Operation::Copy), None),
        (reject(Refusal::Unavailable).on(Operation::Head).under("backups/"), None),
        // Away when all chunks are there.
        (reject(Refusal::Unavailable).on(Operation::Copy).under("backups/"), None),
        (reject(Refusal::Denied).on(Operation::Copy).under("backups/").only_nth(2), None),
    ];
    for (turn, (rule, requests)) in cases.into_iter().enumerate() {
        bench.sql(&format!(
            "INSERT INTO clinic.remark VALUES ('turn {turn}'); UPDATE clinic.account SET balance = {turn} WHERE id = 7"
        ));
        let (backup_id, script) = falls_behind(&bench, rule).await;
        if let Some(requests) = requests {
            assert_eq!(script.requests(), requests, "{:?}", script.log());
        }
        let copies = script.log().iter().filter(|(operation, _)| *operation == Operation::Copy).count();
        println!("turn {turn}: {} requests to the off-site, {copies} copies", script.requests());
        behind.push(backup_id);
    }

    let process = bench.process();
    let next = process.back_up(&bench.request()).await.unwrap();
    assert_eq!(process.said(), ["Backup Completed"]);
    assert_eq!(bench.stores.backup_objects(Site::Primary), bench.stores.backup_objects(Site::Offsite));
    for backup in behind.iter().chain([&next.backup_id]) {
        bench.stores.assert_whole(backup, Site::Offsite).await;
        assert_eq!(presence(&bench, backup).await, Presence::Complete);
    }
    let ledger = bench.stores.ledger().await;
    let brought: Vec<_> = ledger.iter().filter(|entry| entry.action == "bring-over").collect();
    // Newest first: by their ids, which tell two of one second apart at random.
    behind.sort_by_key(ToString::to_string);
    let newest_first: Vec<String> = behind.iter().rev().map(ToString::to_string).collect();
    assert_eq!(brought.iter().map(|entry| entry.subject.clone()).collect::<Vec<_>>(), newest_first);
    assert_eq!(bench.stores.primary.keys("ledger/"), bench.stores.offsite.keys("ledger/"));
    assert_eq!(bench.verify_all().await.findings, []);
    assert!(bench.drill(Site::Offsite).await.equal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_answered_by_a_backup_that_is_behind_is_answered_when_that_one_is_on_the_off_site() {
    let bench = Bench::with("behind-twice", "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i");
    bench.back_up().await;
    // Backup ids and requests are compared by the second.
    let requested_at = Timestamp::now() + SignedDuration::from_secs(1);
    let request = BackupRequest { asked: Asked::Since(requested_at), ..bench.request() };
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let error = with_offsite(&bench, &bench.stores, away()).0.back_up(&request).await.unwrap_err();
        let EngineError::OffsiteBehind { backup_id, .. } = error else { panic!("{error:?}") };
        ids.push(backup_id);
    }
    assert_eq!(ids[0], ids[1], "the second delivery takes no second backup");
    let process = bench.process();
    let answered = process.back_up(&request).await.unwrap();
    assert_eq!((&answered.backup_id, process.said()), (&ids[0], vec!["Backup Completed"]));
    bench.stores.assert_whole(&answered.backup_id, Site::Offsite).await;
    assert_eq!(bench.stores.backups(Site::Primary).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_killed_while_it_brings_backups_over_leaves_no_false_one_and_the_next_goes_on() {
    let bench = Bench::with("killed-over", "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 300) i");
    bench.back_up().await;
    for turn in 0..2 {
        bench.sql(&format!("UPDATE t SET md5 = 'turn {turn}' WHERE i = 5"));
        falls_behind(&bench, away()).await;
    }
    bench.sql("DELETE FROM t WHERE i = 5");
    let script = Script::new();
    let undisturbed = bench.stores.copy().await;
    let mut process = bench.process_on(undisturbed.behind(&script, &script));
    process.run.ports.sessions = 1;
    process.back_up(&bench.request()).await.unwrap();
    let log = script.log();
    let is_publication = |(operation, key): &(Operation, String)| {
        *operation == Operation::Copy && key.starts_with("backups/") && key.ends_with("manifest.json")
    };
    let published = 1 + log.iter().position(is_publication).unwrap() as u64;
    assert_eq!(log.iter().filter(|request| is_publication(request)).count(), 3, "its own and the two others");
    let mut partly = 0;
    // Each third one: of the others, the killed campaign tries those that a run makes also when nothing is behind.
    for n in (published + 1..=log.len() as u64).step_by(3) {
        let at = format!("request {n} of {}, {:?}", log.len(), log[n as usize - 1]);
        let stores = bench.stores.copy().await;
        let script = Script::new();
        script.die_at(n, if n % 2 == 0 { Moment::Before } else { Moment::After });
        let mut dead = bench.process_on(stores.behind(&script, &script));
        dead.run.ports.sessions = 1;
        let _ = dead.back_up(&bench.request()).await;
        assert!(script.is_dead(), "{at}");
        let listed = stores.backups(Site::Offsite).await;
        for backup in &listed {
            stores.assert_whole(backup, Site::Offsite).await;
        }
        partly += usize::from(listed.len() == 3);
        stores.let_the_lease_expire();
        bench
            .process_on(stores.sites())
            .back_up(&bench.request())
            .await
            .unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(stores.backups(Site::Offsite).await, stores.backups(Site::Primary).await, "{at}");
        for backup in stores.backups(Site::Offsite).await {
            stores.assert_whole(&backup, Site::Offsite).await;
        }
    }
    assert!(partly > 0, "no run was killed between the two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verification_brings_a_backup_that_is_behind_over_with_its_manifest_last_or_not_at_all() {
    let bench = Bench::with("verify-behind", "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 300) i");
    bench.back_up().await;
    bench.sql("UPDATE t SET md5 = 'changed' WHERE i = 5");
    let (behind, _) = falls_behind(&bench, away()).await;

    // Killed at each of its requests, it never leaves a manifest without what that names.
    let rotation = VerificationScope::Rotation { day: 0, days: 7 };
    let script = Script::new();
    let undisturbed = bench.stores.copy().await;
    let report = bench.process_on(undisturbed.behind(&script, &script)).verify(rotation.clone()).await.unwrap();
    assert!(report.is_sound() && report.findings.len() >= 3, "{:?}", report.findings);
    assert!(report.findings.iter().all(|found| found.kind == FindingKind::Missing && found.healed), "{report:?}");
    undisturbed.assert_whole(&behind, Site::Offsite).await;
    for n in (1..=script.requests()).step_by(2) {
        let stores = bench.stores.copy().await;
        let script = Script::new();
        script.die_at(n, if n % 4 == 1 { Moment::Before } else { Moment::After });
        let _ = bench.process_on(stores.behind(&script, &script)).verify(rotation.clone()).await;
        for backup in stores.backups(Site::Offsite).await {
            stores.assert_whole(&backup, Site::Offsite).await;
        }
    }

    // What the primary has lost meanwhile cannot be brought over, and then the manifest is not either.
    let chunks = bench.stores.offsite.keys("chunks/");
    let new = bench.stores.primary.keys("chunks/").into_iter().find(|key| !chunks.contains(key)).unwrap();
    assert!(bench.stores.primary.remove(&new));
    let report = bench.process().verify(VerificationScope::All).await.unwrap();
    assert!(!report.is_sound());
    let told: Vec<String> = report.damage().map(|finding| finding.subject.to_string()).collect();
    assert!(told.iter().any(|key| key.ends_with(&format!("{behind}/manifest.json"))) && told.contains(&new));
    assert!(!bench.stores.backups(Site::Offsite).await.contains(&behind));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_off_site_that_answers_wrongly_or_may_hold_the_repository_fails_the_backup() {
    // With nothing on the primary, the off-site may hold the repository that was lost.
    let bench = Bench::with("wrong-offsite", "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i");
    let (process, _) = with_offsite(&bench, &bench.stores, away());
    let error = process.back_up(&bench.request()).await.unwrap_err();
    assert!(matches!(error, EngineError::Vault(VaultError::Store { site: Site::Offsite, .. })), "{error:?}");
    assert_eq!(bench.stores.primary.keys(""), ["incidents/backup-failed/clinic.json"]);

    bench.back_up().await;
    bench.sql("INSERT INTO t VALUES (101)");
    // Bytes that are not the ones that were sent are no outage.
    for rule in [
        Rule::always(Fault::WrongBytes).on(Operation::Copy).under("chunks/"),
        Rule::always(Fault::WrongBytes).on(Operation::Get).under("repository.json"),
    ] {
        let (process, _) = with_offsite(&bench, &bench.stores, rule);
        let error = process.back_up(&bench.request()).await.unwrap_err();
        assert!(matches!(error, EngineError::Vault(_)) && error.to_string().contains("offsite"), "{error:?}");
        assert_eq!(bench.stores.backups(Site::Primary).await.len(), 1);
    }
}
