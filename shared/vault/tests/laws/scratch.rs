//! The record of scratch databases: none is lost, also when many drills write it at once and when a site is away.

use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;
use lifeboat_bench::{Fault, FaultyStore, MemoryStore, Refusal, Rule, Script};
use lifeboat_model::ScratchEntry;
use lifeboat_vault::{MOST_SCRATCH, ObjectStore, ScratchRecords, Sites, VaultError};

fn entry(number: usize) -> ScratchEntry {
    ScratchEntry {
        name: format!("lifeboat_drill_{number:08x}"),
        server: "scratch:5432".to_owned(),
        system_identifier: None,
        server_started_at: None,
        database: None,
        run_id: "run-1".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
        fault: None,
    }
}

fn names(entries: Vec<ScratchEntry>) -> Vec<String> {
    entries.into_iter().map(|entry| entry.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_database_stays_on_record_until_it_is_removed_and_a_second_entry_replaces_the_first() {
    let sites = Sites::new(Some(Arc::new(MemoryStore::default())), Some(Arc::new(MemoryStore::default())));
    let records = ScratchRecords::new(&sites).unwrap();
    let written = join_all((0..8).map(|number| {
        let records = records.clone();
        async move { records.put(&entry(number)).await }
    }));
    written.await.into_iter().for_each(|written| written.unwrap());
    assert_eq!(records.list().await.unwrap().len(), 8);
    let again = ScratchEntry { fault: Some("in use".to_owned()), ..entry(3) };
    records.put(&again).await.unwrap();
    let listed = records.list().await.unwrap();
    assert!(listed.len() == 8 && listed.contains(&again));
    let removed = records.remove(&names(vec![entry(3), entry(99)])).await.unwrap();
    assert_eq!(removed, [again]);
    assert_eq!(records.remove(&names(vec![entry(3)])).await.unwrap(), []);
    assert_eq!(records.list().await.unwrap().len(), 7);
}

#[tokio::test]
async fn a_site_that_is_away_neither_keeps_a_drill_from_its_record_nor_forgets_it() {
    let (near, far) = (MemoryStore::default(), MemoryStore::default());
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(Refusal::Unavailable)));
    let broken: Arc<dyn ObjectStore> = Arc::new(FaultyStore::new(near.clone(), script));
    let without_primary = Sites::new(Some(broken), Some(Arc::new(far.clone())));
    ScratchRecords::new(&without_primary).unwrap().put(&entry(1)).await.unwrap();
    let both = Sites::new(Some(Arc::new(near)), Some(Arc::new(far)));
    assert_eq!(ScratchRecords::new(&both).unwrap().list().await.unwrap(), [entry(1)]);
}

#[tokio::test]
async fn a_full_record_takes_no_new_database_and_still_changes_and_removes_the_old_ones() {
    let sites = Sites::new(Some(Arc::new(MemoryStore::default())), None);
    let records = ScratchRecords::new(&sites).unwrap();
    for number in 0..MOST_SCRATCH {
        records.put(&entry(number)).await.unwrap();
    }
    let error = records.put(&entry(MOST_SCRATCH)).await.unwrap_err();
    assert!(matches!(error, VaultError::TooMany { limit: MOST_SCRATCH, .. }), "{error:?}");
    records.put(&ScratchEntry { fault: Some("in use".to_owned()), ..entry(0) }).await.unwrap();
    records.remove(&names(vec![entry(0)])).await.unwrap();
    records.put(&entry(MOST_SCRATCH)).await.unwrap();
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_an_error_and_stays_as_it_is() {
    const KEY: &str = "state/scratch.json";
    let unreadable = ["not a record".to_owned(), " ".repeat(2 * 1024 * 1024)];
    for text in unreadable {
        let (near, far) = (MemoryStore::default(), MemoryStore::default());
        let sites = Sites::new(Some(Arc::new(near.clone())), Some(Arc::new(far.clone())));
        let records = ScratchRecords::new(&sites).unwrap();
        records.put(&entry(1)).await.unwrap();
        // The copy of the other site is enough.
        near.replace(KEY, text.clone());
        records.put(&entry(2)).await.unwrap();
        assert_eq!(records.list().await.unwrap(), [entry(1), entry(2)]);

        for store in [&near, &far] {
            store.replace(KEY, text.clone());
        }
        let error = records.list().await.unwrap_err();
        assert!(matches!(&error, VaultError::Unreadable { key, .. } if key == KEY), "{error:?}");
        assert!(error.advice().hint.contains("restore its older version"), "{error:?}");
        assert!(records.put(&entry(3)).await.is_err());
        assert!(records.update(&entry(1)).await.is_err());
        assert!(records.remove(&names(vec![entry(1)])).await.is_err());
        assert_eq!([near.bytes(KEY).unwrap(), far.bytes(KEY).unwrap()], [text.as_bytes(), text.as_bytes()]);
    }
}

#[tokio::test]
async fn an_update_changes_an_entry_and_never_brings_a_removed_one_back() {
    let records = ScratchRecords::new(&Sites::new(Some(Arc::new(MemoryStore::default())), None)).unwrap();
    records.put(&entry(1)).await.unwrap();
    let changed = ScratchEntry { fault: Some("in use".to_owned()), ..entry(1) };
    assert!(records.update(&changed).await.unwrap());
    assert_eq!(records.list().await.unwrap(), [changed]);
    records.remove(&names(vec![entry(1)])).await.unwrap();
    assert!(!records.update(&entry(1)).await.unwrap());
    assert_eq!(records.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_record_full_of_the_longest_faults_can_still_be_read() {
    let records = ScratchRecords::new(&Sites::new(Some(Arc::new(MemoryStore::default())), None)).unwrap();
    let long = Some("\u{1}ä".repeat(10_000));
    for number in 0..MOST_SCRATCH {
        records.put(&ScratchEntry { fault: long.clone(), ..entry(number) }).await.unwrap();
    }
    let listed = records.list().await.unwrap();
    assert_eq!(listed.len(), MOST_SCRATCH);
    assert!(listed.iter().all(|entry| entry.fault.as_ref().is_some_and(|fault| (990..=1000).contains(&fault.len()))));
}
