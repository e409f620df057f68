//! Walks along the ledger: they prove that it is one chain on both sites, and restore entries that one site lost.

use std::collections::BTreeMap;

use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use lifeboat_model::{Finding, FindingKind, FindingSubject, LEDGER_FORMAT, LedgerEntry, LedgerLink, Site};
use serde::Serialize;

use crate::error::VaultError;
use crate::layout::ledger_key;
use crate::ledger::fault::LedgerFault;
use crate::ledger::mac_keys::Vouching;
use crate::ledger::stored::Stored;
use crate::ledger::{ENTRY_LIMIT_BYTES, Ledger, READS_AT_ONCE};
use crate::repository::document::Place;
use crate::store::error::StoreError;
use crate::store::port::{PutCondition, Version};
use crate::store::sites::SiteStore;

/// Findings that a report names, at most; the others are counted.
const NAMED_FINDINGS: usize = 1000;

/// Distance beyond which a lone key cannot be the rest of a ledger that lost entries.
const FAR_BEYOND: u64 = 100_000;

/// Which part of the chain is walked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// The first entry, from 1. Entries before it are not checked.
    pub from: u64,
    /// Where it ends.
    pub end: WalkEnd,
    /// Entries that backups name. One beyond the newest entry is lost.
    pub anchors: Vec<Anchor>,
    /// Whether a site gets back what it lost, from the other one.
    pub heal: bool,
}

/// An entry that a backup names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The entry.
    pub link: LedgerLink,
    /// Whether the manifest was authenticated with the chunk key: then it proves the trail up to the entry. One that was only held
    /// against `repository.json` can contradict the trail, and not prove it.
    pub proves: bool,
}

/// Where a walk ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalkEnd {
    /// At the newest entry there is.
    Newest,
    /// At this entry, or at the first one after it that something vouches for.
    At(u64),
}

impl Walk {
    /// The whole chain. Changes nothing.
    pub fn whole() -> Self {
        Self { from: 1, end: WalkEnd::Newest, anchors: Vec::new(), heal: false }
    }
}

/// The result of a walk: every entry names the hash of the one before, and no key that was asked denies one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// The sites that were walked and compared.
    pub sites: Vec<Site>,
    /// Sites that did not serve.
    pub away: Vec<Site>,
    /// The first entry that was walked.
    pub from: u64,
    /// Entries that were walked.
    pub entries: u64,
    /// The last of them; absent when there was none.
    pub newest: Option<LedgerLink>,
    /// Entries that are proved: a key or a backup vouches for them, or for a later one, and with it for all before.
    pub proved: u64,
    /// Entries for which the key of a site vouches, for each key that was asked.
    pub vouched: BTreeMap<Site, u64>,
    /// Keys that were not asked about all entries, and why.
    pub silent: BTreeMap<Site, String>,
    /// Entries of a newer format. Their place in the trail and their MACs were checked, and they were not read.
    #[serde(skip_serializing_if = "is_zero")]
    pub newer: u64,
    /// The first of them, and its format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_newer: Option<(String, u32)>,
    /// Newest entries that have not reached the off-site.
    pub behind: u64,
    /// Entries that one site lost or altered.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are named.
    pub more_findings: u64,
}

impl ChainReport {
    /// Whether there is a trail, and every entry of it is proved. Hashes alone prove nothing against somebody who can compute them.
    pub fn is_proved(&self) -> bool {
        self.entries > 0 && self.proved == self.entries
    }

    /// The key of the first entry for which nothing vouches, nor for any after it.
    pub fn unproved(&self) -> Option<String> {
        (self.proved < self.entries).then(|| ledger_key(self.from + self.proved))
    }

    /// What is said of the entries of a newer format; absent when there are none.
    pub fn newer_in_words(&self) -> Option<String> {
        let (count, (first, format)) = (self.newer, self.first_newer.as_ref()?);
        Some(format!(
            "{count} entries, the first `{first}`, were written by a newer version of Lifeboat (format {format}) and were not read; \
             this version reads formats up to {LEDGER_FORMAT}"
        ))
    }

    /// Whether every site was walked, every entry was read, and every lost or altered one was restored.
    pub fn is_sound(&self) -> bool {
        self.newer == 0
            && self.away.is_empty()
            && self.more_findings == 0
            && self.findings.iter().all(|finding| finding.healed)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The object of a site under an entry's key.
enum Found {
    Entry {
        stored: Box<Stored>,
        vouching: Vouching,
        version: Version,
    },
    Wrong {
        reason: LedgerFault,
        version: Option<Version>,
    },
    Missing,
    /// The site serves no longer.
    Away,
}

/// A wrong or missing entry on one site, and the state that a write must name to restore it.
struct Discrepancy {
    site: Site,
    kind: FindingKind,
    reason: LedgerFault,
    condition: Option<PutCondition>,
    /// It is on its way: no finding, unless that lasts.
    is_only_behind: bool,
}

impl Ledger {
    /// Walks the whole chain, reads only. See [`Ledger::walk`].
    ///
    /// # Errors
    /// As [`Ledger::walk`].
    pub async fn verify_chain(&self) -> Result<ChainReport, VaultError> {
        self.walk(&Walk::whole(), |_, _| true).await
    }

    /// Walks the chain on all sites side by side, and gives each entry to `take` with its exact stored text once it is seen to
    /// fit, until `take` wants no more. One of a newer format is counted and not given. Entries that are appended meanwhile are left out. Memory does not grow with the ledger.
    ///
    /// An entry fits when its number, its predecessor's hash and its MACs do. When one site's does and the other's does not,
    /// that is a finding; healed, when that is wanted and a key vouches for the entry that fits. An object that claims a newer format, and
    /// that this version cannot check, is then replaced like a damaged one.
    ///
    /// # Errors
    /// [`VaultError::LedgerBroken`] names the first entry that fits on no site, that the sites both vouch for differently, or that
    /// differs from the one that a backup names; [`VaultError::NewerFormat`] when no site has an entry that this version can check;
    /// [`VaultError::Store`].
    pub async fn walk(
        &self,
        walk: &Walk,
        mut take: impl FnMut(&LedgerEntry, &str) -> bool,
    ) -> Result<ChainReport, VaultError> {
        let stores = self.walked_sites().await?;
        let newest = stores.iter().map(|(_, newest)| *newest).max().unwrap_or_default();
        let (sites, away) =
            self.sites.names().into_iter().partition(|site| stores.iter().any(|(store, _)| store.site() == *site));
        let mut chain = Chain::new(walk, sites, away, newest);
        let reach = |site| stores.iter().find(|(store, _)| store.site() == site).map_or(0, |(_, newest)| *newest);
        // The off-site must have every entry up to its newest.
        let mut offsite_reach = reach(Site::Offsite);
        let mut read = futures_util::stream::iter(walk.from..=newest)
            .map(|number| {
                let stores = &stores;
                async move {
                    let mut found = Vec::with_capacity(stores.len());
                    for (store, newest) in stores {
                        let is_behind = store.site() == Site::Offsite && number > *newest;
                        found.push((store.site(), is_behind, self.find(store, number).await?));
                    }
                    Ok::<_, VaultError>((number, found))
                }
            })
            .buffered(READS_AT_ONCE);
        while let Some((number, found)) = read.try_next().await? {
            let (stored, vouching, discrepancies) = chain.choose(number, found)?;
            chain.go_on(&stored, vouching)?;
            for discrepancy in discrepancies {
                let leaves_no_hole = !discrepancy.is_only_behind || number == offsite_reach + 1;
                // Nothing is replaced by what this version cannot read.
                let may_replace = stored.entry.is_some() || discrepancy.condition == Some(PutCondition::CreateOnly);
                let may_heal = walk.heal && chain.proved_to == number && leaves_no_hole && may_replace;
                let healed = may_heal && self.put_back(&discrepancy, &stored).await?;
                offsite_reach += u64::from(healed && discrepancy.is_only_behind);
                chain.found(number, &discrepancy, healed);
            }
            let wants_more = stored.entry.as_ref().is_none_or(|entry| take(entry, &stored.text));
            if !wants_more || chain.is_at_its_end(number) {
                return Ok(chain.report);
            }
        }
        chain.finish()
    }

    /// The number of the newest entry on any site; 0 while there is none.
    ///
    /// # Errors
    /// [`VaultError::LedgerBroken`] for a key that no entry has; [`VaultError::Store`].
    pub async fn newest_number_anywhere(&self) -> Result<u64, VaultError> {
        Ok(self.walked_sites().await?.into_iter().map(|(_, newest)| newest).max().unwrap_or_default())
    }

    /// The sites that serve, each with the number of its newest entry.
    async fn walked_sites(&self) -> Result<Vec<(&SiteStore, u64)>, VaultError> {
        let mut walked = Vec::new();
        for store in self.sites.iter() {
            let newest = self.newest_number(store, 0).await;
            if let Some(newest) = self.sites.or_aside(newest)? {
                walked.push((store, newest));
            }
        }
        Ok(walked)
    }

    async fn find(&self, store: &SiteStore, number: u64) -> Result<Found, VaultError> {
        let key = ledger_key(number);
        match store.store().get(&key, ENTRY_LIMIT_BYTES).await {
            Ok(fetched) => {
                let place = Place { site: store.site(), key: &key };
                let version = fetched.version;
                let stored = match Stored::decode(place, &self.repository_id, &fetched.body) {
                    Ok(stored) => stored,
                    Err(VaultError::NewerFormat { found, .. }) => {
                        return Ok(Found::Wrong { reason: LedgerFault::NewerFormat(found), version: Some(version) });
                    }
                    Err(_) => return Ok(Found::Wrong { reason: LedgerFault::NoEntry, version: Some(version) }),
                };
                let vouching = self.macs.judge(&stored.message, &stored.macs).await;
                Ok(Found::Entry { stored: Box::new(stored), vouching, version })
            }
            Err(StoreError::NotFound { .. }) => Ok(Found::Missing),
            Err(StoreError::TooLarge { .. }) => {
                let version = store.head(&key).await?.map(|head| head.version);
                Ok(Found::Wrong { reason: LedgerFault::NoEntry, version })
            }
            Err(StoreError::Denied { .. } | StoreError::Rejected { .. } | StoreError::Corrupt { .. }) => {
                Ok(Found::Wrong { reason: LedgerFault::NotGiven, version: None })
            }
            Err(source) => {
                self.sites.or_aside::<()>(Err(store.error(source)))?;
                Ok(Found::Away)
            }
        }
    }

    /// Writes an entry where a site has none, or has another. Whether it is there now.
    async fn put_back(&self, discrepancy: &Discrepancy, stored: &Stored) -> Result<bool, VaultError> {
        let Some(condition) = discrepancy.condition.clone() else { return Ok(false) };
        let store = self.sites.get(discrepancy.site)?;
        let (key, object) = (ledger_key(stored.stamp.number), self.object(stored));
        match store.store().put(&key, object, condition).await {
            Ok(_) => Ok(true),
            // Somebody else was faster, at best with the same.
            Err(error) if error.is_lost_race() => {
                let there = store.find(&key, ENTRY_LIMIT_BYTES).await?;
                Ok(there.is_some_and(|there| there.body == stored.text.as_bytes()))
            }
            Err(source) => Err(store.error(source)),
        }
    }
}

/// How far a walk has come.
struct Chain<'a> {
    walk: &'a Walk,
    /// The last entry that fits.
    link: Option<LedgerLink>,
    /// The number of the newest entry for which something vouches.
    proved_to: u64,
    /// The newest number of any site.
    newest: u64,
    report: ChainReport,
}

impl<'a> Chain<'a> {
    fn new(walk: &'a Walk, sites: Vec<Site>, away: Vec<Site>, newest: u64) -> Self {
        let report = ChainReport { sites, away, from: walk.from, ..ChainReport::default() };
        Self { walk, link: None, proved_to: 0, newest, report }
    }

    /// The entry that fits, and each discrepancy of a site.
    fn choose(
        &mut self,
        number: u64,
        found: Vec<(Site, bool, Found)>,
    ) -> Result<(Stored, Vouching, Vec<Discrepancy>), VaultError> {
        let broken = |reason| VaultError::LedgerBroken { key: ledger_key(number), reason };
        let (mut fitting, mut discrepancies) = (Vec::new(), Vec::new());
        for (site, is_behind, found) in found {
            match found {
                Found::Missing => discrepancies.push(Discrepancy::missing(site, is_behind)),
                Found::Away if self.report.away.contains(&site) => {}
                Found::Away => self.report.away.push(site),
                Found::Wrong { reason, version } => discrepancies.push(Discrepancy::wrong(site, reason, version)),
                Found::Entry { stored, vouching, version } => match self.misfit(number, &stored, &vouching) {
                    Some(reason) => discrepancies.push(Discrepancy::wrong(site, reason, Some(version))),
                    None => fitting.push((site, *stored, vouching, version)),
                },
            }
        }
        // The primary's is the first of two for which as much is said.
        let best = fitting
            .iter()
            .enumerate()
            .max_by_key(|(place, (_, _, vouching, _))| (!vouching.vouches.is_empty(), std::cmp::Reverse(*place)));
        let Some((best, _)) = best else {
            // Anybody can claim a newer format. So any other fault counts before it.
            let mut present: Vec<&Discrepancy> =
                discrepancies.iter().filter(|discrepancy| discrepancy.kind != FindingKind::Missing).collect();
            present.sort_by_key(|discrepancy| discrepancy.kind == FindingKind::NewerFormat);
            let of_present = present.first();
            // A key far beyond the trail is not what is left of one that lost millions of entries.
            if of_present.is_none() && self.newest - number > FAR_BEYOND {
                return Err(VaultError::LedgerBroken { key: ledger_key(self.newest), reason: LedgerFault::StrayKey });
            }
            if let Some(Discrepancy { site, reason: LedgerFault::NewerFormat(found), .. }) = of_present {
                let (site, key, found, known) = (*site, ledger_key(number), *found, LEDGER_FORMAT);
                return Err(VaultError::NewerFormat { site, key, found, known });
            }
            return Err(broken(of_present.map_or(LedgerFault::Lost, |discrepancy| discrepancy.reason)));
        };
        let (_, stored, vouching, _) = fitting.swap_remove(best);
        if !vouching.vouches.is_empty() {
            // A number has one entry. A key vouches for this one, so the claim of the other copy is false.
            discrepancies.iter_mut().for_each(Discrepancy::disprove_claim);
        }
        for (site, other, others_vouching, version) in fitting {
            if other.sha256 != stored.sha256 {
                if others_vouching.vouches.is_empty() && !vouching.vouches.is_empty() {
                    discrepancies.push(Discrepancy::wrong(site, LedgerFault::NotVouched, Some(version)));
                } else {
                    return Err(broken(LedgerFault::SitesDiffer));
                }
            }
        }
        Ok((stored, vouching, discrepancies))
    }

    fn misfit(&self, number: u64, stored: &Stored, vouching: &Vouching) -> Option<LedgerFault> {
        let is_first_walked = number == self.walk.from && number > 1;
        let names_previous = match self.link {
            None if is_first_walked => stored.stamp.previous.is_some(),
            link => stored.stamp.previous == link.map(|link| link.sha256),
        };
        if stored.stamp.number != number {
            Some(LedgerFault::Number)
        } else if !names_previous {
            Some(LedgerFault::Previous)
        } else if !vouching.denies.is_empty() {
            Some(LedgerFault::Mac)
        } else if stored.macs.is_empty() {
            Some(LedgerFault::NoMac)
        } else {
            None
        }
    }

    /// Takes the entry that fits for the next one of the chain.
    fn go_on(&mut self, stored: &Stored, vouching: Vouching) -> Result<(), VaultError> {
        let link = stored.link();
        let number = link.number;
        let mut named = self.walk.anchors.iter().filter(|anchor| anchor.link.number == number);
        if named.clone().any(|anchor| anchor.link != link) {
            return Err(VaultError::LedgerBroken { key: ledger_key(number), reason: LedgerFault::AnchorDiffers });
        }
        if named.any(|anchor| anchor.proves) || !vouching.vouches.is_empty() {
            self.proved_to = number;
        }
        let report = &mut self.report;
        vouching.vouches.into_iter().for_each(|site| *report.vouched.entry(site).or_default() += 1);
        for (site, why) in vouching.silent {
            report.silent.entry(site).or_insert(why);
        }
        report.entries += 1;
        if stored.entry.is_none() {
            report.newer += 1;
            report.first_newer.get_or_insert_with(|| (ledger_key(number), stored.stamp.format));
        }
        report.proved = (self.proved_to + 1).saturating_sub(self.walk.from);
        report.newest = Some(link);
        self.link = Some(link);
        Ok(())
    }

    fn is_at_its_end(&self, number: u64) -> bool {
        // With a key that does not answer, a later entry is not proved either.
        let nobody_will = self.proved_to == 0 && self.report.vouched.is_empty();
        matches!(self.walk.end, WalkEnd::At(end) if number >= end && (self.proved_to == number || nobody_will))
    }

    fn found(&mut self, number: u64, discrepancy: &Discrepancy, healed: bool) {
        if discrepancy.is_only_behind {
            self.report.behind += u64::from(!healed);
            return;
        }
        let how = if healed { format!("; restored from {}", discrepancy.site.other()) } else { String::new() };
        let detail = format!("{}{how}", discrepancy.reason);
        let finding = Finding {
            kind: discrepancy.kind,
            site: Some(discrepancy.site),
            subject: FindingSubject::stored(ledger_key(number)),
            detail,
            healed,
        };
        tracing::warn!(finding = %finding, "an entry of the ledger is not as it was written");
        if self.report.findings.len() < NAMED_FINDINGS {
            self.report.findings.push(finding);
        } else {
            self.report.more_findings += u64::from(!healed);
        }
    }

    /// At the newest entry: every one that a backup names must have been met.
    fn finish(self) -> Result<ChainReport, VaultError> {
        let lost = self.walk.anchors.iter().filter(|anchor| anchor.link.number > self.newest);
        if lost.count() > 0 {
            let key = ledger_key(self.newest.saturating_add(1));
            return Err(VaultError::LedgerBroken { key, reason: LedgerFault::AnchorLost });
        }
        Ok(self.report)
    }
}

impl Discrepancy {
    fn missing(site: Site, is_only_behind: bool) -> Self {
        let condition = Some(PutCondition::CreateOnly);
        Self { site, kind: FindingKind::Missing, reason: LedgerFault::Lost, condition, is_only_behind }
    }

    fn disprove_claim(&mut self) {
        if self.kind == FindingKind::NewerFormat {
            self.kind = FindingKind::Checksum;
        }
    }

    fn wrong(site: Site, reason: LedgerFault, version: Option<Version>) -> Self {
        let condition = version.map(PutCondition::IfMatch);
        let kind = match reason {
            LedgerFault::NewerFormat(_) => FindingKind::NewerFormat,
            _ => FindingKind::Checksum,
        };
        Self { site, kind, reason, condition, is_only_behind: false }
    }
}
