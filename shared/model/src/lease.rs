//! The right to be the only one doing a thing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `leases/<name>.json`. Taken, renewed and given back by compare-and-swap; it ends by itself when its holder dies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What it is the right to do, such as `backup-clinic`.
    pub name: String,
    /// Who holds it: the run's id.
    pub holder: String,
    /// Since when.
    pub acquired_at: Timestamp,
    /// From when on anyone may take it.
    pub expires_at: Timestamp,
    /// Given back before its time.
    pub released: bool,
}

impl Lease {
    /// Whether its holder still has the right at `now`.
    pub fn is_held(&self, now: Timestamp) -> bool {
        !self.released && now < self.expires_at
    }
}
