use std::sync::Arc;

use async_trait::async_trait;
use lifeboat_bench::{Bench, assert_restores, back_up, backup_id, database, now, plaintexts};
use lifeboat_model::{Finding, FindingKind, Origin, Site, StoredChunk};
use lifeboat_seal::{DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey};
use lifeboat_vault::{Listed, Repository, Scratch, chunk_key};

const BOTH: [Site; 2] = [Site::Primary, Site::Offsite];

/// A key service that opens the repository's chunk key for this caller, and no chunk.
struct SealsOnly(Arc<dyn DataKeys>);

#[async_trait]
impl DataKeys for SealsOnly {
    async fn generate(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        self.0.generate(context).await
    }

    async fn decrypt(&self, context: &EncryptionContext, keys: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        if context.get("lifeboat-purpose") == Some("chunk-key") {
            return self.0.decrypt(context, keys).await;
        }
        let denied = DataKeyError::Denied { key: "near".to_owned(), source: Arc::new(std::io::Error::other("no")) };
        Err(DataKeyError::no_usable_key(keys.len(), vec![denied]))
    }

    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        self.0.entry_of_each(keys)
    }
}

/// A backup, and a report that names its first chunk, which `damage` may have changed. The next run stores the chunk with this role.
async fn stored_again(damage: impl Fn(&Bench, &str)) -> (Bench, StoredChunk, StoredChunk) {
    let bench = Bench::new();
    let first = back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
    let seals_only = Arc::new(SealsOnly(bench.keys.clone()));
    let repository = Repository::open(bench.sites(), seals_only).await.unwrap();
    let entry = repository.chunk_entries(&first, Site::Primary).unwrap().next().await.unwrap().unwrap();
    let chunk = entry.chunk.unwrap();
    let key = chunk_key(chunk.epoch, &chunk.id);
    damage(&bench, &key);
    let finding = Finding {
        kind: FindingKind::Unanswered,
        site: Some(Site::Primary),
        subject: lifeboat_model::FindingSubject::stored(&key),
        detail: String::new(),
        healed: false,
    };
    let at = now() + jiff::SignedDuration::from_hours(1);
    repository.put_document(&Repository::findings_key(&database(), at), &[finding]).await.unwrap();
    let writer = repository.begin_writing(now()).await.unwrap();
    writer.suspect(repository.suspects(&database(), writer.epoch()).await.unwrap());
    writer.remember_backup(&first).await.unwrap();
    let again = writer.store(&plaintexts()[0], &mut Scratch::new().unwrap()).await.unwrap();
    for site in BOTH {
        assert!(repository.inspect(site, &Listed::chunk(&again)).await.unwrap().is_sound(), "{site}");
    }
    (bench, chunk, again)
}

#[tokio::test]
async fn an_intact_suspect_that_this_role_may_not_open_is_proved_by_its_mark_and_stays() {
    let (bench, chunk, again) = stored_again(|_, _| ()).await;
    assert_eq!(again, StoredChunk { origin: again.origin, ..chunk });
    assert!(again.is_reused(), "{again:?}");
    assert_restores(&bench.repository().await, &backup_id(1), Site::Offsite).await;
}

#[tokio::test]
async fn a_suspect_that_is_damaged_on_one_site_gets_the_bytes_of_the_other_one() {
    for damaged in BOTH {
        let (bench, chunk, again) =
            stored_again(|bench, key| assert!(bench.memory(damaged).flip_bit(key, 300, 1))).await;
        assert_eq!(again.sha256, chunk.sha256, "{damaged}");
        for site in BOTH {
            assert_restores(&bench.repository().await, &backup_id(1), site).await;
        }
    }
}

#[tokio::test]
async fn a_suspect_that_is_damaged_on_every_site_is_stored_again_by_a_role_that_may_not_open_it() {
    let damage = |bench: &Bench, key: &str| {
        for site in BOTH {
            assert!(bench.memory(site).flip_bit(key, 300, 1));
        }
    };
    let (_bench, chunk, again) = stored_again(damage).await;
    assert_eq!((again.id, again.origin), (chunk.id, Origin::Stored));
    assert_ne!(again.sha256, chunk.sha256);
}
