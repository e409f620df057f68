//! Manifests: published last, listed, and read only when their signature holds.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{BackupId, ChunkKey, DatabaseName, EpochNumber, Manifest, Site};
use lifeboat_seal::SealError;

use crate::error::VaultError;
use crate::layout::{BACKUPS_PREFIX, backup_of_manifest_key, chunk_list_key, database_prefix, manifest_key};
use crate::repository::Repository;
use crate::repository::document::{Place, SignedManifest, encode_manifest, of_backup};
use crate::repository::signature::public_key;
use crate::store::port::{DOCUMENT_LIMIT_BYTES, NewObject};

/// Pages of a listing of one database's backups. A backup has two objects or a few more, so this is 1.5 million backups, some 100 MB
/// of ids: one each ten minutes for 28 years.
const LIST_PAGES_LIMIT: usize = 3000;

/// How far the search for the newest backups first looks back. Backups each hour fit in one page.
const FIRST_WINDOW: SignedDuration = SignedDuration::from_hours(48);

/// Each further look goes back so many times further.
const WINDOW_GROWTH: i32 = 4;

/// Looks before everything is listed; the last goes back 89 years.
const WINDOWS: usize = 8;

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
        Ok(self.folders(site).await?.into_iter().map(|(database, _)| database).collect())
    }

    /// The oldest complete backup on a site, of all databases. It is looked for among the first thousand objects of each database.
    ///
    /// # Errors
    /// As [`Repository::databases`].
    pub async fn oldest_manifest(&self, site: Site) -> Result<Option<(DatabaseName, BackupId)>, VaultError> {
        let backups = self.folders(site).await?.into_iter().filter_map(|(database, oldest)| Some((database, oldest?)));
        Ok(backups.min_by(|(_, one), (_, other)| one.cmp(other)))
    }

    /// The databases, each with its oldest backup among the first page of its objects.
    async fn folders(&self, site: Site) -> Result<Vec<(DatabaseName, Option<BackupId>)>, VaultError> {
        let store = self.sites.get(site)?;
        let mut folders = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..DATABASES_LIMIT {
            let page = store.list(BACKUPS_PREFIX, after.as_deref()).await?;
            let Some(key) = page.keys.first() else { return Ok(folders) };
            let folder = key.strip_prefix(BACKUPS_PREFIX).and_then(|rest| rest.split_once('/')).map(|(name, _)| name);
            if let Some(database) = folder.and_then(|name| name.parse().ok()) {
                let prefix = database_prefix(&database);
                folders.push((database, page.keys.iter().find_map(|key| backup_of_manifest_key(&prefix, key))));
            }
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
        self.manifests_between(database, site, from, None).await
    }

    /// The newest `count` complete backups of a database on a site, oldest first, of all or of those before `before`. What is listed grows
    /// with `count`, and not with the repository: it goes back in growing steps until there are enough.
    ///
    /// # Errors
    /// As [`Repository::manifests`].
    pub async fn newest_manifests(
        &self,
        database: &DatabaseName,
        site: Site,
        before: Option<&BackupId>,
        count: usize,
        now: Timestamp,
    ) -> Result<Vec<BackupId>, VaultError> {
        let latest = before.and_then(BackupId::began_at).map_or(now, |began| began.min(now));
        let mut window = FIRST_WINDOW;
        for _ in 0..WINDOWS {
            let Ok(from) = latest.checked_sub(window) else { break };
            let from = BackupId::lowest_at(from);
            let found = self.manifests_between(database, site, Some(&from), before).await?;
            if found.len() >= count {
                return Ok(last(found, count));
            }
            window = window.saturating_mul(WINDOW_GROWTH);
        }
        Ok(last(self.manifests_between(database, site, None, before).await?, count))
    }

    /// The newest complete backup of a database on a site. One dated in the future counts as absent ([`BackupId::is_misdated`]).
    ///
    /// # Errors
    /// As [`Repository::manifests`].
    pub async fn newest_manifest(
        &self,
        database: &DatabaseName,
        site: Site,
        now: Timestamp,
    ) -> Result<Option<BackupId>, VaultError> {
        let first_misdated = BackupId::first_misdated(now);
        Ok(self.newest_manifests(database, site, Some(&first_misdated), 1, now).await?.pop())
    }

    /// Whether a site has the manifest of a backup.
    ///
    /// # Errors
    /// [`VaultError::NoSite`], [`VaultError::Store`].
    pub async fn has_manifest(
        &self,
        database: &DatabaseName,
        backup_id: &BackupId,
        site: Site,
    ) -> Result<bool, VaultError> {
        Ok(self.sites.get(site)?.head(&manifest_key(database, backup_id)).await?.is_some())
    }

    /// The backups from `from` on and before `before`, oldest first.
    async fn manifests_between(
        &self,
        database: &DatabaseName,
        site: Site,
        from: Option<&BackupId>,
        before: Option<&BackupId>,
    ) -> Result<Vec<BackupId>, VaultError> {
        let store = self.sites.get(site)?;
        let prefix = database_prefix(database);
        let mut backups = Vec::new();
        // The keys of a backup are behind its id and a slash.
        let mut after = from.map(|id| format!("{prefix}{id}"));
        let end = before.map(|id| format!("{prefix}{id}"));
        for _ in 0..LIST_PAGES_LIMIT {
            let page = store.list(&prefix, after.as_deref()).await?;
            let is_within = |key: &&String| end.as_ref().is_none_or(|end| *key < end);
            let within = page.keys.iter().take_while(is_within);
            backups.extend(within.filter_map(|key| backup_of_manifest_key(&prefix, key)));
            after = page.keys.into_iter().next_back();
            if !page.more || after.as_ref().is_none_or(|last| end.as_ref().is_some_and(|end| last >= end)) {
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

    /// The manifest of the backup before one that is written in the epoch `writing`. Nothing is reused of another epoch. So where no
    /// configured key opens that epoch, the key that the sites publish vouches for the manifest.
    ///
    /// # Errors
    /// As [`Repository::authenticated_manifest`] and [`Repository::manifest`].
    pub async fn previous_manifest(
        &self,
        database: &DatabaseName,
        backup_id: &BackupId,
        site: Site,
        writing: EpochNumber,
    ) -> Result<Manifest, VaultError> {
        let read = match self.authenticated_manifest(database, backup_id, site).await {
            Err(unopened @ VaultError::Open { source: SealError::DataKey(_), .. }) => {
                let manifest = self.manifest(database, backup_id, site).await?;
                if manifest.epoch == writing { Err(unopened) } else { Ok(manifest) }
            }
            read => read,
        };
        read.inspect(|manifest| self.note_previous(manifest))
    }

    async fn signed_manifest(&self, place: Place<'_>) -> Result<SignedManifest, VaultError> {
        let fetched = self.sites.get(place.site)?.get(place.key, DOCUMENT_LIMIT_BYTES).await?;
        SignedManifest::decode(place, &fetched.body)
    }
}

fn last(mut backups: Vec<BackupId>, count: usize) -> Vec<BackupId> {
    backups.split_off(backups.len().saturating_sub(count))
}
