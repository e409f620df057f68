//! A lease: the exclusive right to do one thing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `leases/<name>.json`. Taken, renewed and given back by compare-and-swap; it ends by itself when its holder dies. It has these fields in
/// every format: an older version obeys them, and takes over a lease without them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its name, such as `backup-clinic`.
    pub name: String,
    /// Who holds it: the run's id.
    pub holder: String,
    /// When it was taken.
    pub acquired_at: Timestamp,
    /// When it expires; from then on any run may take it.
    pub expires_at: Timestamp,
    /// Whether it was released before it expired.
    pub released: bool,
}

impl Lease {
    /// Whether its holder still has the right at `now`.
    pub fn is_held(&self, now: Timestamp) -> bool {
        !self.released && now < self.expires_at
    }
}
