//! What a check found in order.

use jiff::Timestamp;

use super::subject::Part;
use crate::verification::VerificationScope;

/// What a check found in order: an incident ends when that is all that was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cleared {
    /// Everything that the incident can be about.
    All,
    /// These parts of it.
    Parts(Vec<Part>),
    /// What a verification reads.
    Verified {
        /// What it was to read.
        scope: VerificationScope,
        /// The entry of the audit trail from which on it walked the trail; `None` when it did not come to that.
        entries_from: Option<u64>,
        /// When the oldest of the verifications began that read everything, each a part, with this one; `None` when a part was never read.
        all_since: Option<Timestamp>,
    },
}

impl Cleared {
    /// Whether a part is in order, and so nothing is wrong with it any longer.
    pub(super) fn has(&self, part: &Part) -> bool {
        match (self, part) {
            (Self::All, _) => true,
            (Self::Parts(parts), _) => parts.contains(part),
            (Self::Verified { entries_from, .. }, Part::Entries(first)) => {
                entries_from.is_some_and(|from| from <= *first)
            }
            (Self::Verified { scope, .. }, _) => *part == Part::Scope(scope.clone()),
        }
    }

    /// Whether everything was read since something was last wrong, at `seen_at`.
    pub(super) fn has_all_since(&self, seen_at: Timestamp) -> bool {
        match self {
            Self::All => true,
            Self::Parts(_) => false,
            Self::Verified { scope, all_since, .. } => {
                *scope == VerificationScope::All || all_since.is_some_and(|since| since > seen_at)
            }
        }
    }
}
