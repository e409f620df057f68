//! The audit trail as a part of every verification. Each checks the newest entries, and a share of the others.

use lifeboat_model::{Finding, FindingKind, FindingSubject, LedgerLink, VerificationScope};
use lifeboat_vault::{Anchor, ChainReport, VaultError, Walk, WalkEnd};

use super::inspection::{Backup, Inspection};
use crate::error::EngineError;

/// The subject of a finding about the whole trail.
const TRAIL: &str = "ledger/";

/// Entries at the end of the trail that each verification walks: half a day of hourly backups with their verifications and drills.
/// Each entry costs one request to the store and one to the key, on every site.
const NEWEST_ENTRIES: u64 = 50;

/// The most entries that one verification walks, when more were written since the backup that names the end.
const MOST_ENTRIES: u64 = 1000;

impl Inspection<'_> {
    /// Walks the part of the audit trail that is due, and restores to each site the entries that it lost. Compares the end of the trail
    /// with the entry that `newest`, the newest backup in scope, names. Damage to the trail is a finding, and does not stop the reading
    /// of chunks.
    pub(super) async fn ledger(&self, scope: &VerificationScope, newest: Option<&Backup>) {
        let anchor = match newest {
            // A verification has no secret key, so it uses the public keys that the repository publishes.
            Some(backup) => self.anchor(backup).await,
            None => None,
        };
        let ledger = self.run.ledger(&self.repository);
        let last = match ledger.newest_number_anywhere().await {
            Ok(last) => last,
            Err(error) => return self.not_walked(error),
        };
        for walk in walks(scope, last, anchor) {
            if walk.end == WalkEnd::Newest {
                self.walks_from(walk.from);
            }
            match ledger.walk(&walk, |_, _| true).await {
                Ok(report) => self.walked(report),
                Err(error) => self.not_walked(error),
            }
        }
    }

    fn walked(&self, report: ChainReport) {
        self.count(report.entries * report.sites.len() as u64);
        if let Some(subject) = report.unproved() {
            let silent: Vec<String> = report.silent.iter().map(|(site, why)| format!("{site}: {why}")).collect();
            let kind = if silent.is_empty() { FindingKind::LedgerBroken } else { FindingKind::Unanswered };
            let detail = format!("nothing vouches for it or for what follows {}", silent.join("; "));
            let detail = detail.trim_end().to_owned();
            let subject = FindingSubject::stored(subject);
            self.found(Finding { kind, site: None, subject, detail, healed: false });
        }
        if let (Some(detail), Some((first, _))) = (report.newer_in_words(), &report.first_newer) {
            let (kind, subject) = (FindingKind::NewerFormat, FindingSubject::stored(first.clone()));
            self.found(Finding { kind, site: None, subject, detail, healed: false });
        }
        report.findings.into_iter().for_each(|finding| self.found(finding));
    }

    fn not_walked(&self, error: VaultError) {
        let (kind, subject, detail) = match error {
            VaultError::LedgerBroken { key, reason } => (FindingKind::LedgerBroken, key, reason.to_string()),
            VaultError::NewerFormat { ref key, .. } => (FindingKind::NewerFormat, key.clone(), error.to_string()),
            other => {
                let is_outage = matches!(&other, VaultError::Store { source, .. } if source.is_outage());
                let kind = if is_outage { FindingKind::Unanswered } else { FindingKind::Unreadable };
                (kind, TRAIL.to_owned(), EngineError::from(other).story())
            }
        };
        let subject = FindingSubject::stored(subject);
        let finding = Finding { kind, site: None, subject, detail, healed: false };
        tracing::error!(finding = %finding, "the audit trail is not sound");
        self.found(finding);
    }
}

/// The end of the trail with the entry that the backup names, and the share of the earlier entries that is due.
fn walks(scope: &VerificationScope, last: u64, anchor: Option<LedgerLink>) -> Vec<Walk> {
    let anchors: Vec<Anchor> = anchor.into_iter().map(|link| Anchor { link, proves: false }).collect();
    let walk = |from, end| Walk { from, end, anchors: anchors.clone(), heal: true };
    let named = anchor.map_or(last, |link| link.number.max(last.saturating_sub(MOST_ENTRIES)));
    let tail = (last.saturating_sub(NEWEST_ENTRIES) + 1).min(named).max(1);
    let before = tail - 1;
    let (first, end) = match scope {
        VerificationScope::Backup { .. } => (1, 0),
        VerificationScope::All => (1, before),
        VerificationScope::Rotation { day, days } => {
            let share = |day: u32| before * u64::from(day) / u64::from((*days).max(1));
            let day = day % (*days).max(1);
            (share(day) + 1, share(day + 1))
        }
    };
    let mut walks = vec![walk(tail, WalkEnd::Newest)];
    if first <= end {
        walks.push(walk(first, WalkEnd::At(end)));
    }
    walks
}

#[cfg(test)]
mod tests {
    use lifeboat_model::Sha256;

    use super::*;

    fn ranges(scope: &VerificationScope, last: u64, anchor: Option<LedgerLink>) -> Vec<(u64, u64)> {
        let range = |walk: Walk| (walk.from, if let WalkEnd::At(end) = walk.end { end } else { last });
        walks(scope, last, anchor).into_iter().map(range).collect()
    }

    #[test]
    fn thirty_days_of_rotation_walk_every_entry_and_the_newest_ones_each_day() {
        for last in [0, 1, 49, 50, 51, 79, 80, 81, 10_000] {
            let mut walked = std::collections::BTreeSet::new();
            for day in 0..30 {
                let ranges = ranges(&VerificationScope::Rotation { day, days: 30 }, last, None);
                assert_eq!(ranges[0], (last.saturating_sub(50).min(last.saturating_sub(1)) + 1, last));
                walked.extend(ranges.into_iter().flat_map(|(from, to)| from..=to));
            }
            assert_eq!(walked, (1..=last).collect(), "of {last}");
            let whole: Vec<u64> = ranges(&VerificationScope::All, last, None)
                .into_iter()
                .rev()
                .flat_map(|(from, to)| from..=to)
                .collect();
            assert_eq!(whole, (1..=last).collect::<Vec<_>>(), "of {last}");
        }
    }

    #[test]
    fn what_the_backup_names_is_walked_however_much_was_written_since() {
        let scope = VerificationScope::Backup { backup_id: "2026-11-21T20-49-33Z-k3f9".parse().unwrap() };
        let anchor = |number| Some(LedgerLink { number, sha256: Sha256([0; 32]) });
        assert_eq!(ranges(&scope, 500, anchor(300)), [(300, 500)]);
        assert_eq!(ranges(&scope, 500, anchor(499)), [(451, 500)]);
        assert_eq!(ranges(&scope, 500, anchor(900)), [(451, 500)]);
        assert_eq!(ranges(&scope, 5000, anchor(1)), [(4000, 5000)]);
    }
}
