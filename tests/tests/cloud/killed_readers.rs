//! The processes of `verify` and `test-restore` killed at requests to S3 and KMS all over their runs.

use std::time::{Duration, Instant};

use lifeboat_local::{DATABASE, Invocation, PostgresServer, Stage};
use lifeboat_model::{BackupId, DatabaseName, Site};
use serde_json::json;

use crate::bench::small_stage;
use crate::proxy::{Act, Fault, Moment, Proxy};
use crate::stored::{BOTH, Stored};

/// Kills of each function, spread over its requests.
const KILLS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(120);

/// The requests to be killed at: the first, the last and others all over the run, and the first ones to KMS.
fn numbers(undisturbed: &[String]) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..KILLS).map(|n| 1 + n * (undisturbed.len() - 1) / (KILLS - 1)).collect();
    let kms = (1..).zip(undisturbed).filter(|(_, one)| one.starts_with("KMS")).map(|(number, _)| number);
    numbers.extend(kms.take(KILLS / 2));
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Kills the watched function at one of its requests and says at which; before and after the request take turns.
async fn kill_one(proxy: &Proxy, turn: usize, number: usize, invocation: impl Future<Output = Invocation>) -> String {
    let moment = if turn.is_multiple_of(2) { Moment::Before } else { Moment::After };
    proxy.begin(Some(Fault::nth(number, Act::Die(moment))));
    let answer = invocation.await;
    let requests = proxy.requests();
    let at = format!("request {number}, `{}`, killed {moment:?}", requests.get(number - 1).map_or("none", |one| one));
    assert!(proxy.killed().is_some() && answer.failed, "{at}: {answer:?}");
    proxy.begin(None);
    eprintln!("{at}");
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_and_a_drill_killed_at_any_of_many_requests_do_no_harm_and_the_next_ones_end_well() {
    let mut stage = small_stage(&[("Sessions", "1")]).await;
    let proxy = Proxy::start(stage.cloud(), &stage.deployment().verify.name.clone()).await;
    stage.change(&[("EndpointUrl", proxy.url())]).await.unwrap();
    let backup = stage.cloud().invoke(&stage.deployment().backup, &json!({"database": DATABASE})).await.unwrap();
    assert!(!backup.failed, "{backup:?}");
    let backup_id: BackupId = backup.payload["backup_id"].as_str().unwrap().parse().unwrap();
    stage.tap().wait_for("Verification Completed", PATIENCE, |_| ()).await.unwrap();
    let stored = Stored::on(&stage).await;

    kill_verifications(&stage, &stored, &proxy, &backup_id).await;
    proxy.watch(&stage.deployment().test_restore.name);
    kill_drills(&stage, &proxy).await;
    let name: DatabaseName = DATABASE.parse().unwrap();
    for site in BOTH {
        stored.assert_whole(&name, &backup_id, site).await;
        assert_eq!(stored.backups(&name, site).await, std::slice::from_ref(&backup_id));
    }
}

/// A chunk is damaged on one site and lost on the other, never the same one, before each run.
async fn kill_verifications(stage: &Stage, stored: &Stored, proxy: &Proxy, backup_id: &BackupId) {
    let name: DatabaseName = DATABASE.parse().unwrap();
    let chunks: Vec<String> = stored.keys(Site::Primary, "chunks/").await.into_iter().collect();
    let harm = || async {
        stored.flip(Site::Primary, &chunks[0], 0.5).await;
        stored.delete(Site::Offsite, &chunks[1]).await;
    };
    let verify = || async {
        let order = json!({"database": DATABASE, "scope": "all"});
        stage.cloud().invoke(&stage.deployment().verify, &order).await.unwrap()
    };
    // A process asks for some things once, and those to be killed are no longer new: the second run counts.
    let mut undisturbed = Vec::new();
    for _ in 0..2 {
        harm().await;
        proxy.begin(None);
        let whole = verify().await;
        assert!(!whole.failed, "{whole:?}");
        undisturbed = proxy.requests();
    }
    assert!(undisturbed.len() > 30, "{undisturbed:#?}");
    for (turn, number) in numbers(&undisturbed).into_iter().enumerate() {
        harm().await;
        let at = kill_one(proxy, turn, number, Box::pin(verify())).await;
        let next = verify().await;
        let findings = next.payload.as_array().map(|reports| reports.iter().flat_map(|one| one["findings"].as_array()));
        let findings: Vec<_> = findings.into_iter().flatten().flatten().collect();
        assert!(!next.failed && findings.iter().all(|one| one["healed"] == true), "verify, {at}: {next:?}");
        for site in BOTH {
            stored.assert_whole(&name, backup_id, site).await;
        }
    }
    eprintln!("{} requests of an undisturbed verification", undisturbed.len());
}

async fn kill_drills(stage: &Stage, proxy: &Proxy) {
    let drill = || async {
        let order = json!({"database": DATABASE, "backup": "newest", "site": "offsite"});
        stage.cloud().invoke(&stage.deployment().test_restore, &order).await.unwrap()
    };
    let mut undisturbed = Vec::new();
    for _ in 0..2 {
        proxy.begin(None);
        let whole = drill().await;
        assert!(!whole.failed && whole.payload[0]["equal"] == true, "{whole:?}");
        undisturbed = proxy.requests();
    }
    assert!(undisturbed.iter().any(|one| one.starts_with("KMS")), "{undisturbed:#?}");
    let mut left = 0;
    for (turn, number) in numbers(&undisturbed).into_iter().enumerate() {
        let at = kill_one(proxy, turn, number, Box::pin(drill())).await;
        wait_until_nobody_is_connected(stage.scratch()).await;
        left += scratch_databases(stage);
        let next = drill().await;
        assert!(!next.failed && next.payload[0]["equal"] == true, "drill, {at}: {next:?}");
        assert_eq!(scratch_databases(stage), 0, "{at}");
    }
    assert!(left > 0, "no drill died while its database was there");
    eprintln!("{} requests of an undisturbed drill, {left} databases left by killed ones", undisturbed.len());
}

pub fn scratch_databases(stage: &Stage) -> usize {
    let count = "SELECT count(*) FROM pg_database WHERE starts_with(datname, 'lifeboat_drill')";
    stage.scratch().psql("postgres", count).unwrap().parse().unwrap()
}

/// The system closes what a killed process had connected; the server takes note when it comes to it.
pub async fn wait_until_nobody_is_connected(server: &PostgresServer) {
    const SQL: &str =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'lifeboat%' OR datname LIKE 'lifeboat%'";
    let begun = Instant::now();
    while server.psql("postgres", SQL).unwrap() != "0" {
        assert!(begun.elapsed() < PATIENCE, "sessions of a killed run are still connected");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
