//! The audit trail: a chain of entries that never forks, whoever writes at the same time.
//!
//! One object, `state/ledger-head.json`, decides. It holds the newest entry whole: its key and its exact bytes. Whoever
//! appends first sees to it that this entry is stored as an object, then swaps the head for one that holds the next entry.
//! So a number is given out by exactly one compare-and-swap, an entry's predecessor is always stored before its number
//! exists, and a writer that dies between the swap and the object leaves all that the next one needs to finish its work.
//! The entry's day is never before that of its predecessor, whatever the clocks say: the order of keys is the chain's.
//!
//! Each entry has a MAC of each site's key, over the entry with its number and its predecessor's hash: who may write to the
//! bucket and not ask the keys can neither alter an entry nor make the chain anew behind it.

mod stored;
mod walk;

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use lifeboat_model::{LedgerAct, LedgerEntry, Sha256};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::walk::{ChainReport, LedgerFilter};

use self::stored::{Stored, message};
use crate::checksum::sha256;
use crate::document::{Place, encode};
use crate::error::VaultError;
use crate::layout::{LEDGER_HEAD_KEY, LEDGER_PREFIX, ledger_key};
use crate::mac::{MacKeys, Vouching};
use crate::repository::{Repository, random};
use crate::sites::{Mirrored, SiteStore, Sites};
use crate::store::{Fetched, NewObject, PutCondition, Version};
use crate::store_error::{Retry, StoreError};

/// Longest entry or head that is read, in bytes.
const ENTRY_LIMIT_BYTES: u64 = 256 * 1024;

/// Times that an append is tried when others append too. Each round one of them succeeds.
const APPEND_ATTEMPTS: u32 = 48;

/// Longest pause between two tries: many times the round trip of a swap, so that a crowd spreads out.
const PAUSE_LIMIT: Duration = Duration::from_millis(400);

/// Pages of a listing of the ledger: ten million entries.
const LIST_PAGES_LIMIT: usize = 10_000;

/// What an entry that was made without the keys is called.
const NOBODY_VOUCHES: &str = "no key vouches for it";

/// The detail under which an entry carries its writer's random word: how a writer knows its own entry again.
const APPEND_ID: &str = "append_id";

/// Appends to and reads the audit trail.
#[derive(Clone)]
pub struct Ledger {
    sites: Sites,
    macs: MacKeys,
    /// A MAC is of an entry of this repository: none can be moved to another one.
    repository_id: String,
}

/// `state/ledger-head.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    key: String,
    stored: Box<RawValue>,
}

struct Newest {
    head: Head,
    version: Version,
    entry: LedgerEntry,
}

impl Newest {
    /// Of the entry's stored bytes.
    fn sha256(&self) -> Sha256 {
        sha256(self.head.stored.get().as_bytes())
    }
}

/// What a site has in the place of the head.
enum FoundHead {
    Nothing,
    /// Bytes that are no head, or one whose entry does not belong under its key. There is no second copy to heal it from.
    Damaged(Version),
    Sound(Box<Newest>),
}

impl Repository {
    /// The audit trail of this repository. Without MAC keys it is read, and what is appended has nobody to vouch for it.
    pub fn ledger(&self, macs: &MacKeys) -> Ledger {
        Ledger { sites: self.sites.clone(), macs: macs.clone(), repository_id: self.id() }
    }
}

impl Ledger {
    /// Puts an act on record and returns its entry. When it returns, the entry is durable on the primary, and on the other
    /// site unless that one failed: see [`Ledger::copy_to_other_site`].
    ///
    /// A call that fails may have taken effect; repeating it then makes a second entry.
    ///
    /// # Errors
    /// [`VaultError::Contended`] after many lost swaps; [`VaultError::LedgerBroken`]; [`VaultError::Store`].
    pub async fn append(&self, act: LedgerAct, now: Timestamp) -> Result<LedgerEntry, VaultError> {
        let append_id = hex::encode(random::<8>()?);
        let mut tried: Option<String> = None;
        for attempt in 0..APPEND_ATTEMPTS {
            let newest = self.newest().await?;
            if let Some(newest) = &newest {
                self.store(newest).await?;
            }
            // A swap whose answer was lost, or that was repeated and met itself, looks like one that failed.
            if let Some(ours) = self.written(tried.as_deref(), &append_id).await? {
                return Ok(ours);
            }
            let entry = next_entry(&act, newest.as_ref(), &append_id, now);
            tried = Some(ledger_key(entry.at, entry.number));
            let head = self.vouched(&entry).await?;
            if let Some(newest) = self.swap(newest, head, entry).await? {
                self.store(&newest).await?;
                return Ok(newest.entry);
            }
            tokio::time::sleep(pause(attempt)?).await;
        }
        Err(VaultError::Contended { key: LEDGER_HEAD_KEY.to_owned(), attempts: APPEND_ATTEMPTS })
    }

    /// Brings entries to the other site that did not reach it when they were written. Returns how many.
    ///
    /// # Errors
    /// [`VaultError::Store`]; [`VaultError::LedgerBroken`] when the sites differ on an entry.
    pub async fn copy_to_other_site(&self) -> Result<usize, VaultError> {
        let (primary, Some(offsite)) = (self.sites.primary()?, self.sites.offsite()) else { return Ok(0) };
        let there: HashSet<String> = self.keys(offsite).await?.into_iter().collect();
        let mut copied = 0;
        for key in self.keys(primary).await?.into_iter().filter(|key| !there.contains(key)) {
            let fetched = primary.get(&key, ENTRY_LIMIT_BYTES).await?;
            let size_bytes = fetched.body.len() as u64;
            match self.sites.mirror(&key, &sha256(&fetched.body), size_bytes).await? {
                Mirrored::Same => copied += 1,
                Mirrored::Differs(_) => {
                    return Err(VaultError::LedgerBroken { key, reason: "the other site has another entry" });
                }
            }
        }
        Ok(copied)
    }

    fn reading_site(&self) -> Result<&SiteStore, VaultError> {
        self.sites.iter().next().ok_or(VaultError::NoRepository)
    }

    async fn newest(&self) -> Result<Option<Newest>, VaultError> {
        let primary = self.sites.primary()?;
        // A ledger without a head is new, or it lost its head: then the newest entry stored becomes the head again. An entry
        // that only a damaged head held had not been acknowledged to anybody; and on one that no key vouches for nothing is
        // built, or the next MAC would vouch for it.
        let condition = match self.read_head(primary).await? {
            FoundHead::Sound(newest) => return Ok(Some(*newest)),
            FoundHead::Nothing => PutCondition::CreateOnly,
            FoundHead::Damaged(version) => {
                tracing::warn!(
                    key = LEDGER_HEAD_KEY,
                    "the head of the ledger is damaged; the newest entry becomes the head"
                );
                PutCondition::IfMatch(version)
            }
        };
        let Some(key) = self.keys(primary).await?.pop() else {
            return match condition {
                PutCondition::CreateOnly => Ok(None),
                PutCondition::IfMatch(_) => Err(head_is_damaged()),
            };
        };
        let fetched = primary.get(&key, ENTRY_LIMIT_BYTES).await?;
        let place = Place { site: primary.site(), key: &key };
        if !self.is_vouched(&Stored::decode(place, &self.repository_id, &fetched.body)?).await? {
            return Err(VaultError::LedgerBroken { key, reason: NOBODY_VOUCHES });
        }
        let stored = place.parse(&fetched.body)?;
        let object = NewObject::new(encode(LEDGER_HEAD_KEY, &Head { key, stored })?);
        match primary.store().put(LEDGER_HEAD_KEY, object, condition).await {
            Ok(_) | Err(StoreError::AlreadyExists { .. } | StoreError::VersionChanged { .. }) => {}
            Err(source) => return Err(primary.error(source)),
        }
        match self.read_head(primary).await? {
            FoundHead::Sound(newest) => Ok(Some(*newest)),
            FoundHead::Nothing | FoundHead::Damaged(_) => Err(head_is_damaged()),
        }
    }

    async fn read_head(&self, primary: &SiteStore) -> Result<FoundHead, VaultError> {
        let Some(fetched) = primary.find(LEDGER_HEAD_KEY, ENTRY_LIMIT_BYTES).await? else {
            return Ok(FoundHead::Nothing);
        };
        let Fetched { body, version, .. } = fetched;
        let place = Place { site: primary.site(), key: LEDGER_HEAD_KEY };
        let Ok(head) = place.parse::<Head>(&body) else { return Ok(FoundHead::Damaged(version)) };
        let Ok(stored) = Stored::decode(place, &self.repository_id, head.stored.get().as_bytes()) else {
            return Ok(FoundHead::Damaged(version));
        };
        // Under any other key the entry would be stored where it breaks the chain for ever.
        let belongs = ledger_key(stored.entry.at, stored.entry.number) == head.key;
        if !belongs || !self.is_vouched(&stored).await? {
            return Ok(FoundHead::Damaged(version));
        }
        Ok(FoundHead::Sound(Box::new(Newest { head, version, entry: stored.entry })))
    }

    /// Sees to it that the head's entry is an object on the primary, and tries the same on the other site.
    async fn store(&self, newest: &Newest) -> Result<(), VaultError> {
        let primary = self.sites.primary()?;
        let object = NewObject::new(newest.head.stored.get().as_bytes().to_vec());
        let (sha256, size_bytes) = (object.sha256, object.body.len() as u64);
        let key = newest.head.key.as_str();
        primary.create(key, object).await.map_err(|error| match error {
            VaultError::Store { source: StoreError::AlreadyExists { .. }, .. } => {
                VaultError::LedgerBroken { key: key.to_owned(), reason: "another entry has its key" }
            }
            other => other,
        })?;
        if let Err(error) = self.sites.mirror(key, &sha256, size_bytes).await {
            // The audit trail must not stop because a region is away: `copy_to_other_site` catches up.
            tracing::warn!(key, error = %error, "the ledger entry did not reach the other site");
        }
        Ok(())
    }

    /// Our own entry under the key it was tried with, when that try had succeeded after all.
    async fn written(&self, tried: Option<&str>, append_id: &str) -> Result<Option<LedgerEntry>, VaultError> {
        let (Some(key), primary) = (tried, self.sites.primary()?) else { return Ok(None) };
        let Some(fetched) = primary.find(key, ENTRY_LIMIT_BYTES).await? else { return Ok(None) };
        let Stored { entry, .. } =
            Stored::decode(Place { site: primary.site(), key }, &self.repository_id, &fetched.body)?;
        Ok((entry.detail.get(APPEND_ID).map(String::as_str) == Some(append_id)).then_some(entry))
    }

    /// Whether a key vouches for what is stored. Without keys, nobody can say otherwise.
    ///
    /// # Errors
    /// [`VaultError::NotVouched`] when the keys that could did not answer.
    async fn is_vouched(&self, stored: &Stored) -> Result<bool, VaultError> {
        let Vouching { vouches, denies, silent } = self.macs.judge(&stored.message, &stored.macs).await;
        match (denies.is_empty(), vouches.is_empty()) {
            (true, true) if self.macs.is_empty() => Ok(true),
            (true, true) if !silent.is_empty() => Err(VaultError::NotVouched),
            (no_denial, none) => Ok(no_denial && !none),
        }
    }

    /// The head that holds `entry` with the MACs of the keys that answer.
    async fn vouched(&self, entry: &LedgerEntry) -> Result<Head, VaultError> {
        let encoding = |source| VaultError::Encode { key: LEDGER_HEAD_KEY.to_owned(), source };
        let raw = serde_json::value::to_raw_value(entry).map_err(encoding)?;
        let macs = self.macs.macs(&message(&self.repository_id, raw.get())).await;
        if macs.is_empty() && !self.macs.is_empty() {
            return Err(VaultError::NotVouched);
        }
        let stored = serde_json::value::to_raw_value(&stored::Envelope::new(raw, &macs)).map_err(encoding)?;
        Ok(Head { key: ledger_key(entry.at, entry.number), stored })
    }

    /// Makes `entry`, which `head` holds, the newest; `None` when somebody else was faster, or nobody knows.
    async fn swap(&self, newest: Option<Newest>, head: Head, entry: LedgerEntry) -> Result<Option<Newest>, VaultError> {
        let primary = self.sites.primary()?;
        let object = NewObject::new(encode(LEDGER_HEAD_KEY, &head)?);
        let condition = newest.map_or(PutCondition::CreateOnly, |newest| PutCondition::IfMatch(newest.version));
        match primary.store().put(LEDGER_HEAD_KEY, object, condition).await {
            Ok(version) => Ok(Some(Newest { head, version, entry })),
            Err(StoreError::AlreadyExists { .. }) => Ok(None),
            Err(source) if source.retry() == Retry::Soon => Ok(None),
            Err(source) => Err(primary.error(source)),
        }
    }

    /// The keys of all entries in the order of the chain.
    async fn keys(&self, store: &SiteStore) -> Result<Vec<String>, VaultError> {
        let mut keys: Vec<String> = Vec::new();
        for _ in 0..LIST_PAGES_LIMIT {
            let page = store.list(LEDGER_PREFIX, keys.last().map(String::as_str)).await?;
            let more = page.more && !page.keys.is_empty();
            keys.extend(page.keys);
            if !more {
                return Ok(keys);
            }
        }
        Err(VaultError::TooMany { what: "pages in the listing of the ledger", limit: LIST_PAGES_LIMIT })
    }
}

fn next_entry(act: &LedgerAct, newest: Option<&Newest>, append_id: &str, now: Timestamp) -> LedgerEntry {
    let LedgerAct { actor, action, subject, outcome, mut detail } = act.clone();
    detail.insert(APPEND_ID.to_owned(), append_id.to_owned());
    LedgerEntry {
        number: newest.map_or(1, |newest| newest.entry.number.saturating_add(1)),
        previous: newest.map(Newest::sha256),
        at: newest.map_or(now, |newest| newest.entry.at.max(now)),
        actor,
        action,
        subject,
        outcome,
        detail,
    }
}

fn head_is_damaged() -> VaultError {
    VaultError::LedgerBroken { key: LEDGER_HEAD_KEY.to_owned(), reason: "it is damaged" }
}

/// A random pause that grows with the attempt.
fn pause(attempt: u32) -> Result<Duration, VaultError> {
    let ceiling = Duration::from_millis(5).saturating_mul(1 << attempt.min(10)).min(PAUSE_LIMIT);
    let [random] = random::<1>()?;
    Ok(ceiling.mul_f64(f64::from(random) / 255.0))
}
