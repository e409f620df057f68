//! What each verb asks of the stores while the number of old backups grows.
//!
//! `LIFEBOAT_GROWTH=10000 cargo test --test engine growth -- --nocapture` measures so many backups on stores that take 30 ms a request, and
//! prints requests and seconds.

use std::fmt;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use lifeboat_bench::{Fault, Rule, Script};
use lifeboat_engine::{HealthRequest, ListRequest, backups, look_at_health};
use lifeboat_model::{BackupId, Manifest, Site, VerificationScope};
use lifeboat_vault::chunk_list_key;

use crate::bench::{Bench, database};
use crate::stores::{BOTH, Stores};

const TABLE: &str = "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 500) i";

/// One request to S3 from another region.
const LATENCY: Duration = Duration::from_millis(30);

/// Days of a rotation.
const DAYS: u32 = 30;

/// Requests and seconds of one verb.
#[derive(Clone, Copy)]
struct Cost {
    requests: u64,
    seconds: f64,
}

impl fmt::Debug for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests, {:.1} s", self.requests, self.seconds)
    }
}

#[derive(Debug, Clone, Copy)]
struct Costs {
    verification: Cost,
    backup: Cost,
    backups: Cost,
    health: Cost,
}

/// Adds a backup for each of the last `count` hours, as `real` but with another id.
async fn age(stores: &Stores, real: &Manifest, count: u64) {
    let repository = stores.repository().await;
    let key = repository.chunk_key(real.epoch).await.unwrap();
    let list = |id: &BackupId| chunk_list_key(&database(), id, 0);
    for hour in 1..=count {
        let started_at = real.started_at - SignedDuration::from_hours(i64::try_from(hour).unwrap());
        let backup_id = BackupId::new(started_at, u32::try_from(hour).unwrap().wrapping_mul(0x9e37_79b9));
        for site in BOTH {
            let store = stores.of(site);
            store.replace(&list(&backup_id), store.bytes(&list(&real.backup_id)).unwrap());
        }
        repository.publish(&Manifest { backup_id, started_at, ..real.clone() }, &key).await.unwrap();
    }
}

/// What the verbs cost with so many backups, on stores that take this long for a request.
async fn costs(count: u64, latency: Duration) -> Costs {
    let bench = Bench::with("growth", TABLE);
    let real = bench.back_up().await;
    age(&bench.stores, &real, count).await;

    let script = Script::new();
    script.add(Rule::always(Fault::Slow(latency)));
    let process = bench.process_on(bench.stores.behind(&script, &script));
    let measure = |before: u64, began: Instant| Cost {
        requests: script.requests() - before,
        seconds: began.elapsed().as_secs_f64(),
    };

    let (before, began) = (script.requests(), Instant::now());
    let report = process.verify(VerificationScope::Rotation { day: 0, days: DAYS }).await.unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    let verification = measure(before, began);
    // About a thirtieth of all backups, as the ids fall.
    let share = count / u64::from(DAYS);
    assert!(report.backups <= share * 3 + 10, "{} of {count}", report.backups);

    let (before, began) = (script.requests(), Instant::now());
    process.back_up(&bench.request()).await.unwrap();
    let backup = measure(before, began);

    let (before, began) = (script.requests(), Instant::now());
    let page = backups(&process.again(), &ListRequest::newest(database(), Site::Primary)).await.unwrap();
    assert_eq!((page.backups.len(), page.more), (100, true));
    let backups = measure(before, began);

    let (before, began) = (script.requests(), Instant::now());
    let request = HealthRequest { databases: vec![database()], drills: false };
    look_at_health(&process.again(), &request).await;
    let health = measure(before, began);
    Costs { verification, backup, backups, health }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_do_not_grow_with_the_number_of_old_backups_but_for_the_share_of_a_day() {
    if let Some(count) = std::env::var("LIFEBOAT_GROWTH").ok().and_then(|count| count.parse().ok()) {
        println!("{count} backups: {:#?}", costs(count, LATENCY).await);
        return;
    }
    let (few, many) = (costs(300, Duration::ZERO).await, costs(1500, Duration::ZERO).await);
    let more = |cost: fn(&Costs) -> Cost| cost(&many).requests.saturating_sub(cost(&few).requests);
    // A backup compares the newest 1,000 with the off-site: that is a page of 333 backups more, or a few.
    assert!(more(|costs| costs.backup) <= 20, "{few:?}, {many:?}");
    assert!(more(|costs| costs.backups) <= 2, "{few:?}, {many:?}");
    assert!(more(|costs| costs.health) <= 6, "{few:?}, {many:?}");
    // 40 backups more are in the share of a day. Each has a manifest and a list on two sites.
    assert!(more(|costs| costs.verification) <= 80 * 12, "{few:?}, {many:?}");
    println!("{few:?}\n{many:?}");
}
