//! When an epoch begins: by its age, by other keys, and by nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use lifeboat_bench::{Bench, Fault, FaultyStore, MemoryStore, Refusal, RoleKeys, Rule, Script};
use lifeboat_bench::{assert_restores, back_up, backup_id, now, raw_keys};
use lifeboat_model::{EpochCause, EpochNumber, Origin, RepositoryDocument, Site};
use lifeboat_seal::{
    DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey, SealError,
};
use lifeboat_vault::{
    EPOCH_AGE, EPOCH_GRACE, LEAST_LOCK_DAYS, Repository, Scratch, Sites, VaultError, WriteOptions, sha256,
};

const ROOT: &str = "repository.json";
const BOTH: [Site; 2] = [Site::Primary, Site::Offsite];
const DAY: SignedDuration = SignedDuration::from_hours(24);

pub fn document(store: &MemoryStore) -> RepositoryDocument {
    let stored: serde_json::Value = serde_json::from_slice(&store.bytes(ROOT).unwrap()).unwrap();
    serde_json::from_value(stored["repository"].clone()).unwrap()
}

/// The keys of the role of `backup`: it may encrypt under that of the off-site, and not decrypt.
pub fn role(primary: &str, offsite: &str) -> Arc<dyn DataKeys> {
    Arc::new(RoleKeys { seals: raw_keys(&[primary, offsite]), opens: Ok(raw_keys(&[primary])) })
}

async fn alone(bench: &Bench, site: Site, key: &str) -> Repository {
    let store = Some(bench.store(site));
    let sites = if site == Site::Primary { Sites::new(store, None) } else { Sites::new(None, store) };
    Repository::open(sites, raw_keys(&[key])).await.unwrap()
}

#[tokio::test]
async fn a_stack_with_other_keys_begins_one_epoch_and_both_its_backups_and_the_old_ones_restore() {
    let (kept, anew) = (false, true);
    // Which buckets and which keys are new: the region lost, a key lost, the off-site made anew, the account moved.
    let cases = [
        ("primary lost", [anew, kept], ["nearer", "far-away"]),
        ("primary key lost", [kept, kept], ["nearer", "far-away"]),
        ("off-site lost", [kept, anew], ["near", "farther"]),
        ("off-site key lost", [kept, kept], ["near", "farther"]),
        ("both keys lost, buckets adopted", [kept, kept], ["nearer", "farther"]),
    ];
    for (case, lost, [primary, offsite]) in cases {
        let old = Bench { keys: role("near", "far-away"), ..Bench::new() };
        let first = back_up(&old.repository().await, &backup_id(1), None).await.unwrap();
        let mut new = Bench { keys: role(primary, offsite), ..old.clone() };
        if lost[0] {
            new.primary = MemoryStore::new();
        }
        if lost[1] {
            new.offsite = MemoryStore::new();
        }
        let second = back_up(&new.repository().await, &backup_id(2), None).await.expect(case);
        let third = back_up(&new.repository().await, &backup_id(3), Some(&second)).await.expect(case);
        assert_eq!([first.epoch.0, second.epoch.0, third.epoch.0], [1, 2, 2], "{case}");
        assert_eq!((second.totals.new_chunks, third.totals.new_chunks), (first.totals.new_chunks, 0), "{case}");
        let causes: Vec<_> = document(&new.primary).epochs.iter().map(|epoch| epoch.cause).collect();
        assert_eq!(causes, [Some(EpochCause::First), Some(EpochCause::Keys)], "{case}");
        assert_eq!(new.primary.bytes(ROOT), new.offsite.bytes(ROOT), "{case}");

        for backup in [2, 3].map(backup_id) {
            assert_restores(&alone(&new, Site::Primary, primary).await, &backup, Site::Primary).await;
            assert_restores(&alone(&new, Site::Offsite, offsite).await, &backup, Site::Offsite).await;
        }
        // The old backup opens with each key that it was sealed under, on each site that still has it.
        for (site, lost, key) in [(Site::Primary, lost[0], "near"), (Site::Offsite, lost[1], "far-away")] {
            if !lost {
                assert_restores(&alone(&new, site, key).await, &backup_id(1), site).await;
            }
        }
    }
}

#[tokio::test]
async fn a_site_that_is_added_or_removed_begins_an_epoch_so_that_each_key_of_an_epoch_opens_all_of_it() {
    let primary_only = |bench: &Bench| Sites::new(Some(Arc::new(bench.primary.clone())), None);
    let bench = Bench::new();
    let one = Repository::open_or_create(primary_only(&bench), raw_keys(&["near"]), now()).await.unwrap();
    let first = back_up(&one, &backup_id(1), None).await.unwrap();
    let second = back_up(&bench.repository().await, &backup_id(2), Some(&first)).await.unwrap();
    assert_eq!((first.epoch, second.epoch), (EpochNumber(1), EpochNumber(2)));
    assert_restores(&alone(&bench, Site::Offsite, "far-away").await, &backup_id(2), Site::Offsite).await;
    let one = Repository::open_or_create(primary_only(&bench), raw_keys(&["near"]), now()).await.unwrap();
    assert_eq!(back_up(&one, &backup_id(3), None).await.unwrap().epoch, EpochNumber(3));
}

#[tokio::test]
async fn no_answer_of_a_key_service_begins_an_epoch() {
    let source = || Arc::new(std::io::Error::other("as the service said"));
    let key = || "near".to_owned();
    let answers = [
        DataKeyError::Unavailable { key: key(), source: source() },
        DataKeyError::Denied { key: key(), source: source() },
        DataKeyError::Disabled { key: key(), source: source() },
        DataKeyError::Rejected { key: key(), source: source() },
    ];
    let bench = Bench::new();
    bench.writer().await;
    let before = bench.primary.bytes(ROOT);
    for answer in answers {
        let keys = Arc::new(RoleKeys { seals: bench.keys.clone(), opens: Err(answer.clone()) });
        let repository = Repository::open_or_create(bench.sites(), keys, now()).await.unwrap();
        let refused = repository.begin_writing(now() + DAY).await.err().unwrap();
        assert!(matches!(refused, VaultError::Open { source: SealError::DataKey(_), .. }), "{answer}: {refused:?}");
        assert_eq!(
            (bench.primary.bytes(ROOT), bench.offsite.bytes(ROOT)),
            (before.clone(), before.clone()),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn two_installations_on_one_off_site_begin_a_few_epochs_a_day_and_then_stop() {
    let ours = Bench { keys: role("near", "far-away"), ..Bench::new() };
    let theirs = Bench { primary: MemoryStore::new(), keys: role("nearer", "far-away"), ..ours.clone() };
    let begin = |bench: &Bench, at| {
        let opened = Repository::open_or_create(bench.sites(), bench.keys.clone(), at);
        async move { opened.await.unwrap().begin_writing(at).await.map(|writer| writer.epoch().0) }
    };
    let mut refused = 0;
    for hour in 0..48_i64 {
        let at = now() + SignedDuration::from_hours(hour);
        match begin(if hour % 2 == 0 { &ours } else { &theirs }, at).await {
            Ok(_) => {}
            Err(error @ VaultError::EpochsTooOften { .. }) => {
                assert!(error.advice().hint.contains("only one installation"), "{error:?}");
                let VaultError::EpochsTooOften { until, .. } = error else { continue };
                assert!(until > at && until <= at + DAY, "{until} after {at}");
                refused += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    let epochs = document(&ours.offsite).epochs.len();
    assert!(epochs <= 1 + 2 * 4 && refused > 10, "{epochs} epochs in two days, {refused} refused");
}

/// Both sites, of which the off-site does not serve.
fn without_offsite(bench: &Bench) -> Sites {
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(Refusal::Unavailable)));
    let offsite = FaultyStore::new(bench.offsite.clone(), script);
    Sites::new(Some(Arc::new(bench.primary.clone())), Some(Arc::new(offsite)))
}

#[tokio::test]
async fn while_the_off_site_is_away_an_epoch_ends_late_but_it_ends_and_then_both_sites_agree_again() {
    let bench = Bench::new();
    let first = back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
    let began = now();
    let epoch_at = |at: Timestamp| {
        let opened = Repository::open_or_create(without_offsite(&bench), bench.keys.clone(), at);
        async move { opened.await.unwrap().begin_writing(at).await.unwrap().epoch().0 }
    };
    assert_eq!(epoch_at(began + EPOCH_AGE).await, 1, "no epoch is begun that one site alone knows");
    assert_eq!(epoch_at(began + EPOCH_AGE + EPOCH_GRACE - DAY).await, 1);
    assert_eq!(epoch_at(began + EPOCH_AGE + EPOCH_GRACE).await, 2, "but one is before locks end");
    assert_eq!((document(&bench.primary).epochs.len(), document(&bench.offsite).epochs.len()), (2, 1));
    assert_eq!(document(&bench.primary).epochs[1].cause, Some(EpochCause::Age));

    // The next run with both sites brings the epoch over, and continues it.
    let later = began + EPOCH_AGE + EPOCH_GRACE + DAY;
    let writer = bench.repository().await.begin_writing(later).await.unwrap();
    assert_eq!(writer.epoch(), EpochNumber(2));
    assert_eq!(bench.primary.bytes(ROOT), bench.offsite.bytes(ROOT));
    assert_restores(&bench.repository().await, &first.backup_id, Site::Offsite).await;
}

#[tokio::test]
async fn no_backup_reuses_a_chunk_whose_lock_ends_within_two_weeks_also_while_the_off_site_is_away_for_a_year() {
    let bench = Bench::new();
    bench.repository().await;
    let mut scratch = Scratch::new().unwrap();
    let mut stored: BTreeMap<EpochNumber, i64> = BTreeMap::new();
    let mut oldest = 0;
    for day in 0..365_i64 {
        let at = now() + SignedDuration::from_hours(24 * day);
        let repository = Repository::open_or_create(without_offsite(&bench), bench.keys.clone(), at).await.unwrap();
        let writer = repository.begin_writing(at).await.unwrap();
        let chunk = writer.store(b"unchanged", &mut scratch).await.unwrap();
        if chunk.origin == Origin::Stored {
            stored.insert(chunk.epoch, day);
        }
        oldest = oldest.max(day - stored[&chunk.epoch]);
    }
    assert!(stored.len() >= 3 && oldest > 90, "{stored:?}, {oldest}");
    assert!(oldest + 14 <= LEAST_LOCK_DAYS as i64, "a reused chunk is up to {oldest} days old");
}

#[tokio::test]
async fn an_epoch_that_claims_to_begin_in_the_future_ends() {
    let bench = Bench::new();
    let far = now() + DAY * 10_000;
    Repository::open_or_create(bench.sites(), bench.keys.clone(), far).await.unwrap();
    let writer = bench.writer().await;
    assert_eq!(writer.epoch(), EpochNumber(2));
    assert_eq!(bench.writer().await.epoch(), EpochNumber(2));
}

#[tokio::test]
async fn epochs_of_another_cause_do_not_keep_the_right_keys_from_beginning_one() {
    let bench = Bench::new();
    bench.repository().await;
    for minute in 1..=6 {
        let at = now() + SignedDuration::from_mins(minute);
        let soon = WriteOptions { epoch_age: SignedDuration::from_secs(30), ..WriteOptions::default() };
        bench.repository().await.begin_writing_with(at, soon).await.unwrap();
    }
    let corrected = Bench { keys: raw_keys(&["near", "farther"]), ..bench.clone() };
    let at = now() + SignedDuration::from_mins(10);
    let writer = corrected.repository().await.begin_writing(at).await.unwrap();
    assert_eq!((writer.epoch(), document(&bench.primary).epochs.len()), (EpochNumber(8), 8));
}

/// Writes a document with its sum, as anybody with the bucket can.
pub fn set_document(store: &MemoryStore, document: &RepositoryDocument) {
    let text = serde_json::to_string(document).unwrap();
    let sum = sha256(text.as_bytes());
    store.replace(ROOT, format!(r#"{{"sha256":"{sum}","repository":{text}}}"#));
}

#[tokio::test]
async fn a_cause_that_one_site_lacks_is_no_dispute_and_comes_back() {
    for site in [Site::Primary, Site::Offsite] {
        let bench = Bench::new();
        back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
        let whole = document(&bench.primary);
        let mut earlier = whole.clone();
        earlier.epochs[0].cause = None;
        set_document(bench.memory(site), &earlier);
        let verifier = Repository::open_to_verify(bench.sites(), bench.keys.clone()).await.unwrap();
        assert_eq!(verifier.disputed_epochs(), []);
        bench.writer().await;
        assert_eq!([document(&bench.primary), document(&bench.offsite)], [whole.clone(), whole]);
    }
}

#[tokio::test]
async fn probes_that_one_site_lost_or_has_damaged_come_back_from_the_other_one() {
    let foreign = {
        let other = Bench::new();
        other.writer().await;
        document(&other.primary).probes.pop_first().unwrap().1
    };
    for site in [Site::Primary, Site::Offsite] {
        for change in [None, Some("no message".to_owned()), Some(foreign.clone())] {
            let bench = Bench::new();
            bench.writer().await;
            let whole = document(&bench.primary);
            let mut altered = whole.clone();
            altered.probes = change.map(|probe| (EpochNumber(1), probe)).into_iter().collect();
            set_document(bench.memory(site), &altered);
            bench.repository().await;
            assert_eq!([document(&bench.primary), document(&bench.offsite)], [whole.clone(), whole], "{site}");
        }
    }
}

#[tokio::test]
async fn what_is_no_probe_of_its_epoch_is_replaced_by_the_next_backup() {
    let bench = Bench::new();
    bench.writer().await;
    let whole = document(&bench.primary);
    let other_keys = {
        let other = Bench { keys: raw_keys(&["strange", "stranger"]), ..Bench::new() };
        let mut ours = whole.clone();
        ours.probes.clear();
        BOTH.iter().for_each(|site| set_document(other.memory(*site), &ours));
        other.writer().await;
        let theirs = document(&other.primary);
        let epoch = theirs.epochs.last().unwrap().number;
        theirs.probes[&epoch].clone()
    };
    for probe in ["no message".to_owned(), other_keys, whole.epochs[0].chunk_key.clone()] {
        let mut altered = whole.clone();
        altered.probes.insert(EpochNumber(1), probe.clone());
        BOTH.iter().for_each(|site| set_document(bench.memory(*site), &altered));
        bench.writer().await;
        let mended = document(&bench.offsite);
        assert_ne!(mended.probes[&EpochNumber(1)], probe);
        assert_eq!(mended, document(&bench.primary));
        assert_eq!(mended.epochs, whole.epochs, "no epoch begins for a probe");
    }
}

#[tokio::test]
async fn two_primaries_that_begin_an_epoch_at_once_are_called_a_dispute_and_no_damage() {
    let ours = Bench { keys: role("near", "far-away"), ..Bench::new() };
    ours.writer().await;
    let theirs = Bench { primary: MemoryStore::new(), keys: role("nearer", "far-away"), ..ours.clone() };
    let before = ours.offsite.bytes(ROOT).unwrap();
    theirs.writer().await;
    let theirs_epoch = theirs.offsite.bytes(ROOT).unwrap();
    ours.offsite.replace(ROOT, before);
    let later = now() + EPOCH_AGE;
    ours.repository().await.begin_writing(later).await.unwrap();
    ours.offsite.replace(ROOT, theirs_epoch);
    let refused = ours.open_or_create().await.err().unwrap();
    assert!(matches!(refused, VaultError::Disputed { epoch: EpochNumber(2) }), "{refused:?}");
    let hint = refused.advice().hint;
    assert!(hint.contains("two installations") && !hint.contains("lifeboat verify"), "{hint}");
}

/// A role that may seal chunks but no probe must still back up, also on the first day.
#[tokio::test]
async fn a_repository_begins_also_when_no_probe_can_be_sealed() {
    let bench = Bench::new();
    let bench = Bench { keys: Arc::new(NoProbes(bench.keys.clone())), ..bench };
    back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
    assert!(document(&bench.primary).probes.is_empty());
    let bench = Bench { keys: raw_keys(&["near", "far-away"]), ..bench };
    bench.writer().await;
    assert_eq!(document(&bench.offsite).probes.len(), 1);
}

struct NoProbes(Arc<dyn DataKeys>);

#[async_trait]
impl DataKeys for NoProbes {
    async fn generate(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        match context.get("lifeboat-purpose") {
            Some("doctor") => Err(DataKeyError::no_usable_key(0, Vec::new())),
            _ => self.0.generate(context).await,
        }
    }

    async fn decrypt(&self, context: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        self.0.decrypt(context, keys).await
    }

    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        self.0.entry_of_each(keys)
    }
}
