//! Reports of drills, verifications and changes: each has its own key and is written once.

use serde::Serialize;

use crate::error::VaultError;
use crate::layout::is_plain_key;
use crate::repository::Repository;
use crate::repository::document::encode;
use crate::store::port::NewObject;

/// Folders that [`Repository::put_document`] writes to.
const DOCUMENT_FOLDERS: [&str; 6] = ["drills/", "findings/", "changes/", "exports/", "archive/", "verifications/"];

impl Repository {
    /// Writes a report create-only on every site: `drills/clinic/<id>.json`, `findings/clinic/<id>.json`.
    ///
    /// # Errors
    /// [`VaultError::BadKey`] for a key outside the folders of reports; [`VaultError::Store`] with `AlreadyExists` when
    /// another document has the key.
    pub async fn put_document<T: Serialize + Sync>(&self, key: &str, document: &T) -> Result<(), VaultError> {
        if !is_plain_key(key) || !DOCUMENT_FOLDERS.iter().any(|folder| key.starts_with(folder)) {
            return Err(VaultError::BadKey { key: key.to_owned(), purpose: "a report" });
        }
        self.sites.create_everywhere(key, NewObject::new(encode(key, document)?)).await
    }
}
