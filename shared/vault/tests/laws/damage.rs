use lifeboat_bench::{Fault, Gate, Operation, Refusal, Rule};
use lifeboat_model::{ChunkId, EpochNumber, Site};
use lifeboat_vault::{Listed, ObjectState, Repository, VaultError};

use lifeboat_bench::{Bench, back_up, backup_id, database, everything};

async fn backed_up() -> (Bench, Repository) {
    let bench = Bench::new();
    let repository = bench.repository().await;
    back_up(&repository, &backup_id(1), None).await.unwrap();
    (bench, repository)
}

#[tokio::test]
async fn every_bit_of_a_manifest_and_of_the_repository_document_counts() {
    let (bench, repository) = backed_up().await;
    for listed in [Listed::manifest(&database(), &backup_id(1)), Listed::repository()] {
        let len = bench.primary.bytes(listed.key()).unwrap().len();
        for offset in 0..len {
            for bit in 0..8 {
                assert!(bench.primary.flip_bit(listed.key(), offset, bit));
                assert!(
                    !repository.inspect(Site::Primary, &listed).await.unwrap().is_sound(),
                    "byte {offset} bit {bit}"
                );
                assert!(bench.primary.flip_bit(listed.key(), offset, bit));
            }
        }
        assert!(repository.inspect(Site::Primary, &listed).await.unwrap().is_sound());
    }
}

#[tokio::test]
async fn a_lost_and_a_cut_and_an_unreadable_object_are_each_called_what_they_are() {
    let (bench, repository) = backed_up().await;
    let chunk = everything(&repository, &backup_id(1), Site::Primary).await.pop().unwrap();
    assert!(bench.primary.truncate(chunk.key(), 10));
    let state = repository.inspect(Site::Primary, &chunk).await.unwrap();
    assert!(matches!(state, ObjectState::Size { actual_bytes: 10, .. }), "{state}");
    repository.heal(Site::Primary, &chunk).await.unwrap();

    bench.primary.replace(chunk.key(), vec![0; 1 << 20]);
    let state = repository.inspect(Site::Primary, &chunk).await.unwrap();
    assert!(matches!(state, ObjectState::Size { actual_bytes: 1_048_576, .. }), "{state}");
    repository.heal(Site::Primary, &chunk).await.unwrap();

    assert!(bench.primary.remove(chunk.key()));
    assert!(matches!(repository.inspect(Site::Primary, &chunk).await.unwrap(), ObjectState::Missing));
    repository.heal(Site::Primary, &chunk).await.unwrap();

    bench.script.add(Rule::always(Fault::Reject(Refusal::Denied)).on(Operation::Measure));
    assert!(matches!(repository.inspect(Site::Primary, &chunk).await.unwrap(), ObjectState::Unreadable { .. }));
    bench.script.clear();
    assert!(repository.inspect(Site::Primary, &chunk).await.unwrap().is_sound());
}

#[tokio::test]
async fn damage_on_both_sites_is_never_called_healed_and_never_spread() {
    let (bench, repository) = backed_up().await;
    for listed in everything(&repository, &backup_id(1), Site::Primary).await {
        let bytes = |site: Site| bench.memory(site).bytes(listed.key()).unwrap();
        bench.primary.flip_bit(listed.key(), 3, 1);
        bench.offsite.flip_bit(listed.key(), 5, 2);
        let before = [bytes(Site::Primary), bytes(Site::Offsite)];
        for site in [Site::Primary, Site::Offsite] {
            let refused = repository.heal(site, &listed).await.unwrap_err();
            assert!(matches!(refused, VaultError::NotHealed { .. }), "{refused:?}");
        }
        assert_eq!([bytes(Site::Primary), bytes(Site::Offsite)], before);
    }
}

#[tokio::test]
async fn healing_leaves_a_sound_object_sound_when_others_heal_it_too() {
    let (bench, repository) = backed_up().await;
    let listed = everything(&repository, &backup_id(1), Site::Primary).await.pop().unwrap();
    bench.primary.flip_bit(listed.key(), 0, 0);
    let healers = (0..8).map(|_| repository.heal(Site::Primary, &listed));
    for healed in futures_util::future::join_all(healers).await {
        healed.unwrap();
    }
    assert_eq!(bench.primary.bytes(listed.key()), bench.offsite.bytes(listed.key()));
}

#[tokio::test]
async fn a_healed_chunk_keeps_its_mark_and_is_reused() {
    let (bench, repository) = backed_up().await;
    for listed in everything(&repository, &backup_id(1), Site::Primary).await {
        bench.primary.flip_bit(listed.key(), 0, 0);
        repository.heal(Site::Primary, &listed).await.unwrap();
    }
    bench.script.clear();
    let second = back_up(&repository, &backup_id(2), None).await.unwrap();
    assert_eq!(second.totals.new_chunks, 0);
    let opened = |(operation, key): &(Operation, String)| *operation == Operation::Get && key.starts_with("chunks/");
    assert!(!bench.script.log().iter().any(opened), "a mark spares the reading");
}

#[tokio::test]
async fn every_stored_chunk_of_an_epoch_is_seen_page_by_page() {
    let (bench, repository) = backed_up().await;
    for i in 0..1500_u16 {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&i.to_be_bytes());
        bench.primary.replace(&lifeboat_vault::chunk_key(EpochNumber(1), &ChunkId(id)), "unlisted");
    }
    // A page and more of keys that are no chunk's, in the middle.
    for i in 0..1200 {
        bench.primary.replace(&format!("chunks/0001/01/foreign-{i:04}"), "put here by somebody else");
    }
    bench.primary.replace("chunks/0002/00/foreign", "of another epoch");
    let mut seen: Vec<ChunkId> = Vec::new();
    let mut from: Option<String> = None;
    loop {
        let page = repository.stored_chunks(Site::Primary, EpochNumber(1), from.as_deref()).await.unwrap();
        seen.extend(page.ids);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 1504);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn an_object_that_is_sound_by_now_is_not_written_again() {
    let (bench, repository) = backed_up().await;
    for listed in everything(&repository, &backup_id(1), Site::Primary).await {
        bench.script.clear();
        repository.heal(Site::Primary, &listed).await.unwrap();
        assert!(bench.script.log().iter().all(|(operation, _)| *operation != Operation::Put), "{}", listed.key());
    }
}

#[tokio::test]
async fn what_was_put_in_a_damaged_objects_place_after_it_was_judged_is_not_written_over() {
    let (bench, repository) = backed_up().await;
    let listed = everything(&repository, &backup_id(1), Site::Primary).await.pop().unwrap();
    let sound = bench.primary.bytes(listed.key()).unwrap();
    for (put_there, healed) in [(sound, true), ("something else".into(), false)] {
        bench.primary.flip_bit(listed.key(), 0, 0);
        bench.script.clear();
        let gate = Gate::new();
        bench.script.add(Rule::always(Fault::Hold(gate.clone())).on(Operation::Put));
        let meanwhile = async {
            gate.arrival().await;
            bench.primary.replace(listed.key(), put_there.clone());
            gate.open();
        };
        let (answer, ()) = futures_util::future::join(repository.heal(Site::Primary, &listed), meanwhile).await;
        assert_eq!(answer.is_ok(), healed, "{answer:?}");
        assert_eq!(bench.primary.bytes(listed.key()).unwrap(), put_there);
    }
}
