use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use lifeboat_bench::{Fault, Gate, Operation, Refusal, Rule};
use lifeboat_model::{ChunkId, Finding, FindingKind, Manifest, Origin, Site, StoredChunk};
use lifeboat_seal::{
    DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey, SealError,
};
use lifeboat_vault::{
    CHUNK_LIMIT_BYTES, Listed, NewObject, ObjectStore, PutCondition, Repository, Scratch, Sites, StoreError,
    VaultError, WriteOptions, chunk_key,
};
use proptest::prelude::*;

use lifeboat_bench::{Bench, back_up, backup_id, database, noise, now, plaintexts, raw_keys};

async fn read(repository: &Repository, site: Site, chunk: &StoredChunk) -> Result<Vec<u8>, VaultError> {
    let mut out = b"left over".to_vec();
    let read = repository.reader(site)?.read(chunk, &mut out).await;
    assert!(read.is_ok() || out.is_empty(), "a failed read left bytes behind");
    read.map(|()| out)
}

#[tokio::test]
async fn a_chunk_reads_back_from_either_site_alone() {
    let bench = Bench::new();
    let writer = bench.writer().await;
    let mut scratch = Scratch::new().unwrap();
    for plaintext in plaintexts() {
        let chunk = writer.store(&plaintext, &mut scratch).await.unwrap();
        for site in [Site::Primary, Site::Offsite] {
            let mut stores = [None, None];
            stores[usize::from(site == Site::Offsite)] = Some(bench.store(site));
            let [primary, offsite] = stores;
            let key = if site == Site::Primary { "near" } else { "far-away" };
            let alone = Repository::open(Sites::new(primary, offsite), raw_keys(&[key])).await.unwrap();
            assert_eq!(read(&alone, site, &chunk).await.unwrap(), plaintext);
            assert!(matches!(alone.reader(site.other()), Err(VaultError::NoSite { .. })));
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_and_comes_again_is_read_as_if_it_had_come_once() {
    let bench = Bench::new();
    // Several frames, and not a whole number of them.
    let plaintext = noise(3, 300_000);
    let chunk = bench.writer().await.store(&plaintext, &mut Scratch::new().unwrap()).await.unwrap();
    let (repository, key) = (bench.repository().await, chunk_key(chunk.epoch, &chunk.id));
    let listed = Listed::chunk(&chunk);
    bench.script.add(Rule::always(Fault::BrokenOff));
    assert!(read(&repository, Site::Primary, &chunk).await.unwrap() == plaintext);
    assert!(repository.inspect(Site::Primary, &listed).await.unwrap().is_sound());
    // In its last frame: all the others have been opened by then.
    assert!(bench.primary.flip_bit(&key, chunk.stored_bytes as usize - 1, 0));
    let spoiled = StoredChunk { sha256: lifeboat_vault::sha256(&bench.primary.bytes(&key).unwrap()), ..chunk.clone() };
    let refused = read(&repository, Site::Primary, &spoiled).await;
    assert!(matches!(refused, Err(VaultError::Open { source: SealError::FrameTag { .. }, .. })), "{refused:?}");
    assert!(!repository.inspect(Site::Primary, &listed).await.unwrap().is_sound());
    assert!(bench.primary.truncate(&key, chunk.stored_bytes as usize - 1));
    let cut = StoredChunk { sha256: lifeboat_vault::sha256(&bench.primary.bytes(&key).unwrap()), ..chunk };
    let refused = read(&repository, Site::Primary, &cut).await;
    assert!(matches!(refused, Err(VaultError::Open { source: SealError::Truncated { .. }, .. })), "{refused:?}");
}

/// A key service that opens the repository's chunk key, and is disabled then.
struct DisabledLater {
    keys: Arc<dyn DataKeys>,
    asked: AtomicU32,
}

#[async_trait]
impl DataKeys for DisabledLater {
    async fn generate(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        self.keys.generate(context).await
    }

    async fn decrypt(&self, context: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        match self.asked.fetch_add(1, Ordering::Relaxed) {
            0 => self.keys.decrypt(context, keys).await,
            _ => Err(DataKeyError::Disabled { key: "near".to_owned(), source: Arc::new(std::io::Error::other("no")) }),
        }
    }

    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        self.keys.entry_of_each(keys)
    }
}

#[tokio::test]
async fn a_chunk_that_cannot_be_opened_for_want_of_a_key_is_not_taken_for_unsound() {
    for fault in [None, Some(Fault::BrokenOff), Some(Fault::FailAfterWrite)] {
        let bench = Bench::new();
        let mut scratch = Scratch::new().unwrap();
        let chunk = bench.writer().await.store(b"content", &mut scratch).await.unwrap();
        let key = chunk_key(chunk.epoch, &chunk.id);
        let body = bench.primary.bytes(&key).unwrap();
        assert!(bench.primary.remove(&key));
        // Without a mark it must be opened before it is reused.
        bench.primary.put(&key, NewObject::new(body.clone()), PutCondition::CreateOnly).await.unwrap();
        let keys = Arc::new(DisabledLater { keys: bench.keys.clone(), asked: AtomicU32::new(0) });
        let repository = Repository::open(bench.sites(), keys.clone()).await.unwrap();
        let writer = repository.begin_writing(now()).await.unwrap();
        if let Some(fault) = fault {
            bench.script.add(Rule::always(fault).on(Operation::Get).under("chunks/"));
        }
        let refused = writer.store(b"content", &mut scratch).await;
        assert!(matches!(refused, Err(VaultError::Open { source: SealError::DataKey(_), .. })), "{refused:?}");
        assert_eq!(bench.primary.bytes(&key), Some(body));
        assert_eq!(keys.asked.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_store_the_same_content_at_once_end_with_one_object() {
    let bench = Bench::new();
    let writer = Arc::new(bench.writer().await);
    let sessions: Vec<_> = (0..8)
        .map(|_| {
            let writer = Arc::clone(&writer);
            tokio::spawn(async move {
                let mut scratch = Scratch::new().unwrap();
                writer.store(&b"the same ".repeat(1000), &mut scratch).await.unwrap()
            })
        })
        .collect();
    let mut chunks = Vec::new();
    for session in sessions {
        chunks.push(session.await.unwrap());
    }
    assert_eq!(chunks.iter().filter(|chunk| !chunk.is_reused()).count(), 1);
    assert!(chunks.iter().all(|chunk| chunk.sha256 == chunks[0].sha256));
    assert_eq!(bench.primary.keys("chunks/").len(), 1);
    assert_eq!(bench.offsite.keys("chunks/").len(), 1);
}

#[tokio::test]
async fn a_remembered_chunk_costs_no_request() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let first = back_up(&repository, &backup_id(1), None).await.unwrap();
    let writer = repository.begin_writing(now()).await.unwrap();
    assert_eq!(writer.remember_backup(&first).await.unwrap(), 5);
    let before = bench.script.requests();
    let mut scratch = Scratch::new().unwrap();
    for plaintext in plaintexts() {
        assert_eq!(writer.store(&plaintext, &mut scratch).await.unwrap().origin, Origin::Listed);
    }
    assert_eq!(bench.script.requests(), before);
}

#[tokio::test]
async fn chunks_beyond_the_limit_of_the_index_are_reused_by_looking() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let first = back_up(&repository, &backup_id(1), None).await.unwrap();
    let options = WriteOptions { known_chunks: 2, ..WriteOptions::default() };
    let writer = repository.begin_writing_with(now(), options).await.unwrap();
    assert_eq!(writer.remember_backup(&first).await.unwrap(), 2);
    let mut scratch = Scratch::new().unwrap();
    let mut origins = Vec::new();
    for plaintext in plaintexts() {
        origins.push(writer.store(&plaintext, &mut scratch).await.unwrap().origin);
    }
    assert_eq!(origins, [Origin::Listed, Origin::Listed, Origin::Found, Origin::Found, Origin::Listed]);
    assert_eq!(bench.primary.keys("chunks/").len(), 4);
}

#[tokio::test]
async fn a_new_epoch_reuses_nothing_and_old_chunks_stay_readable() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let mut scratch = Scratch::new().unwrap();
    let old = repository.begin_writing(now()).await.unwrap().store(b"content", &mut scratch).await.unwrap();
    let later = now() + jiff::SignedDuration::from_hours(91 * 24);
    let writer = repository.begin_writing(later).await.unwrap();
    let new = writer.store(b"content", &mut scratch).await.unwrap();
    assert_eq!((old.epoch.0, new.epoch.0), (1, 2));
    assert!(!new.is_reused());
    assert_ne!(old.id, new.id);
    let fresh = Repository::open(bench.sites(), bench.keys.clone()).await.unwrap();
    for chunk in [&old, &new] {
        assert_eq!(read(&fresh, Site::Offsite, chunk).await.unwrap(), b"content");
    }
    assert_eq!(bench.primary.bytes("repository.json"), bench.offsite.bytes("repository.json"));
}

#[tokio::test]
async fn an_other_site_that_does_not_serve_is_set_aside_and_the_next_run_only_copies() {
    let bench = Bench::new();
    let repository = bench.repository().await;
    let writer = repository.begin_writing(now()).await.unwrap();
    bench.script.add(Rule::always(Fault::Reject(Refusal::Denied)).on(Operation::Copy));
    let mut scratch = Scratch::new().unwrap();
    writer.store(b"content", &mut scratch).await.unwrap();
    let aside = repository.sites().aside().unwrap();
    assert!(
        matches!(**aside, VaultError::Store { site: Site::Offsite, source: StoreError::Denied { .. } }),
        "{aside:?}"
    );
    let on_primary = bench.primary.keys("chunks/");
    assert_eq!((on_primary.len(), bench.offsite.keys("chunks/").len()), (1, 0));
    // It is left alone from then on, and for a while no epoch begins that it would not know.
    let asked = bench.script.requests();
    writer.store(b"content", &mut scratch).await.unwrap();
    assert_eq!(bench.script.requests(), asked);
    let later = now() + lifeboat_vault::EPOCH_AGE;
    assert_eq!(repository.begin_writing(later).await.unwrap().epoch(), writer.epoch());

    bench.script.clear();
    let chunk = bench.writer().await.store(b"content", &mut scratch).await.unwrap();
    assert_eq!(chunk.origin, Origin::Found);
    assert_eq!(bench.offsite.bytes(&on_primary[0]), bench.primary.bytes(&on_primary[0]));
    let puts = bench.script.log().iter().filter(|(operation, _)| *operation == Operation::Put).count();
    assert_eq!(puts, 0, "nothing was sent again");
}

#[tokio::test]
async fn an_object_that_somebody_put_in_a_chunks_place_is_not_reused() {
    let bench = Bench::new();
    let mut scratch = Scratch::new().unwrap();
    let first = bench.writer().await.store(b"content", &mut scratch).await.unwrap();
    let other = bench.writer().await.store(b"other content", &mut scratch).await.unwrap();
    let (key, other_key) = (chunk_key(first.epoch, &first.id), chunk_key(other.epoch, &other.id));
    // A sealed message of this repository, with a valid checksum, but of another content.
    bench.primary.replace(&key, bench.primary.bytes(&other_key).unwrap());
    let again = bench.writer().await.store(b"content", &mut scratch).await.unwrap();
    assert_eq!(again.sha256, first.sha256, "the sound copy of the other site is taken, as older lists name it");
    assert_eq!(bench.primary.bytes(&key), bench.offsite.bytes(&key));
    // And with both sites spoiled, the content is stored anew.
    bench.primary.replace(&key, "rubbish");
    bench.offsite.replace(&key, "other rubbish");
    let anew = bench.writer().await.store(b"content", &mut scratch).await.unwrap();
    assert_eq!(anew.origin, Origin::Stored);
    for site in [Site::Primary, Site::Offsite] {
        assert_eq!(read(&bench.repository().await, site, &anew).await.unwrap(), b"content");
    }
}

#[tokio::test]
async fn sessions_that_meet_the_same_spoiled_object_all_end_with_the_sound_one() {
    let bench = Bench::new();
    let first = bench.writer().await.store(b"content", &mut Scratch::new().unwrap()).await.unwrap();
    let key = chunk_key(first.epoch, &first.id);
    for spoiled in [vec![Site::Primary], vec![Site::Offsite], vec![Site::Primary, Site::Offsite]] {
        for site in &spoiled {
            bench.memory(*site).replace(&key, "rubbish");
        }
        let writer = bench.writer().await;
        let gate = Gate::new();
        bench.script.clear();
        // All have seen the spoiled object before any of them replaces it.
        bench.script.add(Rule::always(Fault::Hold(gate.clone())).on(Operation::Put));
        let sessions = futures_util::future::join_all(
            (0..4).map(|_| async { writer.store(b"content", &mut Scratch::new().unwrap()).await.unwrap() }),
        );
        let release = async {
            for _ in 0..4 {
                gate.arrival().await;
            }
            gate.open();
        };
        let (chunks, ()) = futures_util::future::join(sessions, release).await;
        assert!(chunks.iter().all(|chunk| chunk.sha256 == chunks[0].sha256));
        assert_eq!(bench.primary.bytes(&key), bench.offsite.bytes(&key));
        for site in [Site::Primary, Site::Offsite] {
            assert_eq!(read(&bench.repository().await, site, &chunks[0]).await.unwrap(), b"content");
        }
    }
}

#[tokio::test]
async fn a_chunk_that_lost_its_mark_is_opened_and_reused() {
    let bench = Bench::new();
    let mut scratch = Scratch::new().unwrap();
    let first = bench.writer().await.store(b"content", &mut scratch).await.unwrap();
    let key = chunk_key(first.epoch, &first.id);
    for store in [&bench.primary, &bench.offsite] {
        let body = store.bytes(&key).unwrap();
        store.remove(&key);
        store.put(&key, NewObject::new(body), PutCondition::CreateOnly).await.unwrap();
    }
    let again = bench.writer().await.store(b"content", &mut scratch).await.unwrap();
    assert_eq!((again.origin, again.sha256), (Origin::Found, first.sha256));
}

#[tokio::test]
async fn a_primary_that_lost_a_chunk_takes_the_one_that_the_other_site_kept() {
    let bench = Bench::new();
    let mut scratch = Scratch::new().unwrap();
    let first = bench.writer().await.store(b"content", &mut scratch).await.unwrap();
    let key = chunk_key(first.epoch, &first.id);
    assert!(bench.primary.remove(&key));
    let again = bench.writer().await.store(b"content", &mut scratch).await.unwrap();
    assert_eq!(again.sha256, first.sha256);
    assert_eq!(bench.primary.bytes(&key), bench.offsite.bytes(&key));
}

#[tokio::test]
async fn a_slow_copy_of_one_session_does_not_hold_up_another() {
    let bench = Bench::new();
    let writer = Arc::new(bench.writer().await);
    let gate = Gate::new();
    bench.script.add(Rule::always(Fault::Hold(gate.clone())).on(Operation::Copy).only_nth(1));
    let held = tokio::spawn({
        let writer = Arc::clone(&writer);
        async move { writer.store(b"held", &mut Scratch::new().unwrap()).await }
    });
    gate.arrival().await;
    writer.store(b"free", &mut Scratch::new().unwrap()).await.unwrap();
    assert!(!held.is_finished());
    gate.open();
    held.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_list_that_claims_too_much_gets_no_memory() {
    let bench = Bench::new();
    let mut scratch = Scratch::new().unwrap();
    let chunk = bench.writer().await.store(b"content", &mut scratch).await.unwrap();
    let repository = bench.repository().await;
    for forged in [
        StoredChunk { raw_bytes: CHUNK_LIMIT_BYTES + 1, ..chunk.clone() },
        StoredChunk { stored_bytes: u64::MAX, ..chunk.clone() },
    ] {
        let refused = read(&repository, Site::Primary, &forged).await.unwrap_err();
        assert!(matches!(refused, VaultError::ChunkTooLong { .. }), "{refused:?}");
    }
    for raw_bytes in [0, 6, 8, 1000] {
        let forged = StoredChunk { raw_bytes, ..chunk.clone() };
        let refused = read(&repository, Site::Primary, &forged).await.unwrap_err();
        assert!(matches!(refused, VaultError::WrongContent { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn a_chunk_in_anothers_place_is_refused_even_when_the_list_agrees() {
    let bench = Bench::new();
    let writer = bench.writer().await;
    let mut scratch = Scratch::new().unwrap();
    let one = writer.store(b"one", &mut scratch).await.unwrap();
    let two = writer.store(b"two", &mut scratch).await.unwrap();
    bench.primary.replace(&chunk_key(one.epoch, &one.id), bench.primary.bytes(&chunk_key(two.epoch, &two.id)).unwrap());
    let forged = StoredChunk { id: one.id, ..two };
    let refused = read(&bench.repository().await, Site::Primary, &forged).await.unwrap_err();
    assert!(matches!(refused, VaultError::WrongContent { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_message_of_another_repository_is_foreign() {
    let (ours, theirs) = (Bench::new(), Bench::new());
    let mut scratch = Scratch::new().unwrap();
    let stored = theirs.writer().await.store(b"content", &mut scratch).await.unwrap();
    let repository = ours.repository().await;
    let id = ChunkId([9; 32]);
    let bytes = theirs.primary.bytes(&chunk_key(stored.epoch, &stored.id)).unwrap();
    ours.primary.replace(&chunk_key(stored.epoch, &id), bytes);
    let refused = read(&repository, Site::Primary, &StoredChunk { id, ..stored }).await.unwrap_err();
    assert!(matches!(refused, VaultError::Foreign { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_chunk_that_was_sealed_again_is_read_by_the_lists_of_before_and_taken_for_sound_by_either_sum() {
    let bench = Bench::new();
    let mut scratch = Scratch::new().unwrap();
    let first = bench.writer().await.store(b"content", &mut scratch).await.unwrap();
    let key = chunk_key(first.epoch, &first.id);
    bench.primary.remove(&key);
    bench.offsite.remove(&key);
    let again = bench.writer().await.store(b"content", &mut scratch).await.unwrap();
    assert_eq!(again.id, first.id);
    assert_ne!(again.sha256, first.sha256);
    let repository = bench.repository().await;
    for site in [Site::Primary, Site::Offsite] {
        assert_eq!(read(&repository, site, &first).await.unwrap(), b"content");
        assert!(!repository.inspect(site, &Listed::chunk(&first)).await.unwrap().is_sound());
        assert!(repository.inspect(site, &Listed::chunk(&first).or(&again)).await.unwrap().is_sound());
    }
    // Content that another id names is not taken so.
    let other = bench.writer().await.store(b"another", &mut scratch).await.unwrap();
    bench.primary.replace(&key, bench.primary.bytes(&chunk_key(other.epoch, &other.id)).unwrap());
    let refused = read(&repository, Site::Primary, &first).await.unwrap_err();
    assert!(matches!(refused, VaultError::WrongContent { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_chunk_that_a_report_names_is_not_reused_unseen_and_is_stored_again_when_it_is_bad() {
    for harm in ["lost", "damaged", "damaged off-site", "sound after all"] {
        let bench = Bench::new();
        let repository = bench.repository().await;
        let first = back_up(&repository, &backup_id(1), None).await.unwrap();
        let entry = repository.chunk_entries(&first, Site::Primary).unwrap().next().await.unwrap().unwrap();
        let chunk = entry.chunk.unwrap();
        let key = chunk_key(chunk.epoch, &chunk.id);
        for store in [&bench.primary, &bench.offsite] {
            match harm {
                "lost" => drop(store.remove(&key)),
                "damaged" => drop(store.flip_bit(&key, 200, 1)),
                _ => {}
            }
        }
        if harm == "damaged off-site" {
            bench.offsite.flip_bit(&key, 200, 1);
        }
        let finding = |subject: &str, healed| Finding {
            kind: FindingKind::Checksum,
            site: Some(Site::Primary),
            subject: lifeboat_model::FindingSubject::stored(subject),
            detail: String::new(),
            healed,
        };
        let findings = [finding(&key, false), finding("chunks/0001/00/nothing", false), finding("backups/x", false)];
        let at = now() + jiff::SignedDuration::from_hours(1);
        repository.put_document(&Repository::findings_key(&database(), at), &findings).await.unwrap();

        let writer = repository.begin_writing(now()).await.unwrap();
        let suspects = repository.suspects(&database(), writer.epoch()).await.unwrap();
        assert_eq!(suspects.len(), 1);
        writer.suspect(suspects.clone());
        assert_eq!(writer.remember_backup(&first).await.unwrap(), 3, "{harm}");
        let again = writer.store(&plaintexts()[0], &mut Scratch::new().unwrap()).await.unwrap();
        let expected = if matches!(harm, "lost" | "damaged") { Origin::Stored } else { Origin::Found };
        assert_eq!(again.origin, expected, "{harm}");
        for site in [Site::Primary, Site::Offsite] {
            assert!(repository.inspect(site, &Listed::chunk(&again)).await.unwrap().is_sound(), "{harm}");
        }
        // A backup that began long enough after the report has seen to it.
        let later = Manifest { started_at: at + jiff::SignedDuration::from_hours(1), ..first };
        let writer = repository.begin_writing(now()).await.unwrap();
        writer.suspect(suspects);
        assert_eq!(writer.remember_backup(&later).await.unwrap(), 5, "{harm}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_content_reads_back_and_any_change_of_one_bit_is_refused(
        plaintext in prop::collection::vec(any::<u8>(), 0..4000),
        place in any::<prop::sample::Index>(),
        bit in 0_u32..8,
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let bench = Bench::new();
            let writer = bench.writer().await;
            let chunk = writer.store(&plaintext, &mut Scratch::new().unwrap()).await.unwrap();
            let repository = bench.repository().await;
            assert_eq!(read(&repository, Site::Primary, &chunk).await.unwrap(), plaintext);
            let key = chunk_key(chunk.epoch, &chunk.id);
            assert!(bench.primary.flip_bit(&key, place.index(chunk.stored_bytes as usize), bit));
            read(&repository, Site::Primary, &chunk).await.unwrap_err();
            // Even when the list is made to agree with the damage, the seal does not.
            let sha256 = lifeboat_vault::sha256(&bench.primary.bytes(&key).unwrap());
            read(&repository, Site::Primary, &StoredChunk { sha256, ..chunk.clone() }).await.unwrap_err();
            assert_eq!(read(&repository, Site::Offsite, &chunk).await.unwrap(), plaintext);
        });
    }
}
