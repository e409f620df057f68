//! Somebody who may write to one site, knows the format, and has no key of ours.

use lifeboat_bench::{Fault, MemoryStore, Operation, Refusal, Rule};
use lifeboat_model::{EpochNumber, PublicKey, RepositoryDocument, Site};
use lifeboat_vault::{Listed, ObjectState, Repository, VaultError, manifest_key, sha256};

use lifeboat_bench::{Bench, assert_restores, back_up, backup_id, database};

const ROOT: &str = "repository.json";

fn document(store: &MemoryStore) -> RepositoryDocument {
    let stored: serde_json::Value = serde_json::from_slice(&store.bytes(ROOT).unwrap()).unwrap();
    serde_json::from_value(stored["repository"].clone()).unwrap()
}

/// Puts a document with a right checksum at the root.
fn forge_document(store: &MemoryStore, document: &RepositoryDocument) {
    let text = serde_json::to_string(document).unwrap();
    let sum = sha256(text.as_bytes());
    store.replace(ROOT, format!(r#"{{"sha256":"{sum}","repository":{text}}}"#));
}

/// A backup of the forger's own making: whole, and signed with a key of his.
async fn forged(number: u32) -> Bench {
    let theirs = Bench::new();
    back_up(&theirs.repository().await, &backup_id(number), None).await.unwrap();
    theirs
}

fn plant(theirs: &Bench, store: &MemoryStore) {
    for prefix in ["backups/", "chunks/"] {
        for key in theirs.primary.keys(prefix) {
            store.replace(&key, theirs.primary.bytes(&key).unwrap());
        }
    }
}

fn everything_of(store: &MemoryStore) -> Vec<(String, Vec<u8>)> {
    store.keys("").into_iter().map(|key| (key.clone(), store.bytes(&key).unwrap().to_vec())).collect()
}

async fn verifier(bench: &Bench) -> Repository {
    // Healing needs no key of any site.
    Repository::open_to_verify(bench.sites(), lifeboat_bench::raw_keys(&["stranger"])).await.unwrap()
}

#[tokio::test]
async fn a_whole_forged_backup_in_a_genuine_ones_place_is_healed_away_and_never_spread() {
    for site in [Site::Primary, Site::Offsite] {
        let bench = Bench::new();
        back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
        let genuine = everything_of(bench.memory(site.other()));
        plant(&forged(1).await, bench.memory(site));

        let verifier = verifier(&bench).await;
        let listed = Listed::manifest(&database(), &backup_id(1));
        let state = verifier.inspect(site, &listed).await.unwrap();
        assert!(matches!(state, ObjectState::Checksum { .. }), "{state}");
        let refused = verifier.manifest(&database(), &backup_id(1), site).await.unwrap_err();
        assert!(matches!(refused, VaultError::ManifestForged { .. }), "{refused:?}");
        for heal in [site.other(), site] {
            verifier.heal(heal, &listed).await.unwrap();
        }
        let manifest = verifier.manifest(&database(), &backup_id(1), site).await.unwrap();
        for part in Listed::chunk_list(&manifest) {
            verifier.heal(site, &part).await.unwrap();
        }
        assert_eq!(everything_of(bench.memory(site.other())), genuine);
        assert_restores(&bench.repository().await, &backup_id(1), site).await;
    }
}

#[tokio::test]
async fn a_forged_backup_under_a_new_id_is_not_carried_over_as_missing() {
    let bench = Bench::new();
    back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
    plant(&forged(2).await, &bench.primary);
    let before = everything_of(&bench.offsite);
    let listed = Listed::manifest(&database(), &backup_id(2));
    let verifier = verifier(&bench).await;
    for site in [Site::Primary, Site::Offsite] {
        let refused = verifier.heal(site, &listed).await.unwrap_err();
        assert!(matches!(refused, VaultError::NotHealed { .. }), "{refused:?}");
    }
    assert_eq!(everything_of(&bench.offsite), before);
}

#[tokio::test]
async fn nothing_of_an_epoch_that_the_sites_disagree_on_is_followed_or_healed() {
    for site in [Site::Primary, Site::Offsite] {
        let bench = Bench::new();
        back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
        let theirs = forged(1).await;
        let chunk = {
            let repository = bench.repository().await;
            let manifest = repository.manifest(&database(), &backup_id(1), site).await.unwrap();
            let entry = repository.chunk_entries(&manifest, site).unwrap().next().await.unwrap().unwrap();
            Listed::chunk(&entry.chunk.unwrap())
        };
        plant(&theirs, bench.memory(site));
        // The forger publishes his own key where he can.
        let mut altered = document(bench.memory(site));
        altered.epochs[0].public_key = document(&theirs.primary).epochs[0].public_key;
        forge_document(bench.memory(site), &altered);
        bench.memory(site).remove(chunk.key());

        let before = [everything_of(&bench.primary), everything_of(&bench.offsite)];
        assert!(Repository::open(bench.sites(), bench.keys.clone()).await.is_err());
        let verifier = verifier(&bench).await;
        assert_eq!(verifier.disputed_epochs(), [EpochNumber(1)]);
        for listed in [Listed::repository(), Listed::manifest(&database(), &backup_id(1)), chunk.clone()] {
            for heal in [Site::Primary, Site::Offsite] {
                let healed = verifier.heal(heal, &listed).await;
                let left_alone = healed.is_ok() && verifier.inspect(heal, &listed).await.unwrap().is_sound();
                assert!(left_alone || matches!(healed, Err(VaultError::NotHealed { .. })), "{}", listed.key());
            }
        }
        for read in [Site::Primary, Site::Offsite] {
            let refused = verifier.manifest(&database(), &backup_id(1), read).await.unwrap_err();
            assert!(matches!(refused, VaultError::Disputed { epoch: EpochNumber(1) }), "{refused:?}");
        }
        assert_eq!([everything_of(&bench.primary), everything_of(&bench.offsite)], before);
    }
}

#[tokio::test]
async fn an_epoch_that_one_site_alone_publishes_vouches_for_nothing() {
    let bench = Bench::new();
    back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
    let theirs = Bench::new();
    theirs.repository().await;
    let later = lifeboat_bench::now() + jiff::SignedDuration::from_hours(91 * 24);
    let repository = theirs.repository().await;
    let writer = repository.begin_writing(later).await.unwrap();
    assert_eq!(writer.epoch(), EpochNumber(2));
    let list = repository.chunk_list(&database(), &backup_id(2)).unwrap().finish().await.unwrap();
    let manifest = lifeboat_bench::manifest(&backup_id(2), writer.epoch(), list);
    repository.publish(&manifest, writer.chunk_key()).await.unwrap();

    let mut longer = document(&bench.primary);
    longer.epochs.push(document(&theirs.primary).epochs[1].clone());
    forge_document(&bench.primary, &longer);
    plant(&theirs, &bench.primary);
    let before = everything_of(&bench.offsite);
    let verifier = verifier(&bench).await;
    let refused = verifier.manifest(&database(), &backup_id(2), Site::Primary).await.unwrap_err();
    assert!(matches!(refused, VaultError::Disputed { .. }), "{refused:?}");
    verifier.heal(Site::Offsite, &Listed::manifest(&database(), &backup_id(2))).await.unwrap_err();
    assert_eq!(everything_of(&bench.offsite), before);
    // The genuine backup is none the worse for it.
    verifier.manifest(&database(), &backup_id(1), Site::Offsite).await.unwrap();
}

#[tokio::test]
async fn nothing_is_healed_while_one_sites_document_cannot_be_read_and_everything_is_looked_at() {
    let bench = Bench::new();
    back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
    let key = manifest_key(&database(), &backup_id(1));
    bench.offsite.flip_bit(&key, 50, 1);
    // The second of the two sites' documents.
    bench.script.clear();
    bench.script.add(Rule::always(Fault::Reject(Refusal::Denied)).on(Operation::Get).under(ROOT).only_nth(2));
    let verifier = verifier(&bench).await;
    verifier.manifest(&database(), &backup_id(1), Site::Primary).await.unwrap();
    let listed = Listed::manifest(&database(), &backup_id(1));
    let refused = verifier.heal(Site::Offsite, &listed).await.unwrap_err();
    assert!(matches!(refused, VaultError::NotHealed { reason, .. } if reason.contains("must agree")), "{refused:?}");
    bench.script.clear();
    self::verifier(&bench).await.heal(Site::Offsite, &listed).await.unwrap();
}

#[tokio::test]
async fn a_holder_of_the_keys_needs_no_published_key() {
    let bench = Bench::new();
    back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
    for store in [&bench.primary, &bench.offsite] {
        let mut altered = document(store);
        altered.epochs[0].public_key = PublicKey([9; 32]);
        forge_document(store, &altered);
    }
    let repository = Repository::open(bench.sites(), bench.keys.clone()).await.unwrap();
    assert_restores(&repository, &backup_id(1), Site::Primary).await;
    let refused = repository.manifest(&database(), &backup_id(1), Site::Primary).await.unwrap_err();
    assert!(matches!(refused, VaultError::ManifestForged { .. }), "{refused:?}");
    // A backup that no verification could ever call sound is not begun.
    let refused = repository.begin_writing(lifeboat_bench::now()).await.err().unwrap();
    assert!(matches!(refused, VaultError::Damaged { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_document_at_the_root_is_never_replaced_by_one_with_fewer_epochs_nor_a_newer_format_by_any() {
    let bench = Bench::new();
    bench.repository().await;
    let short = bench.offsite.bytes(ROOT).unwrap();
    let later = lifeboat_bench::now() + jiff::SignedDuration::from_hours(91 * 24);
    bench.repository().await.begin_writing(later).await.unwrap();
    let listed = Listed::repository();

    // The longer one is damaged, so that it still reads as two epochs; the other site was set back to one.
    let whole = bench.primary.bytes(ROOT).unwrap();
    let text = String::from_utf8(whole.to_vec()).unwrap();
    bench.primary.replace(ROOT, text.replacen(r#""created_at":"2026"#, r#""created_at":"2027"#, 1));
    bench.offsite.replace(ROOT, short);
    let before = bench.primary.bytes(ROOT);
    let refused = verifier(&bench).await.heal(Site::Primary, &listed).await.unwrap_err();
    assert!(matches!(refused, VaultError::NotHealed { reason, .. } if reason.contains("fewer")), "{refused:?}");
    assert_eq!(bench.primary.bytes(ROOT), before);

    bench.primary.replace(ROOT, whole.clone());
    bench.offsite.replace(ROOT, whole);
    let verifier = verifier(&bench).await;
    let mut newer = document(&bench.primary);
    newer.format = 99;
    forge_document(&bench.primary, &newer);
    let before = bench.primary.bytes(ROOT);
    let state = verifier.inspect(Site::Primary, &listed).await.unwrap();
    assert!(matches!(state, ObjectState::Newer { found: 99, .. }), "{state}");
    verifier.heal(Site::Primary, &listed).await.unwrap_err();
    assert_eq!(bench.primary.bytes(ROOT), before);
}
