//! Stored objects damaged or deleted through S3: the function `verify` finds, names and heals each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifeboat_local::{AlertInbox, DATABASE, Stage};
use lifeboat_model::{BackupId, DatabaseName, Site, Stream};
use lifeboat_vault::{chunk_key, chunk_list_key, manifest_key};
use serde_json::{Value, json};

use crate::bench::small_stage;
use crate::stored::{BOTH, Stored};

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_or_a_deletion_of_any_object_on_either_site_is_found_named_and_healed() {
    let stage = small_stage(&[]).await;
    let at = stage.deployment();
    let backup = stage.cloud().invoke(&at.backup, &json!({"database": DATABASE})).await.unwrap();
    assert!(!backup.failed, "{backup:?}");
    let backup_id: BackupId = backup.payload["backup_id"].as_str().unwrap().parse().unwrap();
    stage.tap().wait_for("Verification Completed", PATIENCE, |_| ()).await.unwrap();
    let stored = Stored::on(&stage).await;
    let objects = objects(&stored, &backup_id).await;
    let inbox = AlertInbox::open(&stage.cloud().sns().await, &at.topic_arn, &["warning", "critical"]).await.unwrap();

    let mut alerts = 0;
    for site in BOTH {
        for kind in ["checksum", "missing"] {
            // Each object in another place, the first at its first byte and the last at its last one.
            for (n, key) in objects.keys().enumerate() {
                match kind {
                    "checksum" => stored.flip(site, key, n as f64 / (objects.len() - 1) as f64).await,
                    _ => stored.delete(site, key).await,
                }
            }
            assert_found_and_healed(&stage, &stored, &objects, site, kind).await;
            alerts += 1;
            let told = inbox.wait_for(alerts, PATIENCE).await.unwrap();
            assert_eq!(told[alerts - 1].attributes["severity"], "warning");
            assert_eq!(told[alerts - 1].attributes["type"], "verification-completed");
        }
        let drill = drill(&stage, site).await;
        assert!(drill[0]["equal"] == true && drill[0]["findings"] == json!([]), "{drill}");
        assert_eq!(stage.tap().next(PATIENCE).await.unwrap().unwrap().kind, "Restore Test Completed");
    }

    // Both copies damaged, each in its own way: nothing can heal them, so people are told.
    let (key, _) = objects.iter().find(|(_, stream)| matches!(stream, Some(Stream::Table(_)))).unwrap();
    stored.flip(Site::Primary, key, 0.3).await;
    stored.delete(Site::Offsite, key).await;
    let findings = verify(&stage).await;
    let named: BTreeSet<_> =
        findings.iter().map(|one| (one["site"].as_str().unwrap(), one["kind"].as_str().unwrap())).collect();
    assert_eq!(named, BTreeSet::from([("primary", "checksum"), ("offsite", "missing")]));
    assert!(findings.iter().all(|one| one["subject"] == **key && one["healed"] == false), "{findings:?}");
    let event = stage.tap().next(PATIENCE).await.unwrap().unwrap();
    assert_eq!((event.kind.as_str(), &event.detail["damaged"]), ("Verification Failed", &json!(2)));
    assert!(event.detail["error"].as_str().unwrap().contains(key.as_str()), "{event:?}");
    let told = inbox.wait_for(alerts + 1, PATIENCE).await.unwrap();
    assert_eq!(told[alerts].attributes["severity"], "critical");
    assert_eq!(told[alerts].attributes["type"], "verification-finding");
    assert!(told[alerts].message.contains(key.as_str()) && told[alerts].json()["hint"].is_string());
    let failed = drill(&stage, Site::Primary).await;
    assert!(failed["errorMessage"].as_str().unwrap().contains(key.as_str()), "{failed}");
}

/// Every object of the backup with its stream, if it is a chunk: chunks of each stream, chunk list, manifest, the root.
async fn objects(stored: &Stored, backup_id: &BackupId) -> BTreeMap<String, Option<Stream>> {
    let database: DatabaseName = DATABASE.parse().unwrap();
    let (manifest, entries) = stored.assert_whole(&database, backup_id, Site::Primary).await;
    let chunks = entries.iter().filter_map(|entry| Some((entry.chunk.as_ref()?, entry.stream)));
    let mut objects: BTreeMap<_, _> =
        chunks.map(|(chunk, stream)| (chunk_key(chunk.epoch, &chunk.id), Some(stream))).collect();
    let streams: BTreeSet<_> = objects.values().flatten().copied().collect();
    let singles = [Stream::Schema, Stream::Roles, Stream::Sequences, Stream::Inventory, Stream::LargeObjects];
    assert!(singles.iter().all(|stream| streams.contains(stream)), "{streams:?}");
    assert!(streams.len() >= singles.len() + 3, "three tables with rows: {streams:?}");
    let lists = (0..manifest.chunk_list.parts.len()).map(|part| chunk_list_key(&database, backup_id, part));
    let documents = lists.chain([manifest_key(&database, backup_id), "repository.json".to_owned()]);
    objects.extend(documents.map(|key| (key, None)));
    for site in BOTH {
        let mut keys = stored.keys(site, "chunks/").await;
        keys.extend(stored.keys(site, "backups/").await);
        keys.extend(stored.keys(site, "repository.json").await);
        assert!(keys.iter().eq(objects.keys()), "{site} has other objects: {keys:?}");
    }
    objects
}

/// One verification finds exactly the damage and heals it; the bytes are as they were; the next one finds nothing.
async fn assert_found_and_healed(
    stage: &Stage,
    stored: &Stored,
    objects: &BTreeMap<String, Option<Stream>>,
    site: Site,
    kind: &str,
) {
    let findings = verify(stage).await;
    let found: BTreeSet<&str> = findings.iter().map(|one| one["subject"].as_str().unwrap()).collect();
    assert!(found.iter().eq(objects.keys()), "{kind} on {site}: {found:?}");
    assert_eq!(findings.len(), objects.len(), "each is named once");
    for one in &findings {
        assert_eq!((&one["kind"], &one["site"], &one["healed"]), (&json!(kind), &json!(site), &json!(true)), "{one}");
    }
    let event = stage.tap().next(PATIENCE).await.unwrap().unwrap();
    assert_eq!((event.kind.as_str(), &event.detail["healed"]), ("Verification Completed", &json!(objects.len())));
    for key in objects.keys() {
        assert_eq!(stored.bytes(site, key).await, stored.bytes(site.other(), key).await, "{key}");
    }
    assert_eq!(verify(stage).await, Vec::<Value>::new());
    assert_eq!(stage.tap().next(PATIENCE).await.unwrap().unwrap().kind, "Verification Completed");
}

/// What a verification of everything finds.
async fn verify(stage: &Stage) -> Vec<Value> {
    let answer =
        stage.cloud().invoke(&stage.deployment().verify, &json!({"database": DATABASE, "scope": "all"})).await.unwrap();
    assert!(!answer.failed, "{answer:?}");
    assert_eq!(answer.payload.as_array().unwrap().len(), 1);
    answer.payload[0]["findings"].as_array().unwrap().clone()
}

async fn drill(stage: &Stage, site: Site) -> Value {
    let order = json!({"database": DATABASE, "backup": "newest", "site": site});
    stage.cloud().invoke(&stage.deployment().test_restore, &order).await.unwrap().payload
}
