//! The role of `backup` is taken over and used on the audit trail: an object that is no entry, and entries of acts that never were.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_local::{AlertInbox, DATABASE, PRIMARY_REGION, ReceivedAlert, Stage};
use lifeboat_model::{Act, DatabaseName, Fact, Facts, LedgerAct, Mandate, Outcome, Site};
use lifeboat_vault::LedgerFilter;
use serde_json::{Value, json};

use crate::bench::small_stage;
use crate::intruder::Intruder;
use crate::stored::{BOTH, Stored};

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

const HISTORY: &str = "state/history.json";

/// A stage with one backup that was verified.
async fn backed_up() -> Stage {
    let stage = small_stage(&[]).await;
    back_up(&stage).await;
    verified(&stage).await;
    stage
}

/// Waits until the verification that follows a backup has ended, well or not: it appends to the trail, too.
async fn verified(stage: &Stage) {
    loop {
        let event = stage.tap().next(PATIENCE).await.unwrap().expect("no verification ended");
        if ["Verification Completed", "Verification Failed"].contains(&event.kind.as_str()) {
            return;
        }
    }
}

async fn back_up(stage: &Stage) {
    let taken = stage.cloud().invoke(&stage.deployment().backup, &json!({"database": DATABASE})).await.unwrap();
    assert!(!taken.failed, "{}", taken.payload);
}

async fn look(stage: &Stage) {
    let looked = stage.cloud().invoke(&stage.deployment().health, &json!({})).await.unwrap();
    assert!(!looked.failed, "{}", looked.payload);
}

/// Waits until an incident was announced in this state so many times, and returns the last announcement.
async fn told(inbox: &AlertInbox, incident: &str, state: &str, times: usize) -> Value {
    for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
        let alerts = inbox.alerts();
        let is_it = |alert: &&ReceivedAlert| {
            let attribute = |name: &str| alert.attributes.get(name).map(String::as_str);
            (attribute("incident"), attribute("state")) == (Some(incident), Some(state))
        };
        if let Some(alert) = alerts.iter().filter(is_it).nth(times - 1) {
            return alert.json();
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("{incident} was not {state} {times} times: {:?}", inbox.alerts());
}

/// Nothing can be appended after it, so the next act is not on record, and that is told. The break-glass role hides it: the trail goes on
/// where it was, and the object stays as evidence.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_at_the_end_of_the_trail_is_told_and_hidden_and_the_next_act_is_on_record() {
    let stage = backed_up().await;
    let (cloud, at) = (stage.cloud(), stage.deployment());
    let inbox = AlertInbox::open(&cloud.sns().await, &at.topic_arn, &["critical"]).await.unwrap();
    let stored = Stored::on(&stage).await;
    let intruder = Intruder::take_over(&stage, "backup").await;
    for (round, nonsense) in [(1, "nonsense"), (2, r#"{"format":9}"#)] {
        let entries = stored.keys(Site::Primary, "ledger/").await.len();
        let key = format!("ledger/{:012}.json", entries + 1);
        for site in BOTH {
            assert!(intruder.create(site, &key, nonsense.as_bytes().to_vec()).await, "{key} on {site}");
        }

        // The backup is there, and not on record. Neither is its verification.
        back_up(&stage).await;
        verified(&stage).await;
        assert_eq!(stored.keys(Site::Primary, "ledger/").await.len(), entries + 1, "nothing follows {key}");
        let alert = told(&inbox, "ledger-broken/repository", "opened", round).await;
        assert!(alert["what"].as_str().unwrap().contains(&key), "{alert}");
        assert!(
            alert["hint"].as_str().unwrap().contains("hide an object that has none behind a delete marker"),
            "{alert}"
        );

        for site in BOTH {
            assert!(!intruder.delete(site, &key).await, "{key} on {site}");
            stored.delete(site, &key).await;
        }
        back_up(&stage).await;
        told(&inbox, "ledger-broken/repository", "resolved", round).await;
        let ledger = stored.repository.ledger(&stored.macs);
        let report = ledger.verify_chain().await.unwrap();
        assert!(report.is_sound() && report.is_proved() && report.entries > entries as u64, "{report:?}");
        let newest =
            ledger.entries(&LedgerFilter { action: Some("backup".to_owned()), ..LedgerFilter::default() }, 1).await;
        assert!(newest.unwrap()[0].number > entries as u64, "the backup after it is on record");
        for site in BOTH {
            let versions = stored.versions(site, &key).await;
            assert!(versions.contains(&(nonsense.len() as i64)), "{versions:?} on {site}: the evidence stays");
        }
        verified(&stage).await;
    }
}

/// An act in the trail as its function would record it, as late as clocks may differ.
async fn forge(intruder: &Stored, act: Act, site: Site) {
    let database: DatabaseName = DATABASE.parse().unwrap();
    let detail = Facts::new().with(Fact::Database, &database).with(Fact::Site, site).with(Fact::Equal, true);
    let forged = LedgerAct {
        mandate: Mandate { actor: "event".to_owned(), reason: String::new() },
        action: act,
        subject: DATABASE.to_owned(),
        outcome: Outcome::Completed,
        detail: detail.into_detail(),
    };
    let soon = Timestamp::now() + SignedDuration::from_mins(14);
    intruder.repository.ledger(&intruder.macs).append(forged, soon).await.unwrap();
}

/// Every function vouches for what it appends, so the keys cannot tell that an act never was. Its own traces can.
#[tokio::test(flavor = "multi_thread")]
async fn drills_and_verifications_that_the_role_of_backup_puts_on_record_silence_nothing() {
    let stage = backed_up().await;
    let (cloud, at) = (stage.cloud(), stage.deployment());
    let inbox = AlertInbox::open(&cloud.sns().await, &at.topic_arn, &["warning", "critical"]).await.unwrap();
    look(&stage).await;
    let stored = Stored::on(&stage).await;

    let role = format!("lifeboat-{PRIMARY_REGION}-backup");
    let forger = Stored::as_role(&stage, &role).await;
    forge(&forger, Act::Verify, Site::Primary).await;
    let intruder = Intruder::take_over(&stage, "backup").await;
    for site in BOTH {
        forge(&forger, Act::TestRestore, site).await;
        let report = format!("drills/{DATABASE}/{}.json", Timestamp::now());
        assert!(!intruder.create(site, &report, b"{}".to_vec()).await, "{report} on {site}");
    }
    let ledger = stored.repository.ledger(&stored.macs);
    assert!(ledger.verify_chain().await.unwrap().is_proved(), "the trail itself says nothing against it");

    // Drills were expected long ago. The verification of the backup did happen.
    let mut history: Value = serde_json::from_slice(&stored.bytes(Site::Primary, HISTORY).await).unwrap();
    let known = &mut history["databases"][DATABASE];
    for since in ["/awaited/test-restore", "/sites_since/primary", "/sites_since/offsite"] {
        *known.pointer_mut(since).unwrap() = "2026-01-01T00:00:00Z".into();
    }
    stored.overwrite(Site::Primary, HISTORY, history.to_string().into_bytes()).await;
    assert_eq!(inbox.alerts(), []);
    look(&stage).await;
    let alert = told(&inbox, &format!("drill-overdue/{DATABASE}"), "opened", 1).await;
    assert!(
        alert["what"].as_str().unwrap().starts_with("no drill has proved a backup of clinic from primary"),
        "{alert}"
    );
}
