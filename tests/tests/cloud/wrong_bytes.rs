//! An S3 that gives other bytes than it was given: no backup is taken for whole that is not, and no verification or drill
//! calls sound or equal what it has not read as it was written.

use std::collections::BTreeMap;

use lifeboat_local::{DATABASE, DeployedFunction, Invocation, Stage, TappedEvent};
use lifeboat_model::{BackupId, DatabaseName, Site};
use serde_json::{Value, json};

use crate::bench::small_stage;
use crate::proxy::{Act, Fault, Proxy};
use crate::stored::{BOTH, Stored};
use crate::trouble::PATIENCE;

/// A stage with a complete backup, and a proxy before the functions.
struct Field {
    stage: Stage,
    proxy: Proxy,
    stored: Stored,
    name: DatabaseName,
}

impl Field {
    async fn set() -> Self {
        let mut stage = small_stage(&[("Sessions", "1")]).await;
        let proxy = Proxy::start(stage.cloud(), &stage.deployment().backup.name.clone()).await;
        stage.change(&[("EndpointUrl", proxy.url())]).await.unwrap();
        let taken = order(&stage, &stage.deployment().backup, &json!({"database": DATABASE})).await;
        assert!(!taken.failed, "{taken:?}");
        let stored = Stored::on(&stage).await;
        let field = Self { stage, proxy, stored, name: DATABASE.parse().unwrap() };
        assert_eq!(field.next_event().await.kind, "Backup Completed");
        assert_eq!(field.next_event().await.kind, "Verification Completed");
        field
    }

    async fn next_event(&self) -> TappedEvent {
        self.stage.tap().next(PATIENCE).await.unwrap().unwrap()
    }

    /// One run of `function` with this fault, or none.
    async fn run(&self, function: &DeployedFunction, fault: Option<Fault>) -> Invocation {
        self.proxy.watch(&function.name);
        self.proxy.begin(fault);
        let input = match function.name == self.stage.deployment().verify.name {
            true => json!({"database": DATABASE, "scope": "all"}),
            false => json!({"database": DATABASE}),
        };
        order(&self.stage, function, &input).await
    }

    async fn assert_whole_everywhere(&self, at: &str) {
        let mut listed = Vec::new();
        for site in BOTH {
            let backups = self.stored.backups(&self.name, site).await;
            for backup in &backups {
                let (manifest, _) = self.stored.assert_whole(&self.name, backup, site).await;
                assert_eq!(manifest.totals.rows, 25_000, "{at}");
            }
            listed.push(backups);
        }
        assert_eq!(listed[0], listed[1], "{at}");
    }
}

async fn order(stage: &Stage, function: &DeployedFunction, input: &Value) -> Invocation {
    stage.cloud().invoke(function, input).await.unwrap()
}

/// The first of each kind of object that a run has read of each bucket: kind and bucket → the part that names its object.
fn objects_read(requests: &[String]) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for request in requests.iter().filter(|one| one.starts_with("GET /") && one.contains("GetObject")) {
        let path = request.trim_start_matches("GET ").split('?').next().unwrap();
        let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap();
        let kind = match key.rsplit('/').next().unwrap() {
            name if name.starts_with("chunks-") => "chunk list",
            name if name == "manifest.json" => name,
            _ => key.split('/').next().unwrap(),
        };
        found.entry((kind.to_owned(), bucket.to_owned())).or_insert_with(|| path.to_owned());
    }
    found
}

/// Whether a restore needs it: ledger, leases and states are about runs.
fn is_of_a_backup(kind: &str) -> bool {
    ["repository.json", "manifest.json", "chunk list", "chunks"].contains(&kind)
}

fn is_read_of(request: &str, path: &str) -> bool {
    request.starts_with(&format!("GET {path}")) && request.contains("GetObject")
}

/// Once, and every time.
fn both_ways(path: &str) -> [(Fault, &'static str); 2] {
    let parts = ["GET ", path, "GetObject"];
    [(Fault::first(&parts, Act::FlipByte), "once"), (Fault::each(&parts, Act::FlipByte), "always")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_given_wrong_bytes_of_anything_it_reads_is_whole_or_fails_and_says_so() {
    let field = Box::pin(Field::set()).await;
    let backup = field.stage.deployment().backup.clone();
    assert!(!field.run(&backup, None).await.failed);
    let read = objects_read(&field.proxy.requests());
    assert!(read.len() > 3, "{read:?}");
    for _ in ["Backup Completed", "Verification Completed"] {
        field.next_event().await;
    }
    let mut turn = 0;
    for ((kind, _), path) in &read {
        // The next runs read other manifests and lists: only the site and the kind of their objects stay the same.
        let part = match kind.as_str() {
            "manifest.json" | "chunk list" => path.rsplit_once('/').unwrap().0.rsplit_once('/').unwrap().0,
            "ledger" => path.rsplit_once('/').unwrap().0,
            _ => path,
        };
        for (fault, how) in both_ways(part) {
            turn += 1;
            let rows = format!("UPDATE patients SET name = 'patient in turn {turn}' WHERE id % 7 = 0");
            field.stage.source().unwrap().psql(DATABASE, &rows).unwrap();
            let before = field.stored.backups(&field.name, Site::Primary).await;
            let answer = field.run(&backup, Some(fault)).await;
            let at = format!("{path} {how}");
            assert!(field.proxy.met() > 0, "{at} was not read");
            field.proxy.begin(None);
            let event = field.next_event().await;
            eprintln!("{at}: {} {}", event.kind, event.detail["error"]);
            if answer.failed {
                assert_eq!(event.kind, "Backup Failed", "{at}");
                let (error, hint) = (event.detail["error"].as_str().unwrap(), event.detail["hint"].as_str().unwrap());
                assert_eq!(answer.payload["errorMessage"], format!("{error}. {hint}."), "{at}");
                assert_eq!(field.stored.backups(&field.name, Site::Primary).await, before, "{at}");
            } else {
                assert_eq!(event.kind, "Backup Completed", "{at}");
                assert_eq!(field.next_event().await.kind, "Verification Completed", "{at}");
                let taken: BackupId = answer.payload["backup_id"].as_str().unwrap().parse().unwrap();
                assert_eq!(field.stored.backups(&field.name, Site::Primary).await.last(), Some(&taken), "{at}");
            }
            field.assert_whole_everywhere(&at).await;
        }
    }
    let drill = field.run(&field.stage.deployment().test_restore, None).await;
    assert!(!drill.failed && drill.payload[0]["equal"] == true, "{drill:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_is_given_wrong_bytes_never_calls_them_sound() {
    let field = Box::pin(Field::set()).await;
    let verify = field.stage.deployment().verify.clone();
    assert!(!field.run(&verify, None).await.failed);
    let read = objects_read(&field.proxy.requests());
    assert_eq!(field.next_event().await.detail["healed"], 0);
    assert_eq!(read.keys().filter(|(kind, _)| is_of_a_backup(kind)).count(), 8, "{read:?}");
    for ((kind, bucket), path) in read.iter().filter(|((kind, _), _)| is_of_a_backup(kind)) {
        for (fault, how) in both_ways(path) {
            let answer = field.run(&verify, Some(fault)).await;
            let at = format!("{kind} of {bucket}, wrong {how}");
            assert!(field.proxy.met() > 0, "{at}");
            let reads = field.proxy.requests().iter().filter(|one| is_read_of(one, path)).count();
            field.proxy.begin(None);
            let event = field.next_event().await;
            eprintln!("{at}: {} {} {}", event.kind, event.detail["healed"], event.detail["error"]);
            let is_called_sound = event.kind == "Verification Completed" && event.detail["healed"] == 0;
            // What opening the repository has read is read again to be verified.
            assert!(!is_called_sound || (how == "once" && reads > 1), "{at}: {answer:?}");
            assert!(how == "once" || event.kind == "Verification Failed", "{at}: {}", event.detail);
            field.assert_whole_everywhere(&at).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_is_given_wrong_bytes_fails_and_never_calls_them_equal() {
    let field = Box::pin(Field::set()).await;
    let drill = field.stage.deployment().test_restore.clone();
    assert!(!field.run(&drill, None).await.failed);
    let read = objects_read(&field.proxy.requests());
    assert_eq!(field.next_event().await.kind, "Restore Test Completed");
    let primary = &field.stage.deployment().primary_bucket;
    let restored = read.iter().filter(|((kind, bucket), _)| bucket == primary && is_of_a_backup(kind));
    assert_eq!(restored.clone().count(), 4, "{read:?}");
    for ((kind, _), path) in restored {
        for (fault, how) in both_ways(path) {
            let answer = field.run(&drill, Some(fault)).await;
            let at = format!("{kind}, wrong {how}");
            assert!(field.proxy.met() > 0, "{at}");
            field.proxy.begin(None);
            let event = field.next_event().await;
            eprintln!("{at}: {} {}", event.kind, event.detail["error"]);
            assert!(answer.failed && event.kind == "Restore Test Failed", "{at}: {answer:?}");
            let (error, hint) = (event.detail["error"].as_str().unwrap(), event.detail["hint"].as_str().unwrap());
            assert_eq!(answer.payload["errorMessage"], format!("{error}. {hint}."), "{at}");
        }
    }
    let left = "SELECT datname FROM pg_database WHERE datname LIKE 'lifeboat%'";
    assert_eq!(field.stage.scratch().psql("postgres", left).unwrap(), "");
}
