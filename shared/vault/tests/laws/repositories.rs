use jiff::SignedDuration;
use lifeboat_bench::{Fault, MemoryStore, Refusal, Rule};
use lifeboat_model::Site;
use lifeboat_vault::{Repository, Sites, VaultError};
use std::sync::Arc;

use lifeboat_bench::{Bench, back_up, backup_id, database, now, raw_keys};

const KEY: &str = "repository.json";

#[tokio::test]
async fn opening_what_is_not_there_writes_nothing() {
    let bench = Bench::new();
    let refused = Repository::open(bench.sites(), bench.keys.clone()).await.err().unwrap();
    assert!(matches!(refused, VaultError::NoRepository));
    assert!(bench.primary.keys("").is_empty() && bench.offsite.keys("").is_empty());
}

#[tokio::test]
async fn a_repository_is_made_once_and_is_the_same_on_both_sites() {
    let bench = Bench::new();
    let first = bench.repository().await;
    let again = bench.repository().await;
    assert_eq!(first.id(), again.id());
    assert_eq!(bench.primary.bytes(KEY), bench.offsite.bytes(KEY));
}

#[tokio::test]
async fn one_readable_site_is_enough_to_open() {
    let bench = Bench::new();
    let id = bench.repository().await.id();
    for lost in [Site::Primary, Site::Offsite] {
        let broken = Bench { primary: bench.primary.clone(), offsite: bench.offsite.clone(), ..Bench::new() };
        broken.script.add(Rule::always(Fault::Reject(Refusal::Unavailable)));
        let mut stores = [Some(bench.store(Site::Primary)), Some(bench.store(Site::Offsite))];
        stores[usize::from(lost == Site::Offsite)] = Some(broken.store(lost));
        let [primary, offsite] = stores;
        assert_eq!(Repository::open(Sites::new(primary, offsite), bench.keys.clone()).await.unwrap().id(), id);
    }
}

#[tokio::test]
async fn a_copy_that_is_missing_or_behind_is_brought_up_to_date_on_either_site() {
    let bench = Bench::new();
    bench.repository().await;
    let old = bench.primary.bytes(KEY).unwrap();
    let later = now() + SignedDuration::from_hours(91 * 24);
    bench.repository().await.begin_writing(later).await.unwrap();
    let new = bench.primary.bytes(KEY).unwrap();
    assert_ne!(old, new);
    for behind in [Site::Primary, Site::Offsite] {
        bench.memory(behind).replace(KEY, old.clone());
        bench.repository().await;
        assert_eq!(bench.memory(behind).bytes(KEY).unwrap(), new);
        bench.memory(behind).remove(KEY);
        bench.repository().await;
        assert_eq!(bench.memory(behind).bytes(KEY).unwrap(), new);
    }
}

#[tokio::test]
async fn two_repositories_are_never_mixed() {
    let (ours, theirs) = (Bench::new(), Bench::new());
    ours.repository().await;
    theirs.repository().await;
    let mixed = Bench { primary: ours.primary.clone(), offsite: theirs.offsite.clone(), ..Bench::new() };
    let before = [mixed.primary.bytes(KEY), mixed.offsite.bytes(KEY)];
    for refused in [mixed.open_or_create().await.err(), Repository::open(mixed.sites(), mixed.keys.clone()).await.err()]
    {
        assert!(matches!(refused, Some(VaultError::TwoRepositories { .. })), "{refused:?}");
    }
    assert_eq!([mixed.primary.bytes(KEY), mixed.offsite.bytes(KEY)], before);
}

#[tokio::test]
async fn an_unreachable_other_site_never_leads_to_a_second_repository() {
    let bench = Bench::new();
    bench.repository().await;
    bench.primary.remove(KEY);
    bench.script.add(Rule::always(Fault::Reject(Refusal::Unavailable)).under(KEY).only_nth(2));
    assert!(bench.open_or_create().await.is_err());
    assert!(bench.primary.keys("").is_empty());
}

#[tokio::test]
async fn a_document_of_a_newer_format_is_refused_although_the_other_site_has_an_older_one() {
    let bench = Bench::new();
    bench.repository().await;
    let stored: serde_json::Value = serde_json::from_slice(&bench.offsite.bytes(KEY).unwrap()).unwrap();
    let text = stored["repository"].to_string().replacen("\"format\":1", "\"format\":2", 1);
    let sum = lifeboat_vault::sha256(text.as_bytes());
    bench.offsite.replace(KEY, format!(r#"{{"sha256":"{sum}","repository":{text}}}"#));
    let refused = Repository::open(bench.sites(), bench.keys.clone()).await.err().unwrap();
    assert!(matches!(refused, VaultError::NewerFormat { found: 2, known: 1, .. }), "{refused:?}");
    assert!(refused.advice().hint.contains("newer version"));
}

#[tokio::test]
async fn a_stranger_with_the_buckets_but_no_key_opens_nothing() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    back_up(&repository, &backup_id(1), None).await.unwrap();
    let stranger = Repository::open(bench.sites(), raw_keys(&["stranger"])).await.unwrap();
    let refused = stranger.authenticated_manifest(&database(), &backup_id(1), Site::Primary).await.unwrap_err();
    assert!(matches!(refused, VaultError::Open { .. }), "{refused:?}");
    assert!(stranger.manifest(&database(), &backup_id(1), Site::Primary).await.is_ok());
}

#[tokio::test]
async fn a_new_primary_bucket_joins_the_old_repository_and_older_backups_stay_whole() {
    let bench = Bench::new();
    let first = back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
    let moved = Bench { primary: MemoryStore::new(), offsite: bench.offsite.clone(), ..Bench::new() };
    let repository = moved.repository().await;
    assert_eq!(repository.id(), bench.repository().await.id());
    back_up(&repository, &backup_id(2), None).await.unwrap();
    lifeboat_bench::assert_restores(&repository, &backup_id(1), Site::Offsite).await;
    for site in [Site::Primary, Site::Offsite] {
        lifeboat_bench::assert_restores(&repository, &backup_id(2), site).await;
    }
    assert_eq!(moved.primary.keys("chunks/"), moved.offsite.keys("chunks/"));
    assert_eq!(first.chunk_list.entries, 5);
}

#[tokio::test]
async fn a_repository_on_one_site_backs_up_and_gains_the_other_later() {
    let bench = Bench::new();
    let primary_only = || Sites::new(Some(Arc::new(bench.primary.clone())), None);
    let repository = Repository::open_or_create(primary_only(), bench.keys.clone(), now()).await.unwrap();
    let first = back_up(&repository, &backup_id(1), None).await.unwrap();
    assert!(bench.offsite.keys("").is_empty());
    let repository = bench.repository().await;
    let second = back_up(&repository, &backup_id(2), Some(&first)).await.unwrap();
    assert_eq!(second.totals.new_chunks, 0);
    lifeboat_bench::assert_restores(&repository, &backup_id(2), Site::Offsite).await;
}
