//! The ledger: a chain of entries that never forks, although several runs write at the same time.
//!
//! An entry's key is its number. It is created only if absent, on the primary first: two writers cannot give one number to two
//! entries, and there is nothing else to keep in step. Each entry names the hash of the one before and has a MAC of each site's
//! key over all of that. Nothing is appended to an entry that no key vouches for. So somebody who may write to the bucket, but not use
//! the keys, can neither alter an entry nor rebuild the chain after it. Each backup names the newest entry at its time, so that cutting
//! off the end of the ledger is noticed as well.

pub(crate) mod fault;
pub(crate) mod mac_keys;
mod stored;
pub(crate) mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{LEDGER_FORMAT, LedgerAct, LedgerEntry, LedgerLink, Mandate, Response, Site};

use crate::error::VaultError;
use crate::layout::{LEDGER_PREFIX, ledger_key, number_of_ledger_key};
use crate::ledger::fault::LedgerFault;
use crate::ledger::mac_keys::{MacKeys, Vouching};
use crate::ledger::stored::{Stored, seal_entry};
use crate::repository::Repository;
use crate::repository::document::Place;
use crate::repository::randomness::random;
use crate::store::checksum::sha256;
use crate::store::contention::{ATTEMPTS, Race};
use crate::store::error::StoreError;
use crate::store::port::{KeyPage, LockPeriod, NewObject, PAGE_KEYS, PutCondition};
use crate::store::sites::{Mirrored, SiteStore, Sites};

/// Longest entry that is read, in bytes: more than the longest that is written.
const ENTRY_LIMIT_BYTES: u64 = 256 * 1024;

/// Longest text of an entry, in characters. What is longer is in the log.
const TEXT_CHARACTERS: usize = 1000;

/// Details of an entry, at most.
const DETAILS: usize = 24;

/// Listings in a search for the newest entry. Each one halves or doubles a distance, or continues by a page.
const LOOKS_LIMIT: usize = 200;

/// Entries read at the same time: enough to hide the store's latency.
const READS_AT_ONCE: usize = 16;

/// Entries in a row that are older than what is wanted before a search gives up: clocks differ, and may be wrong for a while.
const OLDER_IN_A_ROW: usize = 500;

/// Distance from the primary's newest entry at which the off-site's is looked for first.
const NEAR: u64 = 50;

/// Entries that an append brings to the off-site at most, its own among them. A walk that heals brings over any number.
const CATCH_UP: usize = 100;

/// The detail under which an entry carries its writer's random word: how a writer knows its own entry again.
const APPEND_ID: &str = "append_id";

/// Appends to and reads the audit trail.
#[derive(Clone)]
pub struct Ledger {
    sites: Sites,
    macs: MacKeys,
    /// A MAC is of an entry of this repository: none can be moved to another one.
    repository_id: String,
    /// The number of an entry that was there: where the search for the newest begins.
    seen: Arc<AtomicU64>,
    /// For how long an entry cannot be deleted; absent: for as long as the bucket says.
    kept_for: Option<SignedDuration>,
}

/// Which entries are wanted. Each field that is set narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerFilter {
    /// Written at this moment or later.
    pub since: Option<Timestamp>,
    /// Written before this moment.
    pub until: Option<Timestamp>,
    /// A part of the actor's name.
    pub actor: Option<String>,
    /// The exact action.
    pub action: Option<String>,
}

impl LedgerFilter {
    /// Whether `entry` is wanted.
    pub fn wants(&self, entry: &LedgerEntry) -> bool {
        !self.is_too_old(entry)
            && self.until.is_none_or(|until| entry.at < until)
            && self.actor.as_ref().is_none_or(|actor| entry.actor.contains(actor))
            && self.action.as_ref().is_none_or(|action| entry.action == *action)
    }

    fn is_too_old(&self, entry: &LedgerEntry) -> bool {
        self.since.is_some_and(|since| entry.at < since)
    }
}

impl Repository {
    /// The audit trail of this repository. Without MAC keys it can be read and not written.
    pub fn ledger(&self, macs: &MacKeys) -> Ledger {
        let (sites, macs) = (self.sites.clone(), macs.clone());
        Ledger { sites, macs, repository_id: self.id(), seen: Arc::default(), kept_for: None }
    }
}

impl Ledger {
    /// The same trail, whose entries nobody can delete for so long after they were written, where the store can see to that.
    #[must_use]
    pub fn kept_for(self, time: SignedDuration) -> Self {
        Self { kept_for: Some(time), ..self }
    }

    /// Puts an act on record and returns its entry. When it returns, the entry is durable on the primary, and on the other
    /// site unless that one does not serve: a later append, or a walk that heals, brings it there.
    ///
    /// A call that fails may have taken effect; repeating it then makes a second entry.
    ///
    /// # Errors
    /// [`VaultError::NotVouched`] without a key that answers; [`VaultError::LedgerBroken`] when there is nothing to build on;
    /// [`VaultError::Contended`] after many lost races; [`VaultError::Store`].
    pub async fn append(&self, act: LedgerAct, now: Timestamp) -> Result<LedgerEntry, VaultError> {
        let primary = self.sites.primary()?;
        let append_id = hex::encode(random::<8>()?);
        let mut tried = None;
        let mut race = Race::begin();
        for _ in 0..ATTEMPTS {
            let newest = self.newest(primary).await?;
            // A write whose answer was lost looks like one that failed.
            if let Some(number) = tried.take()
                && let Some(ours) = self.written(primary, number, &append_id).await?
            {
                let there = self.newest_offsite(number).await?;
                return self.mirrored(ours, there).await;
            }
            let number = newest.as_ref().map_or(0, |newest| newest.stamp.number);
            let there = self.newest_offsite(number).await?;
            if there.is_some_and(|there| there > number) {
                self.require_here(primary, number.saturating_add(1)).await?;
                // Another writer was faster.
                continue;
            }
            let entry = next_entry(&act, newest.as_ref(), &append_id, now);
            let key = ledger_key(entry.number);
            let object = seal_entry(&entry, &self.repository_id, &self.macs).await?;
            let object = NewObject { period: self.period(entry.at), ..object };
            let bytes = object.body.clone();
            match primary.store().put(&key, object, PutCondition::CreateOnly).await {
                Ok(_) => {
                    let place = Place { site: primary.site(), key: &key };
                    return self.mirrored(Stored::decode(place, &self.repository_id, &bytes)?, there).await;
                }
                Err(StoreError::AlreadyExists { .. }) => {}
                Err(source) if source.advice().response == Response::Retry => tried = Some(entry.number),
                Err(source) => return Err(primary.error(source)),
            }
            race.lost().await;
        }
        Err(VaultError::Contended { key: LEDGER_PREFIX.to_owned(), attempts: ATTEMPTS })
    }

    /// The newest entry, for a backup to name it; `None` while there is none. `named` is what the backup before it names.
    ///
    /// # Errors
    /// [`VaultError::LedgerBroken`] when the primary does not have the entry `named`, or nothing can be said for the newest;
    /// [`VaultError::NotVouched`]; [`VaultError::Store`].
    pub async fn newest_link(&self, named: Option<LedgerLink>) -> Result<Option<LedgerLink>, VaultError> {
        let primary = self.sites.primary()?;
        if let Some(named) = named {
            let key = ledger_key(named.number);
            let found = primary.find(&key, ENTRY_LIMIT_BYTES).await?;
            let fault = match found.map(|found| sha256(&found.body) == named.sha256) {
                Some(true) => None,
                Some(false) => Some(LedgerFault::AnchorDiffers),
                None => Some(LedgerFault::AnchorLost),
            };
            if let Some(reason) = fault {
                return Err(VaultError::LedgerBroken { key, reason });
            }
        }
        Ok(self.newest(primary).await?.map(|stored| stored.link()))
    }

    /// The newest entries that are wanted, newest first, at most `limit`, from the primary or the first site there is. Proves
    /// nothing.
    ///
    /// # Errors
    /// [`VaultError::Document`] for an object that is no entry; [`VaultError::NewerFormat`]; [`VaultError::Store`].
    pub async fn entries(&self, filter: &LedgerFilter, limit: usize) -> Result<Vec<LedgerEntry>, VaultError> {
        let store = self.reading_site()?;
        let newest = self.newest_number(store, 0).await?;
        let mut read = futures_util::stream::iter((1..=newest).rev())
            .map(|number| async move { self.read(store, number).await?.into_entry(store.site()) })
            .buffered(READS_AT_ONCE);
        let (mut wanted, mut older_in_a_row) = (Vec::new(), 0);
        while wanted.len() < limit
            && older_in_a_row < OLDER_IN_A_ROW
            && let Some(entry) = read.try_next().await?
        {
            older_in_a_row = if filter.is_too_old(&entry) { older_in_a_row + 1 } else { 0 };
            wanted.extend(Some(entry).filter(|entry| filter.wants(entry)));
        }
        Ok(wanted)
    }

    /// The entries after `number`, oldest first, at most `limit`: the next ones, or the newest after none at all. Proves nothing, and
    /// passes over what is no entry: a verification names it. It ends before an entry of a newer format, which a newer version must read.
    ///
    /// # Errors
    /// As [`Ledger::entries`].
    pub async fn after(&self, number: u64, limit: u64) -> Result<Vec<LedgerEntry>, VaultError> {
        let store = self.reading_site()?;
        let newest = self.newest_number(store, number).await?;
        let first = if number == 0 { newest.saturating_sub(limit) } else { number }.saturating_add(1);
        let last = newest.min(first.saturating_add(limit).saturating_sub(1));
        let read = futures_util::stream::iter(first..=last)
            .map(|number| async move { (number, self.read(store, number).await) });
        let mut read = read.buffered(READS_AT_ONCE);
        let mut entries = Vec::new();
        while let Some((number, stored)) = read.next().await {
            match stored.and_then(|stored| stored.into_entry(store.site())) {
                Ok(entry) => entries.push(entry),
                Err(VaultError::NewerFormat { .. }) if !entries.is_empty() => break,
                Err(error @ VaultError::NewerFormat { .. }) => return Err(error),
                Err(error) if error.is_outage_of(store.site()) => return Err(error),
                Err(error) => tracing::warn!(number, %error, "an entry of the ledger cannot be read"),
            }
        }
        Ok(entries)
    }

    fn reading_site(&self) -> Result<&SiteStore, VaultError> {
        self.sites.iter().next().ok_or(VaultError::NoRepository)
    }

    /// The newest entry of the primary, for which a key vouches. On any other nothing is built: the next MAC would vouch for it.
    async fn newest(&self, primary: &SiteStore) -> Result<Option<Stored>, VaultError> {
        let seen = self.seen.load(Ordering::Relaxed);
        let mut number = self.newest_number(primary, seen).await?;
        if number == seen && seen > 0 && primary.head(&ledger_key(seen)).await?.is_none() {
            number = self.newest_number(primary, 0).await?;
        }
        self.seen.store(number, Ordering::Relaxed);
        if number == 0 {
            return Ok(None);
        }
        let broken = |reason| Err(VaultError::LedgerBroken { key: ledger_key(number), reason });
        let stored = match self.read(primary, number).await {
            Ok(stored) if stored.stamp.number == number => stored,
            Ok(_) => return broken(LedgerFault::Number),
            Err(VaultError::Document { .. } | VaultError::Damaged { .. }) => return broken(LedgerFault::NoEntry),
            Err(VaultError::Store { source: StoreError::TooLarge { .. }, .. }) => return broken(LedgerFault::NoEntry),
            Err(error) => return Err(error),
        };
        let Vouching { vouches, denies, silent } = self.macs.judge(&stored.message, &stored.macs).await;
        if !denies.is_empty() {
            return broken(LedgerFault::Mac);
        }
        match (vouches.is_empty(), silent.is_empty()) {
            (false, _) => Ok(Some(stored)),
            (true, true) if self.macs.is_empty() => Err(VaultError::NotVouched { reason: self.macs.troubles() }),
            (true, true) => broken(LedgerFault::NotVouched),
            (true, false) => Err(VaultError::NotVouched { reason: self.macs.troubles() }),
        }
    }

    /// The number of the off-site's newest entry, beside the primary's `newest`; `None` when there is no off-site, or it does not
    /// serve.
    async fn newest_offsite(&self, newest: u64) -> Result<Option<u64>, VaultError> {
        let offsite = match (newest, self.sites.get(Site::Offsite)) {
            (_, Err(_)) => return Ok(None),
            // The very first entry needs an answer: the off-site may hold a ledger that began long ago.
            (0, Ok(offsite)) => offsite,
            (_, Ok(_)) => match self.sites.offsite() {
                Some(offsite) => offsite,
                None => return Ok(None),
            },
        };
        let near = newest.saturating_sub(NEAR);
        let looked = async {
            match self.newest_number(offsite, near).await? {
                // Nothing is behind it, and whether it is there itself was not asked.
                number if number == near && near > 0 => self.newest_number(offsite, 0).await,
                number => Ok(number),
            }
        };
        match (newest, looked.await) {
            (0, looked) => looked.map(Some),
            (_, looked) => self.sites.or_aside(looked),
        }
    }

    async fn require_here(&self, primary: &SiteStore, number: u64) -> Result<(), VaultError> {
        let key = ledger_key(number);
        match primary.head(&key).await? {
            Some(_) => Ok(()),
            None => Err(VaultError::LedgerBroken { key, reason: LedgerFault::LostHere }),
        }
    }

    /// Our own entry under the number it was tried with, when that try had succeeded after all.
    async fn written(&self, primary: &SiteStore, number: u64, append_id: &str) -> Result<Option<Stored>, VaultError> {
        if primary.head(&ledger_key(number)).await?.is_none() {
            return Ok(None);
        }
        let stored = self.read(primary, number).await?;
        let id = |stored: &Stored| stored.entry.as_ref()?.detail.get(APPEND_ID).cloned();
        Ok(Some(stored).filter(|stored| id(stored).as_deref() == Some(append_id)))
    }

    /// The entry, brought to the off-site with those that it does not have yet, in their order: what is there is the trail up to
    /// some entry, without a hole. `there` is the number of its newest.
    async fn mirrored(&self, stored: Stored, there: Option<u64>) -> Result<LedgerEntry, VaultError> {
        let number = stored.stamp.number;
        self.seen.store(number, Ordering::Relaxed);
        // A trace outside the buckets: somebody who cuts off the ledger would have to alter the log as well.
        tracing::info!(number, sha256 = %stored.sha256, "put on record");
        let Some(there) = there else { return stored.into_entry(Site::Primary) };
        for missing in (there.saturating_add(1)..=number).take(CATCH_UP) {
            match self.bring_over(missing, &stored).await {
                Ok(Mirrored::Same) => {}
                Ok(Mirrored::Differs(_)) => {
                    let reason = LedgerFault::OffsiteDiffers;
                    return Err(VaultError::LedgerBroken { key: ledger_key(missing), reason });
                }
                Err(error) => {
                    // The audit trail must not stop because a region is away.
                    tracing::warn!(number = missing, error = %error, "a ledger entry did not reach the other site");
                    break;
                }
            }
        }
        stored.into_entry(Site::Primary)
    }

    async fn bring_over(&self, number: u64, newest: &Stored) -> Result<Mirrored, VaultError> {
        let key = ledger_key(number);
        if number == newest.stamp.number {
            return self.sites.create_offsite(&key, self.object(newest)).await;
        }
        let older = self.read(self.sites.primary()?, number).await?;
        self.sites.create_offsite(&key, self.object(&older)).await
    }

    /// An entry as it is stored, to be stored once more.
    fn object(&self, stored: &Stored) -> NewObject {
        NewObject { period: self.period(stored.stamp.at), ..NewObject::new(stored.text.clone()) }
    }

    /// No store takes a time that is over.
    fn period(&self, at: Timestamp) -> LockPeriod {
        let until = self.kept_for.and_then(|kept_for| at.checked_add(kept_for).ok());
        until.filter(|until| *until > Timestamp::now()).map_or(LockPeriod::Bucket, LockPeriod::AtLeast)
    }

    /// The number of the newest entry of a site, at least `from`, which must be there; 0 for none. Looks ahead by growing
    /// distances, then nearer: what is listed does not grow with the ledger.
    async fn newest_number(&self, store: &SiteStore, from: u64) -> Result<u64, VaultError> {
        let after = |number| async move { store.list(LEDGER_PREFIX, Some(&ledger_key(number))).await };
        let (mut known, mut distance) = (from, PAGE_KEYS as u64);
        let mut page = after(known).await?;
        for _ in 0..LOOKS_LIMIT {
            known = last_number(&page)?.unwrap_or(known);
            if !page.more {
                return Ok(known);
            }
            let ahead = after(known.saturating_add(distance)).await?;
            if !ahead.keys.is_empty() {
                page = ahead;
                distance *= 2;
            } else if distance > PAGE_KEYS as u64 {
                distance /= 2;
            } else {
                page = after(known).await?;
            }
        }
        Err(VaultError::TooMany { what: "looks for the newest ledger entry", limit: LOOKS_LIMIT })
    }

    async fn read(&self, store: &SiteStore, number: u64) -> Result<Stored, VaultError> {
        let key = ledger_key(number);
        let fetched = store.get(&key, ENTRY_LIMIT_BYTES).await?;
        Stored::decode(Place { site: store.site(), key: &key }, &self.repository_id, &fetched.body)
    }
}

/// The number of a page's last key. A key that no entry has is an error: an entry may have been renamed to it.
fn last_number(page: &KeyPage) -> Result<Option<u64>, VaultError> {
    let Some(key) = page.keys.last() else { return Ok(None) };
    let number = number_of_ledger_key(key);
    let broken = || VaultError::LedgerBroken { key: key.clone(), reason: LedgerFault::StrayKey };
    number.map(Some).ok_or_else(broken)
}

fn next_entry(act: &LedgerAct, newest: Option<&Stored>, append_id: &str, now: Timestamp) -> LedgerEntry {
    let LedgerAct { mandate: Mandate { actor, reason }, action, subject, outcome, detail } = act;
    let short = |text: &String| text.chars().take(TEXT_CHARACTERS).collect::<String>();
    let detail = detail.iter().take(DETAILS).map(|(name, value)| (short(name), short(value)));
    LedgerEntry {
        format: LEDGER_FORMAT,
        number: newest.map_or(0, |newest| newest.stamp.number).saturating_add(1),
        previous: newest.map(|newest| newest.sha256),
        at: now,
        actor: short(actor),
        reason: short(reason),
        action: action.to_string(),
        subject: short(subject),
        outcome: *outcome,
        detail: detail.chain([(APPEND_ID.to_owned(), append_id.to_owned())]).collect(),
    }
}
