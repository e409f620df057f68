//! An entry as it is stored, with what vouches for it.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use lifeboat_model::{LEDGER_FORMAT, LedgerEntry, LedgerLink, Sha256, Site};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::VaultError;
use crate::layout::ledger_key;
use crate::ledger::mac_keys::MacKeys;
use crate::repository::document::{Place, encode};
use crate::store::checksum::sha256;
use crate::store::port::NewObject;

/// MACs of an entry, at most: one of each site's key.
const MOST_MACS: usize = 4;

/// Longest name of a key. The ARN of a KMS key has some 80 bytes.
const KEY_NAME_BYTES: usize = 512;

/// `ledger/<number>.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    entry: Box<RawValue>,
    /// In base64, by the id of the key that made it.
    macs: BTreeMap<String, String>,
}

/// The fields that an entry has in every format. With them and the envelope, any version can check its place in the trail and its MACs.
#[derive(Deserialize)]
pub(super) struct Stamp {
    #[serde(default)]
    pub(super) format: u32,
    pub(super) number: u64,
    pub(super) previous: Option<Sha256>,
    pub(super) at: Timestamp,
}

/// An envelope whose entry may say that it has a newer format, whatever else is in it.
#[derive(Deserialize)]
struct AnyEnvelope<'a> {
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// A stored entry, read.
pub(super) struct Stored {
    pub(super) stamp: Stamp,
    /// What it says; absent when its format is newer than this version knows.
    pub(super) entry: Option<LedgerEntry>,
    /// Its exact bytes.
    pub(super) text: String,
    /// The sum of these bytes, which the next entry names.
    pub(super) sha256: Sha256,
    /// The text that its MACs cover.
    pub(super) message: Vec<u8>,
    pub(super) macs: BTreeMap<String, Vec<u8>>,
}

impl Stored {
    /// Reads an entry of the repository `repository_id`. Nothing is checked yet but its form, of which each format has only one.
    ///
    /// # Errors
    /// [`VaultError::NewerFormat`] for bytes that say so and that this version cannot read; [`VaultError::Document`],
    /// [`VaultError::Damaged`].
    pub(super) fn decode(place: Place<'_>, repository_id: &str, bytes: &[u8]) -> Result<Self, VaultError> {
        Self::read(place, repository_id, bytes).map_err(|error| {
            let stated = serde_json::from_slice::<AnyEnvelope<'_>>(bytes);
            let inner = stated.map_or(Ok(()), |any| place.not_newer(any.entry.get().as_bytes(), LEDGER_FORMAT));
            place.not_newer(bytes, LEDGER_FORMAT).and(inner).err().unwrap_or(error)
        })
    }

    fn read(place: Place<'_>, repository_id: &str, bytes: &[u8]) -> Result<Self, VaultError> {
        let Envelope { entry: raw, macs } = place.canonical(bytes)?;
        // Their names are a part of what keys are asked about, and no key takes more than 4,096 bytes.
        if macs.len() > MOST_MACS || macs.keys().any(|key| key.len() > KEY_NAME_BYTES) {
            return Err(place.damaged("it has too many MACs, or too long names of keys"));
        }
        let macs = macs.into_iter().map(|(key, mac)| Some((key, BASE64.decode(mac).ok()?))).collect::<Option<_>>();
        let macs: BTreeMap<String, Vec<u8>> = macs.ok_or_else(|| place.damaged("a MAC is not base64"))?;
        let keys = macs.keys().map(String::as_str).collect();
        let stamp: Stamp = place.parse(raw.get().as_bytes())?;
        let is_known = stamp.format <= LEDGER_FORMAT;
        Ok(Self {
            text: str::from_utf8(bytes).map_err(|_| place.damaged("it is not UTF-8"))?.to_owned(),
            entry: is_known.then(|| place.canonical(raw.get().as_bytes())).transpose()?,
            stamp,
            sha256: sha256(bytes),
            message: message(repository_id, raw.get(), &keys),
            macs,
        })
    }

    pub(super) fn link(&self) -> LedgerLink {
        LedgerLink { number: self.stamp.number, sha256: self.sha256 }
    }

    /// What it says, as `site` has it.
    ///
    /// # Errors
    /// [`VaultError::NewerFormat`].
    pub(super) fn into_entry(self, site: Site) -> Result<LedgerEntry, VaultError> {
        let key = ledger_key(self.stamp.number);
        self.entry.ok_or_else(|| Place { site, key: &key }.newer(self.stamp.format, LEDGER_FORMAT))
    }
}

/// The object of a new entry, with the MACs of all keys that answer.
///
/// # Errors
/// [`VaultError::NotVouched`] when none does.
pub(super) async fn seal_entry(
    entry: &LedgerEntry,
    repository_id: &str,
    macs: &MacKeys,
) -> Result<NewObject, VaultError> {
    let key = ledger_key(entry.number);
    let raw =
        serde_json::value::to_raw_value(entry).map_err(|source| VaultError::Encode { key: key.clone(), source })?;
    let made = macs.macs(|keys| message(repository_id, raw.get(), keys)).await;
    if made.is_empty() {
        return Err(VaultError::NotVouched { reason: macs.troubles() });
    }
    let macs = made.into_iter().map(|(key, mac)| (key, BASE64.encode(mac))).collect();
    Ok(NewObject::new(encode(&key, &Envelope { entry: raw, macs })?))
}

/// The text that the MACs of an entry cover, from the entry's exact bytes. It is ASCII, so that a person can check a MAC by hand.
fn message(repository_id: &str, entry: &str, keys: &BTreeSet<&str>) -> Vec<u8> {
    let keys: Vec<&str> = keys.iter().copied().collect();
    let (sha256, keys) = (sha256(entry.as_bytes()), keys.join(" "));
    format!("lifeboat ledger entry of repository {repository_id}, sha-256 {sha256}, keys {keys}").into_bytes()
}
