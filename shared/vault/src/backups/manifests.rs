//! Manifests: published last, listed, and read only when their signature holds.

use lifeboat_model::{BackupId, ChunkKey, DatabaseName, Manifest, Site};

use crate::error::VaultError;
use crate::layout::{BACKUPS_PREFIX, backup_of_manifest_key, chunk_list_key, database_prefix, manifest_key};
use crate::repository::Repository;
use crate::repository::document::{Place, SignedManifest, encode_manifest, of_backup};
use crate::repository::signature::public_key;
use crate::store::port::{DOCUMENT_LIMIT_BYTES, NewObject};

/// Pages of a listing of one database's backups. A backup has two objects or a few more, so this is 250,000 backups: an
/// hourly one for 28 years.
const LIST_PAGES_LIMIT: usize = 500;

/// Databases in one repository: each is a request for a listing.
const DATABASES_LIMIT: usize = 1000;

impl Repository {
    /// Publishes a backup: from now on it exists. Written create-only, on the primary and then on the other site, and
    /// only after every part of its chunk list was seen on every site. Idempotent for the same manifest.
    ///
    /// With the off-site set aside, now or before ([`Sites::aside`](crate::Sites::aside)), the backup is complete on the
    /// primary alone; that the other site has no manifest of it is the mark by which a later run knows what to bring over
    /// ([`Repository::behind`]).
    ///
    /// # Errors
    /// [`VaultError::Incomplete`] when something that it names is missing; [`VaultError::Store`] with `AlreadyExists` when
    /// another manifest has this backup's key.
    pub async fn publish(&self, manifest: &Manifest, chunk_key: &ChunkKey) -> Result<(), VaultError> {
        let published = self.publish_everywhere(manifest, chunk_key).await;
        match self.sites.or_aside(published)? {
            Some(()) => Ok(()),
            // The off-site may have failed before the primary had the manifest.
            None => self.publish_everywhere(manifest, chunk_key).await,
        }
    }

    /// As [`Repository::publish`], and an off-site that does not serve is an error.
    pub(crate) async fn publish_everywhere(&self, manifest: &Manifest, chunk_key: &ChunkKey) -> Result<(), VaultError> {
        let backup_id = &manifest.backup_id;
        let incomplete = |reason| VaultError::Incomplete { backup_id: backup_id.clone(), reason };
        if self.document().epoch(manifest.epoch).is_none() {
            return Err(VaultError::UnknownEpoch { epoch: manifest.epoch });
        }
        let listed: u64 = manifest.chunk_list.parts.iter().map(|part| part.entries).sum();
        if listed != manifest.chunk_list.entries {
            return Err(incomplete("the parts of its chunk list have another number of entries"));
        }
        for (number, part) in manifest.chunk_list.parts.iter().enumerate() {
            let key = chunk_list_key(&manifest.database, backup_id, number);
            for store in self.sites.iter() {
                let head = store.head(&key).await?;
                if !head.is_some_and(|head| head.size_bytes == part.stored_bytes && head.sha256 == Some(part.sha256)) {
                    return Err(incomplete("a part of its chunk list is not stored on every site"));
                }
            }
        }
        let key = manifest_key(&manifest.database, backup_id);
        let object = NewObject::new(encode_manifest(&key, manifest, chunk_key)?);
        self.sites.create_everywhere(&key, object).await
    }

    /// The databases that have anything on a site under `backups/`, in the order of their keys.
    ///
    /// # Errors
    /// [`VaultError::NoSite`], [`VaultError::Store`], [`VaultError::TooMany`].
    pub async fn databases(&self, site: Site) -> Result<Vec<DatabaseName>, VaultError> {
        let store = self.sites.get(site)?;
        let mut databases = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..DATABASES_LIMIT {
            let page = store.list(BACKUPS_PREFIX, after.as_deref()).await?;
            let Some(key) = page.keys.first() else { return Ok(databases) };
            let folder = key.strip_prefix(BACKUPS_PREFIX).and_then(|rest| rest.split_once('/')).map(|(name, _)| name);
            databases.extend(folder.and_then(|name| name.parse().ok()));
            // `0` is the character after `/`: all other keys of this folder are passed over.
            after = Some(folder.map_or_else(|| key.clone(), |name| format!("{BACKUPS_PREFIX}{name}0")));
        }
        Err(VaultError::TooMany { what: "databases in one repository", limit: DATABASES_LIMIT })
    }

    /// The complete backups of a database on a site, oldest first.
    ///
    /// # Errors
    /// [`VaultError::NoSite`], [`VaultError::Store`], [`VaultError::TooMany`].
    pub async fn manifests(&self, database: &DatabaseName, site: Site) -> Result<Vec<BackupId>, VaultError> {
        self.manifests_from(database, site, None).await
    }

    /// The same, from a backup on: what is listed does not grow with the repository.
    ///
    /// # Errors
    /// As [`Repository::manifests`].
    pub async fn manifests_from(
        &self,
        database: &DatabaseName,
        site: Site,
        from: Option<&BackupId>,
    ) -> Result<Vec<BackupId>, VaultError> {
        let store = self.sites.get(site)?;
        let prefix = database_prefix(database);
        let mut backups = Vec::new();
        // The keys of a backup are behind its id and a slash.
        let mut after = from.map(|id| format!("{prefix}{id}"));
        for _ in 0..LIST_PAGES_LIMIT {
            let page = store.list(&prefix, after.as_deref()).await?;
            backups.extend(page.keys.iter().filter_map(|key| backup_of_manifest_key(&prefix, key)));
            after = page.keys.into_iter().next_back();
            if !page.more || after.is_none() {
                // Keys sort by backup id, but `<id>/chunks…` and `<id>/manifest…` come in pairs: already in order.
                return Ok(backups);
            }
        }
        Err(VaultError::TooMany { what: "pages in the listing of backups", limit: LIST_PAGES_LIMIT })
    }

    /// A manifest whose signature holds under the public key that the sites publish. Needs no secret; for `verify` and for
    /// inspection. It is worth as much as `repository.json`: somebody who may write to every configured site can forge both.
    ///
    /// # Errors
    /// [`VaultError::ManifestForged`], [`VaultError::Disputed`], [`VaultError::Damaged`], [`VaultError::Document`],
    /// [`VaultError::NewerFormat`], [`VaultError::UnknownEpoch`], [`VaultError::Store`].
    pub async fn manifest(
        &self,
        database: &DatabaseName,
        backup_id: &BackupId,
        site: Site,
    ) -> Result<Manifest, VaultError> {
        let key = manifest_key(database, backup_id);
        let place = Place { site, key: &key };
        let signed = self.signed_manifest(place).await?;
        let public_key = self.published_key(signed.claimed_epoch()).await?;
        of_backup(database, backup_id, place, signed.authenticate(place, &public_key)?)
    }

    /// A manifest that a holder of the chunk key wrote and nobody altered since. Does not depend on the keys in `repository.json`.
    /// For everything that restores or reuses.
    ///
    /// # Errors
    /// As [`Repository::manifest`] and [`Repository::chunk_key`].
    pub async fn authenticated_manifest(
        &self,
        database: &DatabaseName,
        backup_id: &BackupId,
        site: Site,
    ) -> Result<Manifest, VaultError> {
        let key = manifest_key(database, backup_id);
        let place = Place { site, key: &key };
        let signed = self.signed_manifest(place).await?;
        let chunk_key = self.chunk_key(signed.claimed_epoch()).await?;
        of_backup(database, backup_id, place, signed.authenticate(place, &public_key(&chunk_key)?)?)
    }

    async fn signed_manifest(&self, place: Place<'_>) -> Result<SignedManifest, VaultError> {
        let fetched = self.sites.get(place.site)?.get(place.key, DOCUMENT_LIMIT_BYTES).await?;
        SignedManifest::decode(place, &fetched.body)
    }
}
