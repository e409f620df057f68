//! The backup function's process killed at requests to S3 and KMS all over its run, before or after they were carried out.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use lifeboat_local::{DATABASE, Invocation, Stage};
use lifeboat_model::{DatabaseName, Lease, Origin, Site};
use lifeboat_vault::chunk_key;
use serde_json::{Value, json};

use crate::bench::small_stage;
use crate::proxy::{Act, Fault, Moment, Proxy};
use crate::stored::{BOTH, Stored};

/// Kills, each on a database of its own: one run's lease does not keep the others waiting, and its turn on the server is ended.
const KILLS: usize = 20;
/// A verification that was caused by an event ends long before.
const PATIENCE: Duration = Duration::from_secs(120);
/// A killed run keeps the next one out for a minute; more would leave a window for a schedule to miss.
const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// A run that was killed.
struct Killed {
    database: String,
    /// What was asked, and whether it was done.
    at: String,
    /// Chunks that it left on the primary.
    left: BTreeSet<String>,
    /// Its lease, if it died with one.
    lease: Option<Lease>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_killed_at_any_of_twenty_requests_leaves_no_false_backup_and_the_next_run_completes_and_reuses() {
    // One session: the requests of a run come in the same order each time.
    let mut stage = small_stage(&[("Sessions", "1")]).await;
    let proxy = Proxy::start(stage.cloud(), &stage.deployment().backup.name.clone()).await;
    let databases: Vec<String> = (1..=KILLS).map(|n| format!("killed-{n:02}")).collect();
    let named: Vec<String> = ["first", "counted"].map(str::to_owned).into_iter().chain(databases.clone()).collect();
    put_databases(&mut stage, &named, proxy.url()).await;

    // The first run makes the repository; the second is like those that will be killed.
    for name in ["first", "counted"] {
        proxy.begin(None);
        let answer = back_up(&stage, name).await;
        assert!(!answer.failed, "{answer:?}");
        stage.tap().wait_for("Verification Completed", PATIENCE, |_| ()).await.unwrap();
    }
    let undisturbed = proxy.requests();
    assert!(undisturbed.len() > 40, "{undisturbed:#?}");
    let stored = Stored::on(&stage).await;

    // Each request to KMS, and of those to S3 as many as are left, all over the run.
    let mut numbers: Vec<usize> =
        (1..).zip(&undisturbed).filter(|(_, one)| one.starts_with("KMS")).map(|(n, _)| n).collect();
    assert!((2..KILLS / 2).contains(&numbers.len()), "{undisturbed:#?}");
    let rest = KILLS - numbers.len();
    numbers.extend((0..rest).map(|n| 1 + n * (undisturbed.len() - 1) / (rest - 1)));

    let mut killed = Vec::new();
    for (n, (database, number)) in databases.iter().zip(numbers).enumerate() {
        let moment = if n % 2 == 0 { Moment::Before } else { Moment::After };
        killed.push(kill(&stage, &stored, &proxy, database, number, moment).await);
    }
    assert!(killed.iter().filter(|run| !run.left.is_empty()).count() > KILLS / 3, "too few had stored anything");
    assert!(killed.iter().filter(|run| run.lease.is_some()).count() > KILLS / 2, "too few held a lease");

    let mut reused = 0;
    for run in &killed {
        reused += run_again(&stage, &stored, &proxy, run).await;
    }
    assert!(reused > KILLS, "{reused} chunks of killed runs were reused");
    for (n, run) in killed.iter().enumerate().step_by(5) {
        let site = BOTH[n % 2];
        let order = json!({"database": run.database, "backup": "newest", "site": site});
        let drill = stage.cloud().invoke(&stage.deployment().test_restore, &order).await.unwrap();
        assert!(!drill.failed && drill.payload[0]["equal"] == true, "{}: {drill:?}", run.at);
    }
    assert_everything_is_sound(&stage, &named).await;
    eprintln!("{} requests of an undisturbed run; {reused} chunks of killed runs reused", undisturbed.len());
}

/// Databases of these names on the source's server, each with rows of its own, and functions that go through `endpoint`.
async fn put_databases(stage: &mut Stage, names: &[String], endpoint: &str) {
    let mut secrets = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let server = stage.source().unwrap();
        server.psql("postgres", &format!("CREATE DATABASE \"{name}\" TEMPLATE {DATABASE}")).unwrap();
        let own = format!("UPDATE patients SET name = name || {n}; UPDATE visits SET fee = fee + {n}");
        server.psql(name, &own).unwrap();
        secrets.push(stage.cloud().put_secret(name, &server.url(name)).await.unwrap());
    }
    let parameters = [
        ("DatabaseNames", names.join(",")),
        ("DatabaseSecretArns", secrets.join(",")),
        ("EndpointUrl", endpoint.to_owned()),
    ];
    let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    stage.change(&parameters).await.unwrap();
}

async fn back_up(stage: &Stage, database: &str) -> Invocation {
    let order = json!({"database": database, "requested_by": "a test"});
    stage.cloud().invoke(&stage.deployment().backup, &order).await.unwrap()
}

/// Kills a run at its request `number`, and looks at what it left.
async fn kill(stage: &Stage, stored: &Stored, proxy: &Proxy, database: &str, number: usize, moment: Moment) -> Killed {
    let name: DatabaseName = database.parse().unwrap();
    let before = stored.keys(Site::Primary, "chunks/").await;
    proxy.begin(Some(Fault::nth(number, Act::Die(moment))));
    let answer = back_up(stage, database).await;
    let requests = proxy.requests();
    let at = format!("request {number}, `{}`, killed {moment:?}", requests.get(number - 1).map_or("none", |one| one));
    assert!(proxy.killed().is_some(), "{database} made only {} requests: {answer:?}", requests.len());
    assert!(answer.failed, "{at}: {answer:?}");
    assert_eq!(proxy.requests_after_death(), 0, "{at}: a dead process went on");
    eprintln!("{database}: {at}");

    for site in BOTH {
        for backup in stored.backups(&name, site).await {
            // A listed backup is a true one, even if its run could not say so any more.
            stored.assert_whole(&name, &backup, site).await;
        }
    }
    let after = stored.keys(Site::Primary, "chunks/").await;
    let left = after.difference(&before).cloned().collect();
    let lease = stored.repository.leases().unwrap().look(&format!("backup-{database}")).await.unwrap();
    let lease = lease.filter(|lease| lease.is_held(Timestamp::now()));
    if let Some(lease) = &lease {
        let left = lease.expires_at.duration_since(Timestamp::now());
        assert!(left.unsigned_abs() <= LONGEST_LEASE, "{at}: the next run must wait for {left}");
        assert_refused(stage, database, lease).await;
    }
    stored.end_turns().await;
    Killed { database: database.to_owned(), at, left, lease }
}

/// While the dead run's lease lasts, the next one is refused and says by whom and until when.
async fn assert_refused(stage: &Stage, database: &str, lease: &Lease) {
    let refused = back_up(stage, database).await;
    // On a slow machine the lease may have ended meanwhile.
    if Timestamp::now() < lease.expires_at {
        let message = refused.payload["errorMessage"].as_str().unwrap_or_default();
        assert!(refused.failed && message.contains(&lease.holder), "{refused:?}");
        assert!(message.contains(&lease.expires_at.strftime("%H:%M").to_string()), "{message}");
    }
}

/// The next run of the database, once the lease has ended by itself. Returns how many chunks of the dead run it reused.
async fn run_again(stage: &Stage, stored: &Stored, proxy: &Proxy, run: &Killed) -> usize {
    let Killed { database, at, left, lease } = run;
    if let Some(lease) = lease {
        let rest = lease.expires_at.duration_since(Timestamp::now());
        tokio::time::sleep(Duration::try_from(rest).unwrap_or_default()).await;
    }
    proxy.begin(None);
    let answer = back_up(stage, database).await;
    assert!(!answer.failed, "{at}: {answer:?}");
    // Copying to the off-site what the dead run had no time to copy is not storing it again.
    let sent: Vec<String> = proxy.requests().into_iter().filter(|one| one.ends_with("x-id=PutObject")).collect();
    assert!(!sent.is_empty(), "{at}");
    let again: Vec<_> = left.iter().filter(|key| sent.iter().any(|request| request.contains(*key))).collect();
    assert!(again.is_empty(), "{at}: chunks of the dead run were stored again: {again:?}");

    let name: DatabaseName = database.parse().unwrap();
    let backup = answer.payload["backup_id"].as_str().unwrap().parse().unwrap();
    let mut reused = BTreeSet::new();
    for site in BOTH {
        let (manifest, entries) = stored.assert_whole(&name, &backup, site).await;
        assert_eq!(manifest.totals.rows, 25_000, "{at}");
        let chunks = entries.iter().filter_map(|entry| entry.chunk.as_ref());
        reused.extend(
            chunks.filter(|chunk| chunk.origin != Origin::Stored).map(|chunk| chunk_key(chunk.epoch, &chunk.id)),
        );
        assert!(manifest.totals.reused_chunks >= left.len() as u64, "{at}");
        assert_eq!(stored.backups(&name, site).await.last(), Some(&backup), "{at}");
    }
    assert!(left.is_subset(&reused), "{at}: of {left:?} only {reused:?} were reused");
    left.len()
}

/// The function `verify` reads every object of every database: nothing is damaged.
async fn assert_everything_is_sound(stage: &Stage, databases: &[String]) {
    for database in databases {
        let order = json!({"database": database, "scope": "all"});
        let verified = stage.cloud().invoke(&stage.deployment().verify, &order).await.unwrap();
        assert!(!verified.failed, "{verified:?}");
        let [report] = verified.payload.as_array().unwrap().as_slice() else { panic!("{verified:?}") };
        let damage = |finding: &&Value| finding["kind"] != "unlisted" && finding["healed"] != true;
        let damage: Vec<&Value> = report["findings"].as_array().unwrap().iter().filter(damage).collect();
        assert!(damage.is_empty(), "{database}: {damage:?}");
    }
    // An invocation verifies one database.
    let order = json!({"scope": "all"});
    let refused = stage.cloud().invoke(&stage.deployment().verify, &order).await.unwrap();
    assert!(
        refused.failed && refused.payload["errorMessage"].as_str().unwrap().contains("none is named"),
        "{refused:?}"
    );
}
