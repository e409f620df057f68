//! Which backup is the newest: ids increase whatever the clock says, a backup dated in the future counts as absent, and lists name what they
//! cannot read.

use jiff::{SignedDuration, Timestamp};
use lifeboat_engine::{
    Asked, BackupChoice, BackupRequest, DrillRequest, HealthRequest, ListRequest, acknowledge, backups, check_health,
    look_at_health,
};
use lifeboat_model::{
    AlertKind, AlertState, BackupId, ChunkList, FindingKind, IncidentName, ListedBackup, Manifest, Presence, Probe,
    Site, UnusableBackup, VerificationScope,
};
use lifeboat_vault::manifest_key;

use crate::bench::{Bench, Process, database};
use crate::stores::BOTH;

const TABLE: &str = "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i";

async fn probe(process: &Process, kind: AlertKind) -> Probe {
    let request = HealthRequest { databases: vec![database()], drills: false };
    let report = look_at_health(&process.again(), &request).await;
    report.probes.into_iter().find(|probe| probe.name.kind == kind).unwrap()
}

/// Somebody who holds the chunk key and may write to both sites publishes a backup that begins in an hour.
async fn forge(bench: &Bench, real: &Manifest, ahead: SignedDuration) -> BackupId {
    let repository = bench.stores.repository().await;
    let started_at = Timestamp::now() + ahead;
    let backup_id = BackupId::new(started_at, 0);
    let (finished_at, chunk_list) = (started_at, ChunkList::default());
    let forged = Manifest { backup_id: backup_id.clone(), started_at, finished_at, chunk_list, ..real.clone() };
    repository.publish(&forged, &repository.chunk_key(real.epoch).await.unwrap()).await.unwrap();
    backup_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_that_follow_each_other_at_once_have_increasing_ids_and_the_last_is_the_newest() {
    let bench = Bench::with("at_once", TABLE);
    let mut taken = Vec::new();
    for _ in 0..6 {
        taken.push(bench.back_up().await.backup_id);
    }
    assert!(taken.is_sorted_by(|one, next| one < next), "{taken:?}");
    for site in BOTH {
        assert_eq!(bench.stores.backups(site).await, taken, "{site}");
    }
    assert_eq!(bench.drill(Site::Primary).await.backup_id, *taken.last().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_dated_in_the_future_stops_no_backup_and_no_alarm_and_is_a_finding() {
    let bench = Bench::with("misdated", TABLE);
    let real = bench.back_up().await;
    assert_eq!(probe(&bench.process(), AlertKind::BackupMisdated).await.wrong, None);
    let forged = forge(&bench, &real, SignedDuration::from_hours(24 * 365)).await;

    // A schedule's request is not taken for answered, and the new backup reuses the real one.
    let tick = Timestamp::now() + SignedDuration::from_secs(2);
    let request = BackupRequest { asked: Asked::Since(tick), ..bench.request() };
    let next = bench.process().back_up(&request).await.unwrap();
    assert!(next.backup_id > real.backup_id && next.backup_id < forged);
    assert_eq!(next.totals.new_chunks, 0);
    assert_eq!(bench.drill(Site::Offsite).await.backup_id, next.backup_id);

    let wrong = probe(&bench.process(), AlertKind::BackupMisdated).await.wrong.unwrap();
    assert_eq!(wrong.what, format!("backup `{forged}` on primary is dated in the future, and counts as absent"));
    let report = bench.verify_all().await;
    let misdated: Vec<_> = report.findings.iter().filter(|finding| finding.kind == FindingKind::Misdated).collect();
    assert!(misdated.len() == 1 && report.is_sound(), "{:?}", report.findings);
    assert_eq!(misdated[0].subject.to_string(), manifest_key(&database(), &forged));

    // The alarm of overdue backups looks at the real ones.
    let mut process = bench.process();
    let mut policy = (*process.run.policy).clone();
    policy.freshness.backup = SignedDuration::from_secs(-1);
    process.run.policy = policy.into();
    assert!(probe(&process, AlertKind::BackupOverdue).await.wrong.is_some());

    // Another one is news, also after the first was acknowledged.
    let request = HealthRequest { databases: vec![database()], drills: false };
    let told = async || {
        let process = bench.process();
        check_health(&process.again(), &request, None).await.unwrap();
        process.outbox.alerts().into_iter().map(|alert| (alert.kind, alert.state)).collect::<Vec<_>>()
    };
    assert_eq!(told().await, [(AlertKind::BackupMisdated, AlertState::Opened)]);
    let name = IncidentName::new(AlertKind::BackupMisdated, &database());
    let known = acknowledge(&bench.process().again(), &name, &[]).await.unwrap();
    assert_eq!(known.objects.named.iter().next().unwrap(), &format!("{forged} on offsite"));
    assert_eq!(told().await, []);
    forge(&bench, &real, SignedDuration::from_hours(24 * 366)).await;
    assert_eq!(told().await, [(AlertKind::BackupMisdated, AlertState::Opened)]);

    // A difference of clocks is no forgery.
    let bench = Bench::with("clocks", TABLE);
    let real = bench.back_up().await;
    let ahead = forge(&bench, &real, SignedDuration::from_mins(10)).await;
    assert_eq!(probe(&bench.process(), AlertKind::BackupMisdated).await.wrong, None);
    assert!(bench.back_up().await.backup_id > ahead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_has_pages_and_names_what_it_cannot_read() {
    let bench = Bench::with("pages", TABLE);
    let mut taken = Vec::new();
    for _ in 0..5 {
        taken.push(bench.back_up().await.backup_id);
    }
    bench.stores.primary.flip_bit(&manifest_key(&database(), &taken[2]), 100, 0);
    bench.stores.primary.remove(&manifest_key(&database(), &taken[0]));
    let forged =
        forge(&bench, &bench.stores.manifest(&taken[1], Site::Primary).await, SignedDuration::from_hours(1)).await;

    let run = bench.process().again();
    let mut request = ListRequest { limit: 2, ..ListRequest::newest(database(), Site::Primary) };
    let mut pages = Vec::new();
    loop {
        let page = backups(&run, &request).await.unwrap();
        pages.push(page.backups.iter().map(|listed| listed.backup_id().clone()).collect::<Vec<_>>());
        let named: Vec<&UnusableBackup> = page.backups.iter().filter_map(unusable).collect();
        for UnusableBackup { backup_id, unusable, hint, sites, .. } in named {
            let expected = if *backup_id == forged { "dated in the future" } else { "manifest" };
            assert!(unusable.contains(expected) && !hint.is_empty(), "{unusable}");
            assert_eq!(sites[&Site::Offsite], Presence::Complete);
            assert!([&forged, &taken[2]].contains(&backup_id));
        }
        if !page.more {
            break;
        }
        request.before = pages.last().and_then(|page| page.first().cloned());
    }
    let expected = [vec![taken[4].clone(), forged], vec![taken[2].clone(), taken[3].clone()], vec![taken[1].clone()]];
    assert_eq!(pages, expected);

    let report = bench.process().verify(VerificationScope::All).await.unwrap();
    assert!(report.findings.iter().any(|finding| finding.healed), "{:?}", report.findings);
    request.before = None;
    request.limit = 100;
    let page = backups(&run, &request).await.unwrap();
    assert_eq!(page.backups.iter().filter_map(unusable).count(), 1, "the forged one");
    assert_eq!(page.backups.len(), 6);
}

/// The newest backup names the newest entry of the audit trail. A forged one must not take its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_dated_in_the_future_does_not_hide_that_the_trail_was_cut() {
    let bench = Bench::with("misdated-trail", TABLE);
    for _ in 0..2 {
        bench.back_up().await;
    }
    let real = bench.back_up().await;
    assert_eq!(real.ledger.unwrap().number, 2);
    for site in BOTH {
        for key in bench.stores.of(site).keys("ledger/").iter().skip(1) {
            assert!(bench.stores.of(site).remove(key));
        }
    }
    forge(&bench, &Manifest { ledger: None, ..real }, SignedDuration::from_hours(24)).await;
    let report = bench.verify_all().await;
    let broken: Vec<_> = report.findings.iter().filter(|finding| finding.kind == FindingKind::LedgerBroken).collect();
    let [finding] = broken.as_slice() else { panic!("{:?}", report.findings) };
    assert_eq!(finding.subject.to_string(), "ledger/000000000002.json");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_of_a_random_backup_takes_none_that_is_dated_in_the_future() {
    let bench = Bench::with("misdated-random", TABLE);
    let real = bench.back_up().await;
    for hours in 1..=9 {
        forge(&bench, &real, SignedDuration::from_hours(hours)).await;
    }
    // Each of these drills would take a forged one in nine of ten cases.
    for site in [Site::Primary, Site::Offsite, Site::Primary] {
        let request = DrillRequest { backup: BackupChoice::Random, ..bench.drill_request(site) };
        assert_eq!(bench.process().drill(&request).await.unwrap().backup_id, real.backup_id);
    }
}

fn unusable(listed: &ListedBackup) -> Option<&UnusableBackup> {
    match listed {
        ListedBackup::Usable(_) => None,
        ListedBackup::Unusable(backup) => Some(backup),
    }
}
