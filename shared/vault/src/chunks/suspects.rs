//! Chunks that a verification found lost or damaged and could not heal. They are checked before they are reused.
//!
//! A chunk that is bad on every site would otherwise always be reused: the newest backup lists it, so the next one does,
//! and its mark still says that it was sound on the day it was stored. The reports under `findings/` say otherwise.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{ChunkId, DatabaseName, EpochNumber, Finding, FindingKind, FindingSubject};

use crate::error::VaultError;
use crate::operations::reports::{report_key, reports_since};
use crate::repository::Repository;
use crate::store::port::DOCUMENT_LIMIT_BYTES;

/// Reports read, the newest ones. A chunk that is still bad is named again by every verification that reads it.
const REPORTS_LIMIT: usize = 200;

/// Reports read at the same time.
const READS_AT_ONCE: usize = 8;

/// How much older than the beginning of a backup a report must be for the backup to have known it: the longest time that a
/// function runs, so that neither clocks nor a slow write matter.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_mins(15);

/// Chunks of one epoch that may be bad on every site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suspects {
    /// With the time of the newest report that names them.
    chunks: HashMap<ChunkId, Timestamp>,
}

impl Suspects {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn contains(&self, id: &ChunkId) -> bool {
        self.chunks.contains_key(id)
    }

    /// Whether a backup that began at `began` and lists the chunk may have done so without having opened it. A later one
    /// knew the report, and opened or stored again whatever it lists.
    pub(crate) fn is_open_since(&self, id: &ChunkId, began: Timestamp) -> bool {
        self.chunks.get(id).is_some_and(|found| began.duration_since(*found) < SETTLED_AFTER)
    }

    fn add(&mut self, finding: &Finding, epoch: EpochNumber, at: Timestamp) {
        use FindingKind::{Checksum, Missing, Size, Unanswered, Unreadable};
        if finding.healed || !matches!(finding.kind, Missing | Size | Checksum | Unreadable | Unanswered) {
            return;
        }
        if let FindingSubject::Chunk(chunk) = finding.subject
            && chunk.epoch == epoch
        {
            let newest = self.chunks.entry(chunk.id).or_insert(at);
            *newest = at.max(*newest);
        }
    }
}

impl Repository {
    /// The key under which a report on findings is stored at `at`.
    pub fn findings_key(database: &DatabaseName, at: Timestamp) -> String {
        report_key(&folder(database), at)
    }

    /// The chunks of an epoch that the reports on `database` name as bad and not healed. A report that cannot be read on any
    /// site is passed over and logged: it must not be the end of new backups.
    ///
    /// # Errors
    /// [`VaultError::Store`] when the reports cannot be listed; [`VaultError::TooMany`].
    pub async fn suspects(&self, database: &DatabaseName, epoch: EpochNumber) -> Result<Suspects, VaultError> {
        let began = self.document().epoch(epoch).map(|epoch| epoch.created_at);
        let mut reports = reports_since(self.sites.primary()?, &folder(database), began).await?;
        reports.reverse();
        reports.truncate(REPORTS_LIMIT);
        let mut suspects = Suspects::default();
        let mut read = futures_util::stream::iter(reports)
            .map(|(at, key)| async move { (at, self.report(&key).await) })
            .buffered(READS_AT_ONCE);
        while let Some((at, findings)) = read.next().await {
            findings.iter().for_each(|finding| suspects.add(finding, epoch, at));
        }
        Ok(suspects)
    }

    async fn report(&self, key: &str) -> Vec<Finding> {
        for store in self.sites.iter() {
            let read = store.get(key, DOCUMENT_LIMIT_BYTES).await;
            match read.map(|fetched| serde_json::from_slice(&fetched.body)) {
                Ok(Ok(findings)) => return findings,
                Ok(Err(error)) => tracing::warn!(key, site = %store.site(), %error, "a report cannot be understood"),
                Err(error) => tracing::warn!(key, site = %store.site(), %error, "a report cannot be read"),
            }
        }
        Vec::new()
    }
}

fn folder(database: &DatabaseName) -> String {
    format!("findings/{database}/")
}
