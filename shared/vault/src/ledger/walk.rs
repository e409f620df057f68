//! Reading the chain, and proving that it is one.

use std::collections::{BTreeMap, HashMap};

use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_model::{LedgerEntry, Sha256, Site};
use serde::Serialize;

use super::stored::Stored;
use super::{ENTRY_LIMIT_BYTES, FoundHead, Ledger, NOBODY_VOUCHES, head_is_damaged};
use crate::document::Place;
use crate::error::VaultError;
use crate::layout::{LEDGER_HEAD_KEY, LEDGER_PREFIX, ledger_key};
use crate::mac::Vouching;
use crate::sites::SiteStore;

/// Entries read, and keys asked about one, at the same time.
const READS_AT_ONCE: usize = 16;

/// Which entries are wanted. Absent: any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerFilter {
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// A part of the actor's name.
    pub actor: Option<String>,
    /// The act.
    pub action: Option<String>,
}

impl LedgerFilter {
    fn wants(&self, entry: &LedgerEntry) -> bool {
        self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
            && self.actor.as_ref().is_none_or(|actor| entry.actor.contains(actor.as_str()))
            && self.action.as_ref().is_none_or(|action| entry.action == *action)
    }

    /// Whether an entry under this key may be of a day that is wanted.
    fn may_want(&self, key: &str) -> bool {
        let day = |at: Timestamp| format!("{LEDGER_PREFIX}{}/", at.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d"));
        let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.since.is_none_or(|since| folder >= day(since).trim_end_matches('/'))
            && self.until.is_none_or(|until| folder <= day(until).trim_end_matches('/'))
    }
}

/// What a walk along the whole chain found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// Entries, each naming the hash of the one before.
    pub entries: u64,
    /// The newest one's SHA-256; absent for an empty ledger.
    pub newest: Option<Sha256>,
    /// Entries for which at least one key vouches.
    pub proved: u64,
    /// Entries for which the key of a site vouches, for each key that was asked.
    pub vouched: BTreeMap<Site, u64>,
    /// Keys that were not asked about all entries, and why.
    pub silent: BTreeMap<Site, String>,
}

impl ChainReport {
    /// Whether a key vouches for every entry. Hashes alone prove nothing against somebody who can compute them.
    pub fn is_proved(&self) -> bool {
        self.proved == self.entries
    }
}

impl Ledger {
    /// The newest entries that are wanted, newest first, at most `limit`, from the primary or the first site there is.
    ///
    /// # Errors
    /// [`VaultError::Document`] for an object that is no entry; [`VaultError::Store`].
    pub async fn entries(&self, filter: &LedgerFilter, limit: usize) -> Result<Vec<LedgerEntry>, VaultError> {
        let store = self.reading_site()?;
        let keys = self.keys(store).await?;
        let wanted = keys.iter().rev().filter(|key| filter.may_want(key));
        let entries = futures_util::stream::iter(wanted)
            .map(|key| async move { Ok::<_, VaultError>(self.read(store, key).await?.entry) })
            .buffered(READS_AT_ONCE)
            .try_filter(|entry| std::future::ready(filter.wants(entry)));
        entries.take(limit).try_collect().await
    }

    /// Walks the whole chain on the first site there is: numbers without gaps, each entry under its own key and naming
    /// the hash of the one before, each MAC that of its key, none without; and on the primary, the head vouches for the newest.
    /// What the other site has of it must be the same bytes; entries that have not reached it yet are no break. What is appended
    /// meanwhile is not looked at.
    ///
    /// # Errors
    /// [`VaultError::LedgerBroken`] names the first entry that does not fit; [`VaultError::Document`] one that is none.
    pub async fn verify_chain(&self) -> Result<ChainReport, VaultError> {
        Ok(self.walk().await?.report)
    }

    async fn walk(&self) -> Result<Walked, VaultError> {
        let store = self.reading_site()?;
        let keys = self.keys(store).await?;
        let mut walked = Walked::default();
        let mut read = futures_util::stream::iter(&keys)
            .map(async |key| {
                let stored = self.read(store, key).await?;
                let vouching = self.macs.judge(&stored.message, &stored.macs).await;
                Ok::<_, VaultError>((key, stored, vouching))
            })
            .buffered(READS_AT_ONCE);
        while let Some((key, stored, vouching)) = read.try_next().await? {
            walked.step(key, &stored, vouching, !self.macs.is_empty())?;
        }
        if store.site() == Site::Primary {
            walked.check_head(self.read_head(store).await?)?;
        }
        for other in self.sites.iter().filter(|other| other.site() != store.site()) {
            let (known, later): (Vec<String>, Vec<String>) =
                self.keys(other).await?.into_iter().partition(|key| keys.last().is_some_and(|newest| key <= newest));
            // What was appended meanwhile was stored here first.
            for key in later {
                if store.head(&key).await?.is_none() {
                    return Err(VaultError::LedgerBroken { key, reason: "the other site has it, and it is lost here" });
                }
            }
            let mut read = futures_util::stream::iter(known)
                .map(async |key| Ok::<_, VaultError>((self.read(other, &key).await?.sha256, key)))
                .buffered(READS_AT_ONCE);
            while let Some((sha256, key)) = read.try_next().await? {
                if walked.hashes.get(&key) != Some(&sha256) {
                    return Err(VaultError::LedgerBroken { key, reason: "the other site has another entry" });
                }
            }
        }
        Ok(walked)
    }

    /// Walks the chain, then gives the entries that are wanted to `take`, exactly as they are stored and were proved, oldest first,
    /// until it wants no more.
    ///
    /// # Errors
    /// As [`Ledger::verify_chain`].
    pub async fn export(
        &self,
        filter: &LedgerFilter,
        mut take: impl FnMut(&str) -> bool,
    ) -> Result<ChainReport, VaultError> {
        let (store, walked) = (self.reading_site()?, self.walk().await?);
        let mut wanted: Vec<&String> = walked.hashes.keys().filter(|key| filter.may_want(key)).collect();
        wanted.sort_unstable();
        let mut read = futures_util::stream::iter(wanted)
            .map(async |key| Ok::<_, VaultError>((key, self.read(store, key).await?)))
            .buffered(READS_AT_ONCE);
        while let Some((key, stored)) = read.try_next().await? {
            if walked.hashes.get(key) != Some(&stored.sha256) {
                return Err(VaultError::LedgerBroken {
                    key: key.clone(),
                    reason: "it was altered after it was proved",
                });
            }
            if filter.wants(&stored.entry) && !take(&stored.text) {
                break;
            }
        }
        Ok(walked.report)
    }

    async fn read(&self, store: &SiteStore, key: &str) -> Result<Stored, VaultError> {
        let fetched = store.get(key, ENTRY_LIMIT_BYTES).await?;
        Stored::decode(Place { site: store.site(), key }, &self.repository_id, &fetched.body)
    }
}

/// How far a walk has come.
#[derive(Default)]
struct Walked {
    report: ChainReport,
    hashes: HashMap<String, Sha256>,
}

impl Walked {
    fn step(&mut self, key: &str, stored: &Stored, vouching: Vouching, has_keys: bool) -> Result<(), VaultError> {
        let broken = |reason| VaultError::LedgerBroken { key: key.to_owned(), reason };
        let (report, Stored { entry, sha256, macs, .. }) = (&mut self.report, stored);
        let Vouching { vouches, denies, silent } = vouching;
        if entry.number != report.entries + 1 {
            return Err(broken("its number does not follow"));
        }
        if ledger_key(entry.at, entry.number) != key {
            return Err(broken("it is under another entry's key"));
        }
        if entry.previous != report.newest {
            return Err(broken("it does not name the entry before it"));
        }
        if !denies.is_empty() {
            return Err(broken("its MAC is not that of the key"));
        }
        if has_keys && vouches.is_empty() && silent.is_empty() {
            let is_elsewhere = !macs.is_empty();
            return Err(broken(if is_elsewhere {
                "only a key that is not configured here could vouch for it"
            } else {
                NOBODY_VOUCHES
            }));
        }
        report.proved += u64::from(!vouches.is_empty());
        vouches.into_iter().for_each(|site| *report.vouched.entry(site).or_default() += 1);
        for (site, why) in silent {
            report.silent.entry(site).or_insert(why);
        }
        (report.entries, report.newest) = (entry.number, Some(*sha256));
        self.hashes.insert(key.to_owned(), *sha256);
        Ok(())
    }

    /// The head, read after the walk, holds the newest entry, or the one after it, whose writer died before it was stored, or a
    /// later one that was appended meanwhile.
    fn check_head(&self, head: FoundHead) -> Result<(), VaultError> {
        let broken = |reason| VaultError::LedgerBroken { key: LEDGER_HEAD_KEY.to_owned(), reason };
        let newest = match head {
            FoundHead::Nothing if self.report.entries == 0 => return Ok(()),
            FoundHead::Nothing => return Err(broken("it is lost")),
            FoundHead::Damaged(_) => return Err(head_is_damaged()),
            FoundHead::Sound(newest) => newest,
        };
        let fits = match newest.entry.number.checked_sub(self.report.entries) {
            Some(0) => Some(newest.sha256()) == self.report.newest,
            Some(1) => newest.entry.previous == self.report.newest,
            later => later.is_some(),
        };
        if fits { Ok(()) } else { Err(broken("its entry is not the newest one")) }
    }
}
