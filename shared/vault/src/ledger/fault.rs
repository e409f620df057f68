//! Where and why the audit trail does not go on.

/// What is wrong with an entry, or in the place of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerFault {
    /// No site has it.
    #[error("it is lost")]
    Lost,
    /// The off-site has an entry that the primary does not have.
    #[error("the primary site lost it, and the off-site has it")]
    LostHere,
    /// A key under `ledger/` that no entry can have.
    #[error("this is no key of an entry")]
    StrayKey,
    /// Bytes that are no entry in the one form that entries have.
    #[error("it is no entry")]
    NoEntry,
    /// The store says that it has it and does not give it.
    #[error("the store does not give it")]
    NotGiven,
    /// It carries another number than its key.
    #[error("its number is another one")]
    Number,
    /// It names another predecessor.
    #[error("it does not name the entry before it")]
    Previous,
    /// A key that is asked says that the MAC is not its own.
    #[error("its MAC is not that of the key")]
    Mac,
    /// It has none.
    #[error("it has no MAC")]
    NoMac,
    /// Its MACs are of keys that are not set here.
    #[error("no key that is set here vouches for it")]
    NotVouched,
    /// The sites have different entries, and no key tells which one is right.
    #[error("the sites have different entries, and no key tells which one is right")]
    SitesDiffer,
    /// The off-site has another entry than the one that was just written.
    #[error("the off-site has another entry in its place")]
    OffsiteDiffers,
    /// A backup names another entry of this number.
    #[error("a backup names another entry in its place")]
    AnchorDiffers,
    /// A backup names it, and the trail ends before it.
    #[error("a backup names it, and it is lost")]
    AnchorLost,
}

impl LedgerFault {
    /// One sentence on what a person can do.
    pub fn hint(self) -> &'static str {
        match self {
            Self::LostHere => "Run `lifeboat verify`: it puts back what one site lost and the other one has.",
            Self::StrayKey | Self::NoEntry | Self::NotGiven | Self::NoMac | Self::Number => {
                "Somebody with access to the bucket put it there: look at the bucket's access log; when no older version of it is an \
                 entry, delete it, which keeps its version, and the trail goes on."
            }
            Self::NotVouched => {
                "Set the HMAC key that made its MAC; when there is no such key, somebody with access to the bucket made it: look at \
                 the bucket's access log, and delete it, which keeps its version."
            }
            Self::Lost | Self::AnchorLost | Self::Previous | Self::Mac | Self::AnchorDiffers => {
                "Somebody with access to the buckets deleted or changed it on every site: look at their access logs, and put the \
                 object's older version back, which Object Lock keeps."
            }
            Self::SitesDiffer | Self::OffsiteDiffers => {
                "Two writers went on without knowing of each other, or somebody with access to a bucket changed it: keep both, compare \
                 them with the backups, and delete the wrong one, which keeps its version."
            }
        }
    }
}
