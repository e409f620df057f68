//! An entry as it is stored, with what vouches for it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lifeboat_model::{LedgerEntry, Sha256, Site};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::checksum::sha256;
use crate::document::Place;
use crate::error::VaultError;

/// `ledger/<yyyy>/<mm>/<dd>/<number>.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope {
    entry: Box<RawValue>,
    /// In base64, by the site whose key made it.
    macs: BTreeMap<Site, String>,
}

impl Envelope {
    pub(super) fn new(entry: Box<RawValue>, macs: &BTreeMap<Site, Vec<u8>>) -> Self {
        Self { entry, macs: macs.iter().map(|(site, mac)| (*site, BASE64.encode(mac))).collect() }
    }
}

/// A stored entry, read.
pub(super) struct Stored {
    pub(super) entry: LedgerEntry,
    /// Its exact bytes.
    pub(super) text: String,
    /// Of these, which the next entry names.
    pub(super) sha256: Sha256,
    /// What its MACs are of.
    pub(super) message: Vec<u8>,
    pub(super) macs: BTreeMap<Site, Vec<u8>>,
}

impl Stored {
    /// Reads an entry of the repository `repository_id`. Nothing is checked yet but its form.
    pub(super) fn decode(place: Place<'_>, repository_id: &str, bytes: &[u8]) -> Result<Self, VaultError> {
        let Envelope { entry, macs } = place.parse(bytes)?;
        let mac = |(site, text): (Site, String)| {
            let mac = BASE64.decode(text).map_err(|_| place.damaged("a MAC is not base64"))?;
            Ok::<_, VaultError>((site, mac))
        };
        Ok(Self {
            text: String::from_utf8_lossy(bytes).into_owned(),
            entry: place.parse(entry.get().as_bytes())?,
            sha256: sha256(bytes),
            message: message(repository_id, entry.get()),
            macs: macs.into_iter().map(mac).collect::<Result<_, _>>()?,
        })
    }
}

/// What the MAC of an entry is of, from the entry's exact bytes. In ASCII, so that a person can ask the key about it by hand.
pub(super) fn message(repository_id: &str, entry: &str) -> Vec<u8> {
    format!("lifeboat ledger entry of repository {repository_id}, sha-256 {}", sha256(entry.as_bytes())).into_bytes()
}
