//! Inspection: an object is read and judged without any secret.

use std::fmt;

use lifeboat_model::{Sha256, Site};

use crate::chunks::cpu::on_cpu;
use crate::chunks::reader::CHUNK_LIMIT_BYTES;
use crate::error::VaultError;
use crate::repository::Repository;
use crate::repository::document::{Place, SignedManifest, decode_repository, of_backup};
use crate::repository::listed::{Content, Listed, Sum, longest};
use crate::store::checksum::sha256;
use crate::store::error::StoreError;
use crate::store::port::Measured;
use crate::store::sites::SiteStore;

/// The judgement on bytes that were read under the key of a listed object.
pub(super) enum Judgement {
    Sound,
    /// A newer version of Lifeboat wrote it, and this one cannot judge it.
    Newer {
        found: u32,
        known: u32,
    },
    Unsound,
}

/// The state of an object on one site.
#[derive(Debug)]
pub enum ObjectState {
    /// Read to its end; it is what is listed.
    Sound {
        /// Its length.
        size_bytes: u64,
    },
    /// It is not there.
    Missing,
    /// Its length differs from the listed one.
    Size {
        /// The length listed.
        expected_bytes: u64,
        /// The length it has, as far as it was read.
        actual_bytes: u64,
    },
    /// Its bytes differ from the listed ones.
    Checksum {
        /// The SHA-256 that its bytes have; absent for a document that fails its own checksum or signature.
        actual: Option<Sha256>,
    },
    /// A newer version of this program wrote it: it is neither called sound nor ever replaced.
    Newer {
        /// The format it has.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The store did not give it.
    Unreadable {
        /// What the store answered.
        error: StoreError,
    },
}

impl ObjectState {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        matches!(self, Self::Sound { .. })
    }
}

impl fmt::Display for ObjectState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sound { size_bytes } => write!(f, "sound, {size_bytes} bytes"),
            Self::Missing => f.write_str("it is missing"),
            Self::Size { expected_bytes, actual_bytes } => {
                write!(f, "{expected_bytes} bytes are listed, {actual_bytes} are there")
            }
            Self::Checksum { actual: Some(actual) } => {
                write!(f, "its bytes differ from the listed ones: sha-256 {actual}")
            }
            Self::Checksum { actual: None } => f.write_str("it fails its own checksum or signature"),
            Self::Newer { found, known } => {
                write!(f, "it has format {found}; this version reads formats up to {known}")
            }
            Self::Unreadable { error } => write!(f, "{error}"),
        }
    }
}

impl Repository {
    /// Reads an object to its end, in bounded memory, and judges it. Needs no key and no right to decrypt.
    ///
    /// A damaged or missing object is an answer and not an error.
    ///
    /// # Errors
    /// [`VaultError::NoSite`].
    pub async fn inspect(&self, site: Site, listed: &Listed) -> Result<ObjectState, VaultError> {
        let store = self.sites.get(site)?;
        Ok(match &listed.content {
            Content::Sums { sums, .. } => inspect_sums(store, &listed.key, sums).await,
            Content::Manifest { .. } | Content::Repository => self.inspect_document(store, listed).await?,
        })
    }

    /// Whether a site says that it has no object under the listed key.
    ///
    /// # Errors
    /// [`VaultError::NoSite`], [`VaultError::Store`].
    pub async fn is_absent(&self, site: Site, listed: &Listed) -> Result<bool, VaultError> {
        Ok(self.sites.get(site)?.head(&listed.key).await?.is_none())
    }

    pub(super) async fn judge(&self, site: Site, listed: &Listed, bytes: &[u8]) -> Result<Judgement, VaultError> {
        let place = Place { site, key: &listed.key };
        let judged = match &listed.content {
            Content::Sums { sums, .. } => {
                let sum = Sum { size_bytes: bytes.len() as u64, sha256: on_cpu(|| sha256(bytes)) };
                return Ok(if sums.contains(&sum) { Judgement::Sound } else { Judgement::Unsound });
            }
            Content::Manifest { database, backup_id } => match SignedManifest::decode(place, bytes) {
                Err(error) => Err(error),
                Ok(signed) => match self.published_key(signed.claimed_epoch()).await {
                    Err(error) => Err(error),
                    Ok(public_key) => signed
                        .authenticate(place, &public_key)
                        .and_then(|manifest| of_backup(database, backup_id, place, manifest).map(drop)),
                },
            },
            Content::Repository => decode_repository(place, bytes).map(drop),
        };
        Ok(match judged {
            Ok(()) => Judgement::Sound,
            Err(VaultError::NewerFormat { found, known, .. }) => Judgement::Newer { found, known },
            Err(_) => Judgement::Unsound,
        })
    }

    async fn inspect_document(&self, store: &SiteStore, listed: &Listed) -> Result<ObjectState, VaultError> {
        Ok(match store.store().get(&listed.key, listed.limit_bytes()).await {
            Ok(fetched) => match self.judge(store.site(), listed, &fetched.body).await? {
                Judgement::Sound => ObjectState::Sound { size_bytes: fetched.body.len() as u64 },
                Judgement::Newer { found, known } => ObjectState::Newer { found, known },
                Judgement::Unsound => ObjectState::Checksum { actual: None },
            },
            Err(StoreError::NotFound { .. }) => ObjectState::Missing,
            Err(error) => ObjectState::Unreadable { error },
        })
    }
}

async fn inspect_sums(store: &SiteStore, key: &str, sums: &[Sum]) -> ObjectState {
    let expected_bytes = longest(sums);
    match store.measure(key, expected_bytes.min(CHUNK_LIMIT_BYTES)).await {
        Ok(measured) => {
            let Measured { size_bytes, sha256, .. } = measured;
            if sums.contains(&Sum { size_bytes, sha256 }) {
                ObjectState::Sound { size_bytes }
            } else if sums.iter().any(|sum| sum.size_bytes == size_bytes) {
                ObjectState::Checksum { actual: Some(sha256) }
            } else {
                ObjectState::Size { expected_bytes, actual_bytes: size_bytes }
            }
        }
        Err(StoreError::NotFound { .. }) => ObjectState::Missing,
        Err(StoreError::TooLarge { size_bytes, .. }) => ObjectState::Size { expected_bytes, actual_bytes: size_bytes },
        Err(error) => ObjectState::Unreadable { error },
    }
}
