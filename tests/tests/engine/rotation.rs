//! The rotation of verifications: what was missed is made up for, and a backup that is too large for one day is read in shares.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use lifeboat_bench::{Fault, Refusal, Rule, Script};
use lifeboat_engine::{EngineError, HealthRequest, look_at_health, verify_due};
use lifeboat_model::{
    Alert, AlertKind, AlertState, BackupId, ChunkEntry, ChunkId, Event, Manifest, Probe, READ_IN_ONE_DAY, StoredChunk,
    VerificationReport, VerificationScope,
};
use lifeboat_notify::{Outbox, SignalError};
use lifeboat_vault::{Sites, chunk_key, sha256};
use serde_json::{Value, json};

use crate::bench::{Bench, Process, database};
use crate::stores::BOTH;

const TABLE: &str = "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i";

const STATE: &str = "state/rotation-clinic.json";

/// A process with a rotation of so many days, in which a verification may be a day old.
fn process(bench: &Bench, sites: Sites, days: u32) -> Process {
    let mut process = bench.process_on(sites);
    let mut policy = (*process.run.policy).clone();
    policy.rotation_days = days;
    policy.freshness.verification = SignedDuration::from_hours(24);
    process.run.policy = policy.into();
    process
}

/// A bus that refuses every event.
struct Mute;

#[async_trait]
impl Outbox for Mute {
    async fn publish(&self, event: &Event) -> Result<(), SignalError> {
        Err(SignalError::Refused { signal: event.detail_type().to_owned(), code: "NoSuchBus".to_owned() })
    }

    async fn alert(&self, _: &Alert) -> Result<(), SignalError> {
        Ok(())
    }

    async fn unheard(&self, _: Vec<Alert>) -> Result<Vec<Alert>, SignalError> {
        Ok(Vec::new())
    }
}

async fn overdue(process: &Process) -> Probe {
    let request = HealthRequest { databases: vec![database()], drills: false };
    let report = look_at_health(&process.again(), &request).await;
    report.probes.into_iter().find(|probe| probe.name.kind == AlertKind::VerificationOverdue).unwrap()
}

fn days(reports: &[VerificationReport]) -> Vec<String> {
    reports.iter().map(|report| report.scope.to_string()).collect()
}

/// Each day has another part, so a day must not begin in the middle of the test.
async fn away_from_midnight() {
    const LONG_ENOUGH: i64 = 120;
    let left = 86_400 - Timestamp::now().as_second().rem_euclid(86_400);
    if left < LONG_ENOUGH {
        tokio::time::sleep(std::time::Duration::from_secs(left.unsigned_abs() + 1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_were_missed_are_made_up_for_and_the_alarm_is_over_only_then() {
    away_from_midnight().await;
    let bench = Bench::with("missed", TABLE);
    bench.back_up().await;
    let well = process(&bench, bench.stores.sites(), 3);
    let first = verify_due(&well.again(), &database(), false).await.unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(verify_due(&well.again(), &database(), false).await.unwrap(), [], "a tick that comes twice");
    assert_eq!(days(&verify_due(&well.again(), &database(), true).await.unwrap()), days(&first), "a person asks");
    assert_eq!(overdue(&well).await.wrong, None);

    // The other two parts were missed: the rotation began ten days ago, and only the part of today was read.
    let mut state: Value = serde_json::from_slice(&bench.stores.primary.bytes(STATE).unwrap()).unwrap();
    state["since"] = json!(Timestamp::now() - SignedDuration::from_hours(240));
    bench.stores.primary.replace(STATE, state.to_string());
    let wrong = overdue(&well).await.wrong.unwrap();
    let day = (Timestamp::now() - SignedDuration::from_hours(240)).strftime("%Y-%m-%d").to_string();
    assert!(wrong.what.contains(&format!("was due on {day}")), "{}", wrong.what);

    // A run that fails makes up for nothing, and a part that is read says nothing of the other one.
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(Refusal::Unavailable)).under("backups/"));
    let troubled = process(&bench, bench.stores.behind(&script, &script), 3);
    verify_due(&troubled.again(), &database(), false).await.unwrap_err();
    assert!(overdue(&well).await.wrong.is_some());
    let made_up = verify_due(&well.again(), &database(), false).await.unwrap();
    assert_eq!(made_up.len(), 2, "{:?}", days(&made_up));
    assert!(made_up.iter().all(VerificationReport::is_sound));
    assert_eq!(overdue(&well).await.wrong, None);

    // What was found must be announced before the part counts as read.
    bench.stores.primary.replace(STATE, "{}");
    let mut mute = process(&bench, bench.stores.sites(), 3);
    mute.run.ports.outbox = Arc::new(Mute);
    let unannounced = verify_due(&mute.again(), &database(), false).await.unwrap_err();
    assert!(matches!(unannounced, EngineError::Unannounced(_)), "{unannounced:?}");
    assert_eq!(days(&verify_due(&well.again(), &database(), false).await.unwrap()), days(&first));

    // A state that is lost or unreadable begins anew.
    bench.stores.primary.replace(STATE, "{");
    assert_eq!(days(&verify_due(&well.again(), &database(), false).await.unwrap()), days(&first));
}

/// Publishes a backup that added so many chunks, after a small one.
async fn large_backup(bench: &Bench, chunks: u64) -> BackupId {
    let real = bench.back_up().await;
    let repository = bench.stores.repository().await;
    let entries = bench.stores.chunk_entries(&real, BOTH[0]).await;
    let template = entries.into_iter().find(|entry| entry.chunk.is_some()).unwrap();
    let started_at = real.started_at + SignedDuration::from_secs(1);
    let backup_id = BackupId::new(started_at, 7);
    let mut list = repository.chunk_list(&database(), &backup_id).unwrap();
    for number in 0..chunks {
        let body = format!("chunk {number}").into_bytes();
        let id = ChunkId(sha256(&body).0);
        for site in BOTH {
            bench.stores.of(site).replace(&chunk_key(real.epoch, &id), body.clone());
        }
        let stored_bytes = body.len() as u64;
        let chunk = StoredChunk { id, sha256: sha256(&body), stored_bytes, ..template.chunk.clone().unwrap() };
        list.push(&ChunkEntry { chunk: Some(chunk), ..template.clone() }).await.unwrap();
    }
    let chunk_list = list.finish().await.unwrap();
    let large = Manifest { backup_id: backup_id.clone(), started_at, chunk_list, ..real.clone() };
    repository.publish(&large, &repository.chunk_key(real.epoch).await.unwrap()).await.unwrap();
    backup_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_too_large_for_one_day_is_read_in_shares_and_all_of_it_in_a_rotation() {
    const DAYS: u32 = 5;
    let chunks = READ_IN_ONE_DAY + 900;
    let bench = Bench::with("large", TABLE);
    let backup_id = large_backup(&bench, chunks).await;
    // All lists of the oldest and the newest backup are followed, whether they are large or not.
    assert!(bench.back_up().await.backup_id > backup_id);

    // The verification after a backup reads all that it added, and remembers that it is large.
    let whole = process(&bench, bench.stores.sites(), DAYS);
    let report = whole.verify(VerificationScope::Backup { backup_id }).await.unwrap();
    assert!(report.is_sound() && report.objects > chunks * 2, "{report:?}");

    let script = Script::new();
    let daily = process(&bench, bench.stores.behind(&script, &script), DAYS);
    for day in 0..DAYS {
        let report = daily.verify(VerificationScope::Rotation { day, days: DAYS }).await.unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        let share = chunks * 2 / u64::from(DAYS);
        assert!((share * 8 / 10..share * 12 / 10).contains(&report.objects), "day {day}: {} objects", report.objects);
    }
    let mut read: Vec<String> =
        script.log().into_iter().map(|(_, key)| key).filter(|key| key.starts_with("chunks/")).collect();
    read.sort_unstable();
    read.dedup();
    let stored = bench.stores.primary.keys("chunks/");
    assert_eq!(read.len(), stored.len(), "every chunk was read on one of the days");
}

/// No part of the new rotation is a part of the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_found_in_a_part_of_an_earlier_rotation_is_resolved_by_a_whole_round_of_the_new_one() {
    let bench = Bench::with("other-days", TABLE);
    bench.back_up().await;
    let chunk = bench.stores.primary.keys("chunks/").into_iter().next().unwrap();
    let sound = BOTH.map(|site| bench.stores.of(site).bytes(&chunk).unwrap());
    BOTH.iter().for_each(|site| bench.stores.of(*site).replace(&chunk, "nothing"));
    let round = async |days: u32| {
        let mut told = Vec::new();
        for day in 0..days {
            let process = process(&bench, bench.stores.sites(), days);
            process.verify(VerificationScope::Rotation { day, days }).await.unwrap();
            let alerts = process.outbox.alerts().into_iter().filter(|alert| alert.incident.is_some());
            told.push(alerts.map(|alert| alert.state).collect::<Vec<_>>());
        }
        told
    };
    assert_eq!(round(1).await, [[AlertState::Opened]]);
    BOTH.iter().zip(sound).for_each(|(site, bytes)| bench.stores.of(*site).replace(&chunk, bytes));
    assert_eq!(round(3).await, [vec![], vec![], vec![AlertState::Resolved]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_which_an_object_did_not_answer_stays_due() {
    away_from_midnight().await;
    let bench = Bench::with("unanswered-part", TABLE);
    bench.back_up().await;
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(Refusal::Unavailable)).under("chunks/"));
    let silent = process(&bench, bench.stores.behind(&Script::new(), &script), 1);
    let [report] = verify_due(&silent.again(), &database(), false).await.unwrap().try_into().unwrap();
    assert!(!report.is_complete() && !report.is_sound(), "{report:?}");
    let well = process(&bench, bench.stores.sites(), 1);
    let read = verify_due(&well.again(), &database(), false).await.unwrap();
    assert!(read.len() == 1 && read[0].is_sound(), "{read:?}");
    assert_eq!(verify_due(&well.again(), &database(), false).await.unwrap(), []);
}
