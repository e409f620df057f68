//! Journals: the checkpoints of a run that continues in other invocations.
//!
//! An entry's key is its number, and it is created only if absent: two writers cannot give one number to two entries, and there is no other
//! state to keep in step. Each entry proves itself against damage and is on both sites. Either site alone is enough to read the journal.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use lifeboat_model::Site;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::VaultError;
use crate::layout::{journal_key, journal_prefix, number_of_journal_key};
use crate::repository::document::{Place, encode, raw};
use crate::store::checksum::sha256;
use crate::store::contention::{ATTEMPTS, Race};
use crate::store::error::StoreError;
use crate::store::port::{NewObject, PAGE_KEYS, PutCondition, Version};
use crate::store::sites::{SiteStore, Sites};

/// Entries of one journal. A checkpoint is for a step, not for a chunk or a row. One page of a listing names them all.
pub const JOURNAL_ENTRIES_LIMIT: usize = 900;

/// Longest entry, in bytes. A journal is held in memory, and takes 58 MB at most.
pub const JOURNAL_ENTRY_LIMIT_BYTES: u64 = 64 * 1024;

/// The newest format of an entry that this version knows. An entry of the first format need not say so.
const JOURNAL_FORMAT: u32 = 1;

/// Longest name of a run, a step, or what happened in it.
const LONGEST_NAME: usize = 64;

/// Entries read at the same time: enough to hide the store's latency.
const READS_AT_ONCE: usize = 16;

// A listing of one page must hold every entry, with room for foreign keys.
const _: () = assert!(JOURNAL_ENTRIES_LIMIT < PAGE_KEYS);

/// The checkpoints of one run, in their order.
///
/// Several processes may append to one journal at the same time, each with its own `Journal`.
pub struct Journal {
    sites: Sites,
    run: String,
    entries: Vec<JournalEntry>,
    /// Sites that did not answer. They are not asked again through this journal while another one answers.
    silent: BTreeSet<Site>,
    /// Entries that a site does not have, or has damaged.
    lacking: BTreeMap<(u32, Site), Option<Version>>,
}

/// A checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalEntry {
    /// From 1, without gaps.
    pub number: u32,
    /// When it was recorded, by the writer's clock.
    pub at: Timestamp,
    /// The step of the run.
    pub step: String,
    /// What happened in the step.
    pub what: String,
    payload: Box<RawValue>,
}

/// `runs/<run id>/<number>.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    /// SHA-256 of the bytes of `entry`.
    sha256: String,
    entry: Box<RawValue>,
}

/// An entry as one site has it.
enum Found {
    Sound(JournalEntry),
    Damaged { error: VaultError, version: Option<Version> },
}

impl JournalEntry {
    /// What the entry carries.
    ///
    /// # Errors
    /// [`VaultError::Payload`] when it is not a `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, VaultError> {
        let key = || format!("{}-{}", self.step, self.what);
        serde_json::from_str(self.payload.get()).map_err(|source| VaultError::Payload { entry: key(), source })
    }

    fn is_same(&self, other: &Self) -> bool {
        let names = |entry: &Self| (entry.number, entry.at, entry.step.clone(), entry.what.clone());
        names(self) == names(other) && self.payload.get() == other.payload.get()
    }

    fn object(&self, key: &str) -> Result<NewObject, VaultError> {
        let entry = raw(key, self)?;
        let sha256 = sha256(entry.get().as_bytes()).to_string();
        Ok(NewObject::new(encode(key, &Envelope { sha256, entry })?))
    }

    fn decode(place: Place<'_>, number: u32, bytes: &[u8]) -> Result<Self, VaultError> {
        place.not_newer(bytes, JOURNAL_FORMAT)?;
        let envelope: Envelope = place.canonical(bytes)?;
        let entry = envelope.entry.get().as_bytes();
        if sha256(entry).to_string() != envelope.sha256 {
            return Err(place.damaged("its checksum does not match"));
        }
        let entry: Self = place.canonical(entry)?;
        if entry.number != number {
            return Err(place.damaged("it has another number than its key"));
        }
        Ok(entry)
    }
}

impl Journal {
    /// Reads the journal of a run, from every site that answers. Writes nothing. A run without entries has an empty journal.
    ///
    /// # Errors
    /// [`VaultError::BadKey`] for a run whose name is not plain; [`VaultError::JournalForked`] when the sites have different entries of
    /// one number; [`VaultError::Damaged`] when no site has a sound copy of an entry; [`VaultError::NewerFormat`]; [`VaultError::Store`] when no
    /// site answers.
    pub async fn open(sites: &Sites, run: &str) -> Result<Self, VaultError> {
        if !is_plain(run, |c| c.is_ascii_alphanumeric()) {
            return Err(VaultError::BadKey { key: journal_prefix(run), purpose: "a journal" });
        }
        let mut journal = Self {
            sites: sites.clone(),
            run: run.to_owned(),
            entries: Vec::new(),
            silent: BTreeSet::new(),
            lacking: BTreeMap::new(),
        };
        journal.refresh().await?;
        Ok(journal)
    }

    /// The entries that were there when this journal was opened, and those that it has seen since.
    pub fn entries(&self) -> &[JournalEntry] {
        &self.entries
    }

    /// The entry of this step that says `what`.
    pub fn find(&self, step: &str, what: &str) -> Option<&JournalEntry> {
        self.entries.iter().find(|entry| entry.step == step && entry.what == what)
    }

    /// Records that `what` happened in `step`. When it returns, the entry is durable on the first site that answers, and on the other one if
    /// that answers too. A later append brings it to a site that was away.
    ///
    /// Idempotent: when the same step and `what` are on record with the same payload, that entry is returned.
    ///
    /// # Errors
    /// [`VaultError::AlreadyRecorded`] when they are on record with another payload; [`VaultError::BadKey`] for names that are not of `a-z`,
    /// `0-9` and `-`; [`VaultError::TooLong`], [`VaultError::TooMany`] beyond the limits; [`VaultError::JournalForked`];
    /// [`VaultError::Contended`] after many lost races; [`VaultError::Store`].
    pub async fn append(
        &mut self,
        step: &str,
        what: &str,
        payload: &impl Serialize,
        now: Timestamp,
    ) -> Result<JournalEntry, VaultError> {
        for name in [step, what] {
            if !is_plain(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
                return Err(VaultError::BadKey { key: name.to_owned(), purpose: "an entry of a journal" });
            }
        }
        let payload = raw(&journal_prefix(&self.run), payload)?;
        let mut race = Race::begin();
        for _ in 0..ATTEMPTS {
            if let Some(entry) = self.find(step, what).cloned() {
                self.bring_over().await?;
                return if entry.payload.get() == payload.get() { Ok(entry) } else { Err(self.conflict(entry)) };
            }
            let number = self.next_number()?;
            let (step, what, payload) = (step.to_owned(), what.to_owned(), payload.clone());
            let entry = JournalEntry { number, at: now, step, what, payload };
            if self.create(&entry).await? {
                self.entries.push(entry.clone());
                self.bring_over().await?;
                return Ok(entry);
            }
            race.lost().await;
            self.refresh().await?;
        }
        Err(VaultError::Contended { key: journal_prefix(&self.run), attempts: ATTEMPTS })
    }

    fn next_number(&self) -> Result<u32, VaultError> {
        if self.entries.len() < JOURNAL_ENTRIES_LIMIT {
            Ok(self.last_number().saturating_add(1))
        } else {
            Err(VaultError::TooMany { what: "entries in the journal of a run", limit: JOURNAL_ENTRIES_LIMIT })
        }
    }

    fn conflict(&self, entry: JournalEntry) -> VaultError {
        let JournalEntry { number, step, what, .. } = entry;
        VaultError::AlreadyRecorded { key: journal_key(&self.run, number), step, what }
    }

    /// Creates an entry on the first site that answers, and remembers that the other one lacks it. `false` when another writer was faster.
    async fn create(&mut self, entry: &JournalEntry) -> Result<bool, VaultError> {
        // A number that follows a gap could never be read.
        self.bring_over().await?;
        let key = journal_key(&self.run, entry.number);
        let object = entry.object(&key)?;
        let size_bytes = object.body.len() as u64;
        if size_bytes > JOURNAL_ENTRY_LIMIT_BYTES {
            return Err(VaultError::TooLong { key, size_bytes, limit_bytes: JOURNAL_ENTRY_LIMIT_BYTES });
        }
        loop {
            let stores = self.answering();
            let Some((home, others)) = stores.split_first() else { return Err(VaultError::NoRepository) };
            match home.store().put(&key, object.clone(), PutCondition::CreateOnly).await {
                Ok(_) => {
                    let others: Vec<Site> = others.iter().map(SiteStore::site).collect();
                    self.lacking.extend(others.into_iter().map(|site| ((entry.number, site), None)));
                    return Ok(true);
                }
                Err(error) if error.is_lost_race() => return Ok(false),
                // Whether it was written is not known. The other site gets the same bytes.
                Err(error) if error.is_outage() => self.silence(home, error)?,
                Err(source) => return Err(home.error(source)),
            }
        }
    }

    /// Brings to each site what it lacks, in order. A site that does not answer is not asked again; the next journal mends that.
    async fn bring_over(&mut self) -> Result<(), VaultError> {
        let lacking: Vec<_> = self.lacking.iter().map(|(at, damaged)| (*at, damaged.clone())).collect();
        for ((number, site), damaged) in lacking {
            // It stays lacking until the site has it: a later entry must not be there without it.
            let Some(store) = self.answering().into_iter().find(|store| store.site() == site) else { continue };
            let Some(entry) = self.entries.iter().find(|entry| entry.number == number).cloned() else { continue };
            let key = journal_key(&self.run, number);
            let condition = damaged.map_or(PutCondition::CreateOnly, PutCondition::IfMatch);
            match store.store().put(&key, entry.object(&key)?, condition).await {
                Ok(_) => drop(self.lacking.remove(&(number, site))),
                Err(error) if error.is_lost_race() => match self.read_entry(&store, number).await? {
                    Some(Found::Sound(other)) if other.is_same(&entry) => drop(self.lacking.remove(&(number, site))),
                    _ => return Err(VaultError::JournalForked { key }),
                },
                Err(error) if error.is_outage() => self.silence(&store, error)?,
                Err(source) => return Err(store.error(source)),
            }
        }
        Ok(())
    }

    /// Reads what was appended since, from every site that answers.
    async fn refresh(&mut self) -> Result<(), VaultError> {
        let known = self.entries.len();
        let stores = self.answering();
        let read = join_all(stores.iter().map(|store| self.read_site(store, known))).await;
        let (mut found, mut failure) = (Vec::new(), None);
        for (store, read) in stores.iter().zip(read) {
            match read {
                Ok(entries) => found.push((store.site(), entries)),
                Err(VaultError::Store { source, .. }) if source.is_outage() => failure = Some((store, source)),
                Err(error) => return Err(error),
            }
        }
        match failure {
            Some((store, source)) if found.is_empty() => return Err(store.error(source)),
            Some((store, source)) => self.silence(store, source)?,
            None => {}
        }
        let newest = found.iter().filter_map(|(_, entries)| entries.keys().max()).max().copied().unwrap_or_default();
        for number in self.last_number().saturating_add(1)..=newest {
            let entry = self.choose(number, &mut found)?;
            self.entries.push(entry);
        }
        Ok(())
    }

    fn last_number(&self) -> u32 {
        self.entries.last().map_or(0, |entry| entry.number)
    }

    /// The sound entry of a number, the same on all sites that have one. Remembers the sites that lack it.
    fn choose(&mut self, number: u32, found: &mut [(Site, BTreeMap<u32, Found>)]) -> Result<JournalEntry, VaultError> {
        let key = journal_key(&self.run, number);
        let (mut chosen, mut fault): (Option<JournalEntry>, _) = (None, None);
        for (site, entries) in found {
            match (entries.remove(&number), &chosen) {
                (Some(Found::Sound(entry)), None) => chosen = Some(entry),
                (Some(Found::Sound(entry)), Some(first)) if entry.is_same(first) => {}
                (Some(Found::Sound(_)), Some(_)) => return Err(VaultError::JournalForked { key }),
                (Some(Found::Damaged { error, version }), _) => {
                    tracing::warn!(key, %site, %error, "an entry of a journal is damaged");
                    self.lacking.insert((number, *site), version);
                    fault = Some(error);
                }
                (None, _) => drop(self.lacking.insert((number, *site), None)),
            }
        }
        let lost =
            || VaultError::Damaged { site: Site::Primary, key, reason: "no site has it, and later entries exist" };
        chosen.ok_or_else(|| fault.unwrap_or_else(lost))
    }

    /// The entries of a site after the first `known` ones.
    async fn read_site(&self, store: &SiteStore, known: usize) -> Result<BTreeMap<u32, Found>, VaultError> {
        let prefix = journal_prefix(&self.run);
        let page = store.list(&prefix, None).await?;
        let numbers: Vec<u32> = page.keys.iter().filter_map(|key| number_of_journal_key(&self.run, key)).collect();
        if page.more || numbers.len() > JOURNAL_ENTRIES_LIMIT {
            return Err(VaultError::TooMany { what: "entries in the journal of a run", limit: JOURNAL_ENTRIES_LIMIT });
        }
        let new = numbers.into_iter().filter(|number| usize::try_from(*number).is_ok_and(|number| number > known));
        let read = futures_util::stream::iter(new)
            .map(|number| async move { Ok((number, self.read_entry(store, number).await?)) })
            .buffered(READS_AT_ONCE);
        read.try_filter_map(|(number, found)| async move { Ok(found.map(|found| (number, found))) }).try_collect().await
    }

    async fn read_entry(&self, store: &SiteStore, number: u32) -> Result<Option<Found>, VaultError> {
        let key = journal_key(&self.run, number);
        match store.store().get(&key, JOURNAL_ENTRY_LIMIT_BYTES).await {
            Ok(fetched) => {
                let place = Place { site: store.site(), key: &key };
                Ok(Some(match JournalEntry::decode(place, number, &fetched.body) {
                    Ok(entry) => Found::Sound(entry),
                    // It is not damaged, and never healed: a newer version goes on with this run.
                    Err(error @ VaultError::NewerFormat { .. }) => return Err(error),
                    Err(error) => Found::Damaged { error, version: Some(fetched.version) },
                }))
            }
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error @ (StoreError::TooLarge { .. } | StoreError::Corrupt { .. })) => {
                let version = store.head(&key).await?.map(|head| head.version);
                Ok(Some(Found::Damaged { error: store.error(error), version }))
            }
            Err(error) => Err(store.error(error)),
        }
    }

    /// The sites that have answered so far, the one that decides first.
    fn answering(&self) -> Vec<SiteStore> {
        self.sites.configured().filter(|store| !self.silent.contains(&store.site())).cloned().collect()
    }

    /// Continues without a site that does not serve, unless it is the last one.
    fn silence(&mut self, store: &SiteStore, error: StoreError) -> Result<(), VaultError> {
        tracing::warn!(run = self.run, site = %store.site(), %error, "a site does not serve the journal of a run");
        if self.answering().len() == 1 {
            // No site is left: the next call asks all of them again.
            self.silent.clear();
            return Err(store.error(error));
        }
        self.silent.insert(store.site());
        Ok(())
    }
}

/// Whether `name` is made of letters that are allowed and `-`, and is not too long.
fn is_plain(name: &str, is_letter: impl Fn(char) -> bool) -> bool {
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(|c| is_letter(c) || c == '-')
}
