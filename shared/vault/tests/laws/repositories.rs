use jiff::SignedDuration;
use lifeboat_bench::{Fault, MemoryStore, Refusal, Rule};
use lifeboat_model::Site;
use lifeboat_vault::{Listed, ObjectState, Repository, Sites, VaultError};
use std::sync::Arc;

use lifeboat_bench::{Bench, assert_restores, back_up, backup_id, database, now, raw_keys};

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

/// Anybody who may write to one bucket can put a document of any format there: its sum proves nothing.
#[tokio::test]
async fn a_claim_of_a_newer_format_on_one_site_stops_writing_and_no_reading() {
    for site in [Site::Primary, Site::Offsite] {
        let bench = Bench::new();
        back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
        let stored: serde_json::Value = serde_json::from_slice(&bench.offsite.bytes(KEY).unwrap()).unwrap();
        let text = stored["repository"].to_string().replacen("\"format\":1", "\"format\":99", 1);
        let sum = lifeboat_vault::sha256(text.as_bytes());
        let claim = format!(r#"{{"sha256":"{sum}","repository":{text}}}"#);
        bench.memory(site).replace(KEY, claim.clone());

        let repository = Repository::open(bench.sites(), bench.keys.clone()).await.unwrap();
        for readable in [Site::Primary, Site::Offsite] {
            assert_restores(&repository, &backup_id(1), readable).await;
        }
        let verifier = Repository::open_to_verify(bench.sites(), bench.keys.clone()).await.unwrap();
        verifier.manifest(&database(), &backup_id(1), site).await.unwrap();
        let state = verifier.inspect(site, &Listed::repository()).await.unwrap();
        assert!(matches!(state, ObjectState::Newer { found: 99, known: 1 }), "{state:?}");

        let refused = bench.open_or_create().await.err().unwrap();
        assert!(matches!(refused, VaultError::NewerFormat { found: 99, known: 1, .. }), "{refused:?}");
        let hint = refused.advice().hint;
        assert!(hint.contains("newer version") && hint.contains("restore the object's older version"), "{hint}");
        // Whatever wrote it, no version that does not know it replaces it.
        assert!(repository.begin_writing(now()).await.is_err());
        assert_eq!(bench.memory(site).bytes(KEY).unwrap(), claim.as_bytes());
    }
}

#[tokio::test]
async fn no_epoch_begins_that_the_key_of_one_site_could_not_open() {
    let refuses = |refused: Option<VaultError>| {
        let Some(error @ VaultError::KeyMissing { keys: 1, sites: 2 }) = refused else { panic!("{refused:?}") };
        assert!(error.advice().hint.contains("`LIFEBOAT_OFFSITE_KEY`"), "{error}");
    };
    let bench = Bench::new();
    let one_key = || raw_keys(&["near"]);
    refuses(Repository::open_or_create(bench.sites(), one_key(), now()).await.err());
    assert!(bench.primary.keys("").is_empty());
    bench.repository().await;
    let before = bench.primary.bytes(KEY);
    let repository = Repository::open_or_create(bench.sites(), one_key(), now()).await.unwrap();
    refuses(repository.begin_writing(now()).await.err());
    assert_eq!(bench.primary.bytes(KEY), before);
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
