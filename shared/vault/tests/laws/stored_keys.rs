//! The key of each site is tried on what is stored there, of the newest epoch and of the oldest in use.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::{SignedDuration, Timestamp};
use lifeboat_bench::{Bench, MemoryStore, RoleKeys, database, manifest, now, raw_keys};
use lifeboat_model::{BackupId, Diagnosis, Site, Verdict};
use lifeboat_seal::{DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey, Header};
use lifeboat_vault::{
    DefaultLock, LEAST_LOCK_DAYS, Protection, Repository, Sites, check_stored_keys, judge_protection,
};

use crate::epochs::{document, role, set_document};

const ROOT: &str = "repository.json";
const BOTH: [Site; 2] = [Site::Primary, Site::Offsite];

/// An empty backup that began at this moment.
async fn back_up_at(bench: &Bench, at: Timestamp) {
    let repository = Repository::open_or_create(bench.sites(), bench.keys.clone(), at).await.unwrap();
    let writer = repository.begin_writing(at).await.unwrap();
    let id = BackupId::new(at, 1);
    let list = repository.chunk_list(&database(), &id).unwrap().finish().await.unwrap();
    repository.publish(&manifest(&id, writer.epoch(), list), writer.chunk_key()).await.unwrap();
}

/// What is said of the key of a site, by a reader with these keys.
async fn checked(bench: &Bench, site: Site, keys: Arc<dyn DataKeys>) -> Vec<Diagnosis> {
    let store = Some(bench.store(site));
    let sites = if site == Site::Primary { Sites::new(store, None) } else { Sites::new(None, store) };
    let checks = check_stored_keys(&Repository::open(sites, keys).await.unwrap(), site, &BOTH).await.unwrap();
    for check in &checks {
        assert_eq!((check.site, check.hint.is_none()), (Some(site), check.verdict == Verdict::Ok), "{check:?}");
    }
    checks
}

fn verdicts(checks: &[Diagnosis]) -> Vec<(&str, Verdict)> {
    checks.iter().map(|check| (check.check.as_str(), check.verdict)).collect()
}

fn in_days(days: i64) -> Timestamp {
    now() + SignedDuration::from_hours(24 * days)
}

#[tokio::test]
async fn each_key_must_open_alone_what_its_site_stores_and_one_that_does_not_is_named_with_the_epoch() {
    let bench = Bench::new();
    back_up_at(&bench, now()).await;
    back_up_at(&bench, in_days(91)).await;
    for site in BOTH {
        let checks = checked(&bench, site, bench.keys.clone()).await;
        let names = [1, 2].map(|epoch| format!("{site} key of epoch {epoch:04}"));
        let all = [(names[0].as_str(), Verdict::Ok), (names[1].as_str(), Verdict::Ok)];
        assert_eq!(verdicts(&checks), all);
        assert!(checks.iter().all(|check| check.seen.contains("opens what it sealed")), "{checks:?}");
    }
    let error = DataKeyError::Disabled {
        key: "arn:far-away".to_owned(),
        source: Arc::new(std::io::Error::other("DisabledException")),
    };
    let disabled = Arc::new(RoleKeys { seals: bench.keys.clone(), opens: Err(error) });
    for check in checked(&bench, Site::Offsite, disabled).await {
        assert_eq!(check.verdict, Verdict::Failed);
        assert!(check.seen.contains("`arn:far-away`"), "{check:?}");
    }
    // A key that only the other site has opens nothing here: each is tried alone.
    let near_only = Arc::new(RoleKeys { seals: bench.keys.clone(), opens: Ok(raw_keys(&["near"])) });
    let [primary, offsite] =
        [checked(&bench, Site::Primary, near_only.clone()).await, checked(&bench, Site::Offsite, near_only).await];
    assert!(primary.iter().all(|check| check.verdict == Verdict::Ok), "{primary:?}");
    assert!(offsite.iter().all(|check| check.verdict == Verdict::Failed), "{offsite:?}");
}

#[tokio::test]
async fn a_replaced_key_is_a_warning_for_as_long_as_the_site_has_backups_of_the_old_one() {
    let old = Bench { keys: role("near", "far-away"), ..Bench::new() };
    back_up_at(&old, now()).await;
    let new = Bench { primary: MemoryStore::new(), keys: role("nearer", "far-away"), ..old.clone() };
    back_up_at(&new, in_days(1)).await;
    let health = raw_keys(&["nearer", "far-away"]);
    let primary = checked(&new, Site::Primary, health.clone()).await;
    assert_eq!(verdicts(&primary), [("primary key of epoch 0002", Verdict::Ok)], "it has no older backup");
    let both_epochs = [("offsite key of epoch 0001", Verdict::Ok), ("offsite key of epoch 0002", Verdict::Ok)];
    assert_eq!(verdicts(&checked(&new, Site::Offsite, health.clone()).await), both_epochs);

    // The same keys over the old bucket, as when only the key was replaced.
    for key in old.primary.keys("backups/") {
        new.primary.replace(&key, old.primary.bytes(&key).unwrap());
    }
    let primary = checked(&new, Site::Primary, health).await;
    assert_eq!(primary[0].verdict, Verdict::Warn);
    assert!(primary[0].seen.contains("not under the configured key"), "{primary:?}");
    assert_eq!(primary[1].verdict, Verdict::Ok);
}

#[tokio::test]
async fn a_repository_of_an_earlier_version_is_no_fault_and_gets_its_probes_with_the_next_backup() {
    let bench = Bench::new();
    back_up_at(&bench, now()).await;
    back_up_at(&bench, in_days(91)).await;
    for site in BOTH {
        let mut earlier = document(bench.memory(site));
        assert_eq!(earlier.probes.len(), 2, "an epoch begins with its probe");
        earlier.probes.clear();
        set_document(bench.memory(site), &earlier);
    }
    let checks = checked(&bench, Site::Primary, bench.keys.clone()).await;
    assert!(checks.len() == 2 && checks.iter().all(|check| check.verdict == Verdict::Ok), "{checks:?}");
    assert!(checks[0].seen.contains("the next backup stores a probe"), "{checks:?}");
    back_up_at(&bench, in_days(92)).await;
    assert_eq!(bench.primary.bytes(ROOT), bench.offsite.bytes(ROOT));
    assert_eq!(document(&bench.primary).epochs.len(), 2);
    for site in BOTH {
        let checks = checked(&bench, site, bench.keys.clone()).await;
        assert!(checks.iter().all(|check| check.seen.contains("opens what it sealed")), "{checks:?}");
    }
}

#[tokio::test]
async fn the_epoch_of_the_only_old_backup_is_tried_also_when_the_next_one_began_soon_after_it() {
    let bench = Bench::new();
    for (at, days) in [(now(), 0), (in_days(90) - SignedDuration::from_mins(5), 90), (in_days(90), 90)] {
        back_up_at(&bench, at).await;
        assert!(days == 90 || document(&bench.primary).epochs.len() == 1);
    }
    // The first backup is gone: the oldest one is of the first epoch, and began minutes before the second.
    for site in BOTH {
        for key in bench.memory(site).keys("backups/clinic/2026-11-21") {
            bench.memory(site).remove(&key);
        }
        let checks = checked(&bench, site, bench.keys.clone()).await;
        let names = [1, 2].map(|epoch| format!("{site} key of epoch {epoch:04}"));
        assert_eq!(verdicts(&checks), [(names[0].as_str(), Verdict::Ok), (names[1].as_str(), Verdict::Ok)]);
    }
}

#[tokio::test]
async fn an_epoch_that_began_while_the_oldest_backup_ran_is_tried_too() {
    let bench = Bench::new();
    back_up_at(&bench, now()).await;
    // It began in the first epoch, and may have been stored in the second one.
    back_up_at(&bench, in_days(90) - SignedDuration::from_mins(5)).await;
    for days in [90, 180] {
        back_up_at(&bench, in_days(days)).await;
    }
    for key in bench.primary.keys("backups/clinic/2026-11-21") {
        bench.primary.remove(&key);
    }
    let checks = checked(&bench, Site::Primary, bench.keys.clone()).await;
    let names = [1, 2, 3].map(|epoch| format!("primary key of epoch {epoch:04}"));
    assert_eq!(verdicts(&checks), names.each_ref().map(|name| (name.as_str(), Verdict::Ok)));
}

#[tokio::test]
async fn no_probe_is_promised_to_an_epoch_that_never_gets_one() {
    let old = Bench { keys: role("near", "far-away"), ..Bench::new() };
    back_up_at(&old, now()).await;
    for site in BOTH {
        let mut earlier = document(old.memory(site));
        earlier.probes.clear();
        set_document(old.memory(site), &earlier);
    }
    let new = Bench { primary: MemoryStore::new(), keys: role("nearer", "far-away"), ..old.clone() };
    back_up_at(&new, in_days(1)).await;
    let checks = checked(&new, Site::Offsite, raw_keys(&["nearer", "far-away"])).await;
    assert_eq!(checks[0].verdict, Verdict::Warn);
    assert!(checks[0].seen.contains("the epoch has no probe"), "{checks:?}");
    let hint = checks[0].hint.as_ref().unwrap();
    let drill = format!("`lifeboat drill --database clinic --site offsite --backup {}`", BackupId::new(now(), 1));
    assert!(hint.contains(&drill), "{hint}");
    let accept = "`lifeboat incidents ack key-unusable/offsite --object \"offsite key of epoch 0001\" --reason REASON`";
    assert!(hint.contains(accept), "{hint}");
}

/// Anybody who may write to `repository.json` may change a probe, and a backup brings it to both sites. The key is not to blame.
#[tokio::test]
async fn a_probe_that_was_changed_is_suspected_as_well_as_the_key() {
    let bench = Bench::new();
    back_up_at(&bench, now()).await;
    let sound = document(&bench.primary);
    let number = sound.epochs[0].number;
    let message = BASE64.decode(&sound.probes[&number]).unwrap();
    let sealed = Header::parse(&message).unwrap().unwrap().data_keys()[0].ciphertext.clone();
    let at = message.windows(sealed.len()).position(|window| window == sealed).unwrap();
    // A byte of the encrypted data key, and one of the sealed body.
    for place in [at, message.len() - 20] {
        let mut forged = message.clone();
        forged[place] ^= 1;
        let mut changed = sound.clone();
        changed.probes.insert(number, BASE64.encode(forged));
        set_document(&bench.primary, &changed);
        back_up_at(&bench, now() + SignedDuration::from_hours(1)).await;
        assert_eq!(document(&bench.offsite).probes, changed.probes, "a backup spreads it");
        let checks = checked(&bench, Site::Primary, bench.keys.clone()).await;
        assert_eq!(checks[0].verdict, Verdict::Failed);
        assert!(checks[0].seen.contains("the probe in `repository.json` does not open"), "{checks:?}");
        let hint = checks[0].hint.as_ref().unwrap();
        for said in ["somebody with access to a bucket changed the probe", "--site primary --backup", "key-unusable.md"]
        {
            assert!(hint.contains(said), "{hint}");
        }
        BOTH.iter().for_each(|site| set_document(bench.memory(*site), &sound));
    }
}

#[tokio::test]
async fn a_damaged_probe_is_named_with_what_mends_it() {
    let bench = Bench::new();
    back_up_at(&bench, now()).await;
    let mut damaged = document(&bench.primary);
    damaged.probes.insert(damaged.epochs[0].number, "no message".to_owned());
    BOTH.iter().for_each(|site| set_document(bench.memory(*site), &damaged));
    let checks = checked(&bench, Site::Offsite, bench.keys.clone()).await;
    assert_eq!(checks[0].verdict, Verdict::Failed);
    assert!(checks[0].hint.as_ref().unwrap().contains("run a backup"), "{checks:?}");
    back_up_at(&bench, in_days(1)).await;
    let checks = checked(&bench, Site::Offsite, bench.keys.clone()).await;
    assert!(checks[0].seen.contains("opens what it sealed"), "{checks:?}");
}

/// The header of a sealed key is not authenticated, and an alert repeats the names in it.
#[tokio::test]
async fn only_a_few_short_names_of_keys_are_repeated() {
    let mut names: Vec<String> = (1..=5).map(|number| format!("arn:{number}")).collect();
    names.extend(["x".repeat(201), "arn:\u{1b}[2J".to_owned()]);
    let bench = Bench { keys: Arc::new(Named(names)), ..Bench::new() };
    back_up_at(&bench, now()).await;
    let checks = checked(&bench, Site::Offsite, raw_keys(&["near", "far-away"])).await;
    assert_eq!(checks[0].verdict, Verdict::Warn);
    let named =
        "its backups are sealed under `arn:1` and `arn:2` and `arn:3` and `arn:4`, and not under the configured key";
    assert_eq!(checks[0].seen, named);
}

/// Keys whose names are plain text in the header, as those of KMS are. They keep nothing secret.
struct Named(Vec<String>);

#[async_trait]
impl DataKeys for Named {
    async fn generate(&self, _: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        let key = DataKey::generate()?;
        let entry = |name: &String| EncryptedDataKey {
            provider: "aws-kms".to_owned(),
            info: name.clone().into_bytes(),
            ciphertext: key.expose_bytes().to_vec(),
        };
        Ok(GeneratedDataKey { encrypted: self.0.iter().map(entry).collect(), key })
    }

    async fn decrypt(&self, _: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        DataKey::from_slice(&keys[0].ciphertext)
    }

    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        self.0.iter().map(|name| keys.iter().find(|entry| entry.info_text() == Some(name))).collect()
    }
}

#[tokio::test]
async fn a_lock_shorter_than_an_epoch_and_two_weeks_is_a_warning_and_so_is_none() {
    let locked = |days| {
        let lock = Some(DefaultLock { mode: "COMPLIANCE".to_owned(), days });
        judge_protection(Site::Offsite, &Ok(Protection { versioned: true, lock }))
    };
    assert_eq!(locked(LEAST_LOCK_DAYS).verdict, Verdict::Ok);
    let short = locked(LEAST_LOCK_DAYS - 1);
    assert_eq!((short.verdict, short.site), (Verdict::Warn, Some(Site::Offsite)));
    assert!(short.seen.contains("COMPLIANCE for 110 days") && short.hint.unwrap().contains("111"), "{}", short.seen);
    for versioned in [true, false] {
        let judged = judge_protection(Site::Primary, &Ok(Protection { versioned, lock: None }));
        assert_eq!(judged.verdict, Verdict::Warn);
        assert!(judged.seen.contains("locked"), "{judged:?}");
    }
}
