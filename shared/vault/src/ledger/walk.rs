//! Reading the chain, and proving that it is one.

use std::collections::{BTreeMap, HashMap};

use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_model::{LedgerEntry, Sha256, Site};
use serde::Serialize;

use super::stored::Stored;
use super::{ENTRY_LIMIT_BYTES, FoundHead, Ledger, head_is_damaged, read_head};
use crate::document::Place;
use crate::error::VaultError;
use crate::layout::{LEDGER_HEAD_KEY, LEDGER_PREFIX, ledger_key};
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
    /// Entries for which the key of a site vouches, for each key that was asked.
    pub vouched: BTreeMap<Site, u64>,
    /// Keys that were not asked about all entries, and why.
    pub silent: BTreeMap<Site, String>,
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
    /// the hash of the one before; each MAC that of its key; and on the primary, the head vouches for the newest. What the
    /// other site has of it must be the same bytes; entries that have not reached it yet are no break.
    ///
    /// An entry that no key vouches for (none answered when it was written) is held by the next one that has a MAC, which is
    /// over the hashes of all before it. A newest entry without one is held by nothing.
    ///
    /// # Errors
    /// [`VaultError::LedgerBroken`] names the first entry that does not fit; [`VaultError::Document`] one that is none.
    pub async fn verify_chain(&self) -> Result<ChainReport, VaultError> {
        let store = self.reading_site()?;
        let mut report = ChainReport::default();
        let mut hashes = HashMap::new();
        let mut newest_is_vouched = true;
        let keys = self.keys(store).await?;
        let mut read = futures_util::stream::iter(&keys)
            .map(|key| async move { Ok::<_, VaultError>((key, self.read_vouched(store, key).await?)) })
            .buffered(READS_AT_ONCE);
        while let Some((key, (stored, vouching))) = read.try_next().await? {
            let broken = |reason| VaultError::LedgerBroken { key: key.clone(), reason };
            let Stored { entry, sha256, .. } = stored;
            if entry.number != report.entries + 1 {
                return Err(broken("its number does not follow"));
            }
            if ledger_key(entry.at, entry.number) != *key {
                return Err(broken("it is under another entry's key"));
            }
            if entry.previous != report.newest {
                return Err(broken("it does not name the entry before it"));
            }
            newest_is_vouched = false;
            for (site, vouched) in vouching {
                match vouched {
                    Vouched::Yes => *report.vouched.entry(site).or_default() += 1,
                    Vouched::No => return Err(broken("its MAC is not that of the key")),
                    Vouched::Unasked(why) => drop(report.silent.entry(site).or_insert(why)),
                }
                newest_is_vouched = true;
            }
            (report.entries, report.newest) = (entry.number, Some(sha256));
            hashes.insert(key.clone(), sha256);
        }
        if let Some(key) = keys.last().filter(|_| !newest_is_vouched && !self.macs.is_empty()) {
            return Err(VaultError::LedgerBroken {
                key: key.clone(),
                reason: "no key vouches for it, nor for one after it",
            });
        }
        if store.site() == Site::Primary {
            self.verify_head(store, &report).await?;
        }
        for other in self.sites.iter().filter(|other| other.site() != store.site()) {
            for key in self.keys(other).await? {
                if hashes.get(&key) != Some(&self.read(other, &key).await?.sha256) {
                    return Err(VaultError::LedgerBroken { key, reason: "the other site has another entry" });
                }
            }
        }
        Ok(report)
    }

    /// Gives the entries that are wanted to `take`, exactly as they are stored, oldest first.
    ///
    /// # Errors
    /// As [`Ledger::entries`].
    pub async fn export(&self, filter: &LedgerFilter, mut take: impl FnMut(&str)) -> Result<(), VaultError> {
        let store = self.reading_site()?;
        let keys = self.keys(store).await?;
        let wanted = keys.iter().filter(|key| filter.may_want(key));
        let mut read = futures_util::stream::iter(wanted)
            .map(|key| async move { self.read(store, key).await })
            .buffered(READS_AT_ONCE);
        while let Some(stored) = read.try_next().await? {
            if filter.wants(&stored.entry) {
                take(&stored.text);
            }
        }
        Ok(())
    }

    async fn read(&self, store: &SiteStore, key: &str) -> Result<Stored, VaultError> {
        let fetched = store.get(key, ENTRY_LIMIT_BYTES).await?;
        Stored::decode(Place { site: store.site(), key }, &self.repository_id, &fetched.body)
    }

    /// An entry, and what each key says of its MAC.
    async fn read_vouched(&self, store: &SiteStore, key: &str) -> Result<(Stored, Vec<(Site, Vouched)>), VaultError> {
        let stored = self.read(store, key).await?;
        let mut vouching = Vec::new();
        for (site, mac) in &stored.macs {
            let Some(key) = self.macs.get(*site) else { continue };
            vouching.push((
                *site,
                match key.is_mac(&stored.message, mac).await {
                    Ok(true) => Vouched::Yes,
                    Ok(false) => Vouched::No,
                    Err(error) => Vouched::Unasked(error.to_string()),
                },
            ));
        }
        Ok((stored, vouching))
    }

    /// The head holds the newest entry, or the one after it, whose writer died before it was stored.
    async fn verify_head(&self, primary: &SiteStore, chain: &ChainReport) -> Result<(), VaultError> {
        let broken = |reason| VaultError::LedgerBroken { key: LEDGER_HEAD_KEY.to_owned(), reason };
        match read_head(primary, &self.repository_id).await? {
            FoundHead::Nothing if chain.entries == 0 => Ok(()),
            FoundHead::Nothing => Err(broken("it is lost")),
            FoundHead::Damaged(_) => Err(head_is_damaged()),
            FoundHead::Sound(newest) => {
                let holds_newest = Some(newest.sha256()) == chain.newest;
                let holds_next = newest.entry.number == chain.entries + 1 && newest.entry.previous == chain.newest;
                if holds_newest || holds_next { Ok(()) } else { Err(broken("its entry is not the newest one")) }
            }
        }
    }
}

/// What a key says of a MAC.
enum Vouched {
    Yes,
    No,
    /// It could not be asked.
    Unasked(String),
}
