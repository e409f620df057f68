//! How documents are written: JSON with a checksum of its own, in exactly one form.
//!
//! `verify` has no key and yet must tell a sound `manifest.json` or `repository.json` from a damaged one, so that it can
//! be healed from the other site. So each carries the SHA-256 of what it says, and a document is only taken in the very
//! bytes in which it is written: no space, no other order of fields, no other spelling of a digit.

use bytes::Bytes;
use lifeboat_model::{ChunkId, ChunkKey, MANIFEST_FORMAT, Manifest, REPOSITORY_FORMAT, RepositoryDocument, Site};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::checksum::{Sha256Sum, sha256};
use crate::error::VaultError;

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
    /// SHA-256 of the text of `mac` followed by the bytes of `manifest`: proves to anyone that nothing was damaged.
    sha256: String,
    /// [`ChunkKey::manifest_mac`] of the bytes of `manifest`: proves to a holder of the chunk key that nothing was altered.
    mac: String,
    manifest: Box<RawValue>,
}

/// Only the field that says whether the rest can be understood.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Where a document was read, for errors.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) site: Site,
    pub(crate) key: &'a str,
}

impl Place<'_> {
    fn damaged(self, reason: &'static str) -> VaultError {
        VaultError::Damaged { site: self.site, key: self.key.to_owned(), reason }
    }

    fn not_json(self, source: serde_json::Error) -> VaultError {
        VaultError::Document { site: self.site, key: self.key.to_owned(), source }
    }

    pub(crate) fn parse<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, VaultError> {
        serde_json::from_slice(bytes).map_err(|source| self.not_json(source))
    }

    fn canonical<T: DeserializeOwned + Serialize>(self, bytes: &[u8]) -> Result<T, VaultError> {
        let document: T = self.parse(bytes)?;
        if encode(self.key, &document)? != bytes {
            return Err(self.damaged("it is not in the form it is written in"));
        }
        Ok(document)
    }

    fn known_format(self, raw: &RawValue, known: u32) -> Result<(), VaultError> {
        let Format { format: found } = self.parse(raw.get().as_bytes())?;
        if found > known {
            return Err(VaultError::NewerFormat { site: self.site, key: self.key.to_owned(), found, known });
        }
        Ok(())
    }
}

/// Compact JSON.
pub(crate) fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Bytes, VaultError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|source| VaultError::Encode { key: key.to_owned(), source })
}

fn raw<T: Serialize>(key: &str, value: &T) -> Result<Box<RawValue>, VaultError> {
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

fn manifest_sha256(mac: &str, manifest: &RawValue) -> String {
    let mut sum = Sha256Sum::new();
    sum.update(mac.as_bytes());
    sum.update(manifest.get().as_bytes());
    sum.finish().to_string()
}

pub(crate) fn encode_manifest(key: &str, manifest: &Manifest, chunk_key: &ChunkKey) -> Result<Bytes, VaultError> {
    let manifest = raw(key, manifest)?;
    let mac = chunk_key.manifest_mac(manifest.get().as_bytes()).to_string();
    let sha256 = manifest_sha256(&mac, &manifest);
    encode(key, &ManifestEnvelope { sha256, mac, manifest })
}

/// A manifest that is sound in itself; whether it is authentic, only the chunk key tells.
pub(crate) struct SealedManifest {
    envelope: ManifestEnvelope,
    manifest: Manifest,
}

impl SealedManifest {
    pub(crate) fn decode(place: Place<'_>, bytes: &[u8]) -> Result<Self, VaultError> {
        let envelope: ManifestEnvelope = place.canonical(bytes)?;
        if manifest_sha256(&envelope.mac, &envelope.manifest) != envelope.sha256 {
            return Err(place.damaged("its checksum does not match"));
        }
        place.known_format(&envelope.manifest, MANIFEST_FORMAT)?;
        let manifest = place.parse(envelope.manifest.get().as_bytes())?;
        Ok(Self { envelope, manifest })
    }

    pub(crate) fn unauthenticated(self) -> Manifest {
        self.manifest
    }

    pub(crate) fn claimed(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn authenticate(self, place: Place<'_>, chunk_key: &ChunkKey) -> Result<Manifest, VaultError> {
        let actual = chunk_key.manifest_mac(self.envelope.manifest.get().as_bytes());
        let claimed: Option<ChunkId> = self.envelope.mac.parse().ok();
        let forged = || VaultError::ManifestForged { site: place.site, key: place.key.to_owned() };
        let claimed = claimed.ok_or_else(forged)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(&actual.0, &claimed.0).map_err(|_| forged())?;
        Ok(self.manifest)
    }
}
