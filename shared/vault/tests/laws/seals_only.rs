use std::sync::Arc;

use async_trait::async_trait;
use lifeboat_bench::{Bench, back_up, backup_id, database, now, plaintexts};
use lifeboat_model::{Finding, FindingKind, Origin, Site};
use lifeboat_seal::{DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey};
use lifeboat_vault::{Listed, Repository, Scratch, chunk_key};

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

#[tokio::test]
async fn a_suspect_that_this_role_may_not_open_is_stored_again() {
    let bench = Bench::new();
    let first = back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
    let seals_only = Arc::new(SealsOnly(bench.keys.clone()));
    let repository = Repository::open(bench.sites(), seals_only).await.unwrap();
    let entry = repository.chunk_entries(&first, Site::Primary).unwrap().next().await.unwrap().unwrap();
    let chunk = entry.chunk.unwrap();
    let key = chunk_key(chunk.epoch, &chunk.id);
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
    assert_eq!((again.id, again.origin), (chunk.id, Origin::Stored));
    assert_ne!(again.sha256, chunk.sha256);
    for site in [Site::Primary, Site::Offsite] {
        assert!(repository.inspect(site, &Listed::chunk(&again)).await.unwrap().is_sound());
    }
}
