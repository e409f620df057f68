//! Chunks that no site has as the list names them.

use std::collections::HashMap;

use lifeboat_model::{ChunkAddress, Finding, FindingKind, FindingSubject, Site, StoredChunk};
use lifeboat_vault::Listed;

/// Chunks that are set aside at most, some 100 MB. A bucket that was damaged whole has more: then each is damage at once.
const DOUBTFUL_LIMIT: usize = 500_000;

/// Chunks that differ from their list on some site, and that the other site could not heal.
///
/// A chunk that was lost everywhere and sealed again is listed with several checksums, in the lists of several backups. Any of them is valid.
/// It happens seldom, so the other lists are read only when there is a difference.
#[derive(Default)]
pub(super) struct Doubtful {
    /// With the sites whose bytes differ.
    chunks: HashMap<ChunkAddress, (Listed, Vec<Site>)>,
    findings: Vec<Finding>,
}

impl Doubtful {
    /// Sets a chunk aside with the finding that it is when no list names its bytes; gives the finding back when there is no room.
    pub(super) fn set_aside(&mut self, listed: Listed, finding: Finding) -> Option<Finding> {
        let (FindingSubject::Chunk(address), Some(site)) = (&finding.subject, finding.site) else {
            return Some(finding);
        };
        if self.findings.len() >= DOUBTFUL_LIMIT {
            return Some(finding);
        }
        let (_, sites) = self.chunks.entry(*address).or_insert_with(|| (listed, Vec::new()));
        sites.push(site);
        self.findings.push(finding);
        None
    }

    /// Whether there is any.
    pub(super) fn is_some(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// Takes down that another list has the chunk, with these bytes.
    pub(super) fn name(&mut self, chunk: &StoredChunk) {
        if let Some((listed, _)) = self.chunks.get_mut(&ChunkAddress { epoch: chunk.epoch, id: chunk.id }) {
            *listed = listed.clone().or(chunk);
        }
    }

    /// The chunks on their sites, each with all checksums that lists have of it.
    pub(super) fn into_chunks(self) -> Vec<(Listed, Site)> {
        let on_sites = |(listed, sites): (Listed, Vec<Site>)| sites.into_iter().map(move |site| (listed.clone(), site));
        self.chunks.into_values().flat_map(on_sites).collect()
    }

    /// The findings, when the other lists were not searched to the end: whether it is damage is not known.
    pub(super) fn into_findings(self) -> impl Iterator<Item = Finding> {
        self.findings.into_iter().map(|finding| Finding {
            kind: FindingKind::Unanswered,
            detail: format!("{}; the other lists were not searched for its bytes", finding.detail),
            ..finding
        })
    }
}
