//! How documents are written: JSON that proves itself, in exactly one form.
//!
//! `verify` has no secret and yet must tell a sound `manifest.json` or `repository.json` from another, so that it can be
//! healed from the other site. So a manifest is signed, `repository.json` carries the SHA-256 of what it says, and a
//! document is only taken in the very bytes in which it is written: no space, no other order of fields, no other spelling
//! of a digit.

use bytes::Bytes;
use lifeboat_model::{
    BackupId, ChunkKey, DatabaseName, EpochNumber, MANIFEST_FORMAT, Manifest, PublicKey, REPOSITORY_FORMAT,
    RepositoryDocument, Site,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::VaultError;
use crate::repository::signature::{holds, sign};
use crate::store::checksum::sha256;

/// `repository.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RepositoryEnvelope {
    /// SHA-256 of the bytes of `repository`.
    sha256: String,
    repository: Box<RawValue>,
}

/// `manifest.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestEnvelope {
    /// Ed25519, over the bytes of `manifest`: proves that a holder of the epoch's chunk key wrote it.
    signature: String,
    manifest: Box<RawValue>,
}

/// Only the field that says whether the rest can be understood.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The same where documents of the first format say nothing of it.
#[derive(Deserialize)]
struct StatedFormat {
    format: Option<u32>,
}

/// The fields that a manifest of every format has, to know whose signature to look for.
#[derive(Deserialize)]
struct Stamp {
    epoch: EpochNumber,
}

/// Where an object was read, for errors.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) site: Site,
    pub(crate) key: &'a str,
}

impl Place<'_> {
    pub(crate) fn damaged(self, reason: &'static str) -> VaultError {
        VaultError::Damaged { site: self.site, key: self.key.to_owned(), reason }
    }

    fn not_json(self, source: serde_json::Error) -> VaultError {
        VaultError::Document { site: self.site, key: self.key.to_owned(), source }
    }

    pub(crate) fn parse<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, VaultError> {
        serde_json::from_slice(bytes).map_err(|source| self.not_json(source))
    }

    pub(crate) fn canonical<T: DeserializeOwned + Serialize>(self, bytes: &[u8]) -> Result<T, VaultError> {
        let document: T = self.parse(bytes)?;
        if encode(self.key, &document)? != bytes {
            return Err(self.damaged("it is not in the form in which Lifeboat writes it"));
        }
        Ok(document)
    }

    /// An error when the document says that it has a newer format than `known`. Bytes that are no document say nothing.
    pub(crate) fn not_newer(self, bytes: &[u8], known: u32) -> Result<(), VaultError> {
        let stated = serde_json::from_slice(bytes).ok().and_then(|StatedFormat { format }| format);
        stated.filter(|found| *found > known).map_or(Ok(()), |found| Err(self.newer(found, known)))
    }

    pub(crate) fn newer(self, found: u32, known: u32) -> VaultError {
        VaultError::NewerFormat { site: self.site, key: self.key.to_owned(), found, known }
    }

    fn known_format(self, raw: &RawValue, known: u32) -> Result<(), VaultError> {
        let Format { format: found } = self.parse(raw.get().as_bytes())?;
        if found > known {
            return Err(self.newer(found, known));
        }
        Ok(())
    }
}

/// Compact JSON.
pub(crate) fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Bytes, VaultError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|source| VaultError::Encode { key: key.to_owned(), source })
}

pub(crate) fn raw<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Box<RawValue>, VaultError> {
    serde_json::value::to_raw_value(value).map_err(|source| VaultError::Encode { key: key.to_owned(), source })
}

pub(crate) fn encode_repository(key: &str, document: &RepositoryDocument) -> Result<Bytes, VaultError> {
    let repository = raw(key, document)?;
    let sha256 = sha256(repository.get().as_bytes()).to_string();
    encode(key, &RepositoryEnvelope { sha256, repository })
}

pub(crate) fn decode_repository(place: Place<'_>, bytes: &[u8]) -> Result<RepositoryDocument, VaultError> {
    let envelope: RepositoryEnvelope = place.canonical(bytes)?;
    if sha256(envelope.repository.get().as_bytes()).to_string() != envelope.sha256 {
        return Err(place.damaged("its checksum does not match"));
    }
    place.known_format(&envelope.repository, REPOSITORY_FORMAT)?;
    place.parse(envelope.repository.get().as_bytes())
}

/// The number of epochs in a document that may be damaged, as far as it can be read.
pub(crate) fn legible_epochs(bytes: &[u8]) -> usize {
    let document: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    document.and_then(|document| document.pointer("/repository/epochs")?.as_array().map(Vec::len)).unwrap_or_default()
}

pub(crate) fn encode_manifest(key: &str, manifest: &Manifest, chunk_key: &ChunkKey) -> Result<Bytes, VaultError> {
    let manifest = raw(key, manifest)?;
    let signature = sign(chunk_key, manifest.get().as_bytes())?;
    encode(key, &ManifestEnvelope { signature, manifest })
}

/// A manifest whose signature is still to be checked: until then, anybody may have written it.
pub(crate) struct SignedManifest {
    envelope: ManifestEnvelope,
    epoch: EpochNumber,
}

impl SignedManifest {
    pub(crate) fn decode(place: Place<'_>, bytes: &[u8]) -> Result<Self, VaultError> {
        let envelope: ManifestEnvelope = place.canonical(bytes)?;
        let Stamp { epoch } = place.parse(envelope.manifest.get().as_bytes())?;
        Ok(Self { envelope, epoch })
    }

    /// The epoch whose key should have signed it.
    pub(crate) fn claimed_epoch(&self) -> EpochNumber {
        self.epoch
    }

    /// The manifest, once its signature holds. Only then does its format count: a forged manifest is not a newer format.
    pub(crate) fn authenticate(self, place: Place<'_>, public_key: &PublicKey) -> Result<Manifest, VaultError> {
        let manifest = self.envelope.manifest.get().as_bytes();
        if !holds(public_key, manifest, &self.envelope.signature) {
            return Err(VaultError::ManifestForged { site: place.site, key: place.key.to_owned() });
        }
        place.known_format(&self.envelope.manifest, MANIFEST_FORMAT)?;
        place.parse(manifest)
    }
}

/// A genuine manifest under another backup's key is still not this backup's.
pub(crate) fn of_backup(
    database: &DatabaseName,
    backup_id: &BackupId,
    place: Place<'_>,
    manifest: Manifest,
) -> Result<Manifest, VaultError> {
    if manifest.backup_id != *backup_id || manifest.database != *database {
        return Err(place.damaged("it is the manifest of another backup"));
    }
    Ok(manifest)
}
