use lifeboat_bench::{Fault, Operation, Refusal, Rule};
use lifeboat_model::{EpochNumber, Manifest, Site};
use lifeboat_vault::{StoreError, VaultError, manifest_key};

use lifeboat_bench::{Bench, back_up, backup_id, database, entry, manifest, now};

#[tokio::test]
async fn a_manifest_altered_under_its_old_signature_is_read_by_nobody() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    back_up(&repository, &backup_id(1), None).await.unwrap();
    let key = manifest_key(&database(), &backup_id(1));
    let stored: serde_json::Value = serde_json::from_slice(&bench.primary.bytes(&key).unwrap()).unwrap();

    let mut manifest: Manifest = serde_json::from_value(stored["manifest"].clone()).unwrap();
    manifest.totals.rows += 1;
    let (signature, text) = (stored["signature"].as_str().unwrap(), serde_json::to_string(&manifest).unwrap());
    bench.primary.replace(&key, format!(r#"{{"signature":"{signature}","manifest":{text}}}"#));

    for refused in [
        repository.manifest(&database(), &backup_id(1), Site::Primary).await.unwrap_err(),
        repository.authenticated_manifest(&database(), &backup_id(1), Site::Primary).await.unwrap_err(),
    ] {
        assert!(matches!(refused, VaultError::ManifestForged { site: Site::Primary, .. }), "{refused:?}");
    }
    repository.authenticated_manifest(&database(), &backup_id(1), Site::Offsite).await.unwrap();
}

#[tokio::test]
async fn a_manifest_under_another_backups_key_is_refused() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    back_up(&repository, &backup_id(1), None).await.unwrap();
    let bytes = bench.primary.bytes(&manifest_key(&database(), &backup_id(1))).unwrap();
    bench.primary.replace(&manifest_key(&database(), &backup_id(2)), bytes);
    let refused = repository.manifest(&database(), &backup_id(2), Site::Primary).await.unwrap_err();
    assert!(matches!(refused, VaultError::Damaged { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_manifest_of_a_newer_format_is_refused_with_a_hint_to_update() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let writer = repository.begin_writing(now()).await.unwrap();
    let mut newer = manifest(&backup_id(1), writer.epoch(), Default::default());
    newer.format = 99;
    repository.publish(&newer, writer.chunk_key()).await.unwrap();
    let refused = repository.manifest(&database(), &backup_id(1), Site::Primary).await.unwrap_err();
    assert!(matches!(refused, VaultError::NewerFormat { found: 99, .. }), "{refused:?}");
    assert!(refused.advice().hint.contains("update"));
}

#[tokio::test]
async fn every_database_of_the_repository_is_named_once_however_alike_their_names_are() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let writer = repository.begin_writing(now()).await.unwrap();
    let names = ["clinic", "clinic-2", "clinic-20", "clinic0", "clinic_a", "a"];
    for name in names {
        for random in 1..4 {
            let one = manifest(&backup_id(random), writer.epoch(), Default::default());
            let one = Manifest { database: name.parse().unwrap(), ..one };
            repository.publish(&one, writer.chunk_key()).await.unwrap();
        }
    }
    let mut found: Vec<String> =
        repository.databases(Site::Offsite).await.unwrap().iter().map(ToString::to_string).collect();
    found.sort();
    let mut expected = names.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn only_backups_with_a_manifest_are_listed_oldest_first() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let writer = repository.begin_writing(now()).await.unwrap();
    let mut ids = Vec::new();
    for random in [3, 1, 2] {
        let id = backup_id(random);
        repository.publish(&manifest(&id, writer.epoch(), Default::default()), writer.chunk_key()).await.unwrap();
        ids.push(id);
    }
    ids.sort();
    let unfinished = repository.chunk_list(&database(), &backup_id(9)).unwrap();
    unfinished.finish().await.unwrap();
    let mut unfinished = repository.chunk_list(&database(), &backup_id(9)).unwrap();
    let chunk = writer.store(b"x", &mut lifeboat_vault::Scratch::new().unwrap()).await.unwrap();
    unfinished.push(&entry(0, chunk)).await.unwrap();
    unfinished.finish().await.unwrap();
    assert!(bench.primary.keys("backups/").len() > 3);
    for site in [Site::Primary, Site::Offsite] {
        assert_eq!(repository.manifests(&database(), site).await.unwrap(), ids);
    }
}

#[tokio::test]
async fn publishing_twice_is_once_and_another_manifest_of_that_id_is_refused() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let published = back_up(&repository, &backup_id(1), None).await.unwrap();
    let writer = repository.begin_writing(now()).await.unwrap();
    repository.publish(&published, writer.chunk_key()).await.unwrap();
    let mut other = published.clone();
    other.totals.rows += 1;
    let refused = repository.publish(&other, writer.chunk_key()).await.unwrap_err();
    assert!(matches!(refused, VaultError::Store { source: StoreError::AlreadyExists { .. }, .. }), "{refused:?}");
    let stored = repository.authenticated_manifest(&database(), &backup_id(1), Site::Primary).await.unwrap();
    assert_eq!(stored, published);
}

#[tokio::test]
async fn nothing_is_published_whose_chunk_list_is_not_on_both_sites() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let complete = back_up(&repository, &backup_id(1), None).await.unwrap();
    let writer = repository.begin_writing(now()).await.unwrap();
    let incomplete = Manifest { backup_id: backup_id(2), ..complete.clone() };
    let refused = repository.publish(&incomplete, writer.chunk_key()).await.unwrap_err();
    assert!(matches!(refused, VaultError::Incomplete { .. }), "{refused:?}");
    let mut miscounted = complete;
    miscounted.chunk_list.entries += 1;
    assert!(matches!(repository.publish(&miscounted, writer.chunk_key()).await, Err(VaultError::Incomplete { .. })));
    let unknown = manifest(&backup_id(3), EpochNumber(7), Default::default());
    assert!(matches!(repository.publish(&unknown, writer.chunk_key()).await, Err(VaultError::UnknownEpoch { .. })));
    assert_eq!(repository.manifests(&database(), Site::Primary).await.unwrap(), [backup_id(1)]);
}

#[tokio::test]
async fn a_lost_answer_to_the_manifest_is_an_error_and_the_same_publish_again_succeeds() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let writer = repository.begin_writing(now()).await.unwrap();
    let manifest = manifest(&backup_id(1), writer.epoch(), Default::default());
    bench.script.add(Rule::always(Fault::FailAfterWrite).on(Operation::Put).under("backups/").only_nth(1));
    repository.publish(&manifest, writer.chunk_key()).await.unwrap_err();
    repository.publish(&manifest, writer.chunk_key()).await.unwrap();
    assert_eq!(repository.manifests(&database(), Site::Offsite).await.unwrap(), [backup_id(1)]);
}

#[tokio::test]
async fn a_part_of_a_chunk_list_that_was_swapped_is_refused_before_a_line_of_it_is_given_out() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let one = back_up(&repository, &backup_id(1), None).await.unwrap();
    back_up(&repository, &backup_id(2), Some(&one)).await.unwrap();
    let part = |random| lifeboat_vault::chunk_list_key(&database(), &backup_id(random), 0);
    bench.primary.replace(&part(1), bench.primary.bytes(&part(2)).unwrap());
    let mut entries = repository.chunk_entries(&one, Site::Primary).unwrap();
    entries.next().await.unwrap_err();
    assert!(repository.chunk_entries(&one, Site::Offsite).unwrap().next().await.unwrap().is_some());
}

#[tokio::test]
async fn reports_go_to_both_sites_once_and_nowhere_else() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    repository.put_document("drills/clinic/one.json", &["equal"]).await.unwrap();
    repository.put_document("drills/clinic/one.json", &["equal"]).await.unwrap();
    assert!(repository.put_document("drills/clinic/one.json", &["other"]).await.is_err());
    assert_eq!(bench.offsite.bytes("drills/clinic/one.json").unwrap(), r#"["equal"]"#);
    for key in ["repository.json", "drills/../repository.json", "chunks/0001/ab/x", "drills//x", "drills/"] {
        let refused = repository.put_document(key, &1).await;
        assert!(matches!(refused, Err(VaultError::BadKey { .. })), "{key}");
    }
}

#[tokio::test]
async fn a_site_that_denies_is_named_in_the_error_with_key_and_hint() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    bench.script.add(Rule::always(Fault::Reject(Refusal::Denied)).under("backups/"));
    let refused = repository.manifests(&database(), Site::Offsite).await.unwrap_err();
    assert_eq!(refused.to_string(), "the offsite site failed");
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert_eq!(cause, "access to `backups/clinic/` was denied");
    assert!(refused.advice().hint.contains("role"));
    assert_eq!(refused.advice().response, lifeboat_model::Response::Fail);
}

#[tokio::test]
async fn a_long_chunk_list_comes_in_parts_and_reads_back_in_order() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let writer = repository.begin_writing(now()).await.unwrap();
    let chunk = writer.store(b"x", &mut lifeboat_vault::Scratch::new().unwrap()).await.unwrap();
    let mut list = repository.chunk_list(&database(), &backup_id(1)).unwrap();
    let lines = lifeboat_vault::PART_ENTRIES as u32 + 1;
    for part in 0..lines {
        list.push(&entry(part, chunk.clone())).await.unwrap();
    }
    let list = list.finish().await.unwrap();
    assert_eq!((list.entries, list.parts.len()), (u64::from(lines), 2));
    let manifest = manifest(&backup_id(1), writer.epoch(), list);
    repository.publish(&manifest, writer.chunk_key()).await.unwrap();
    let mut entries = repository.chunk_entries(&manifest, Site::Offsite).unwrap();
    for part in 0..lines {
        assert_eq!(entries.next().await.unwrap().unwrap().part, part);
    }
    assert!(entries.next().await.unwrap().is_none());
}
