//! Why the ledger is broken at an entry.

/// What a person can do about a document that says that it has a newer format. Most documents can be written by anybody who may write
/// to the bucket.
pub(crate) const NEWER_FORMAT: &str = "a newer version of Lifeboat wrote it: update this one; if no newer version is in use, somebody with access to the bucket put it \
     there: look in CloudTrail (output `TrailLogsName` of the site's stack) who wrote it, and restore the object's older version, or hide an object \
     that has none behind a delete marker: docs/runbooks/ledger-broken.md has the commands";

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerFault {
    /// No site has it.
    #[error("no site has it")]
    Lost,
    /// The off-site has an entry that the primary does not have.
    #[error("the primary site lost it, but the off-site has it")]
    LostHere,
    /// No entry can have this key.
    #[error("the key is not that of an entry")]
    StrayKey,
    /// The bytes are not an entry in the one form that entries have.
    #[error("it is not an entry")]
    NoEntry,
    /// It says that it has a newer format, and this version cannot read even what all formats have.
    #[error("it has format {0}, which only a newer version of Lifeboat reads")]
    NewerFormat(u32),
    /// The store lists it and does not return it.
    #[error("the store lists it but does not return it")]
    NotGiven,
    /// It carries another number than its key.
    #[error("its number differs from its key")]
    Number,
    /// It names another predecessor.
    #[error("it does not name the entry before it")]
    Previous,
    /// A key says that the MAC is not its own.
    #[error("its MAC is invalid")]
    Mac,
    /// It has no MAC.
    #[error("it has no MAC")]
    NoMac,
    /// Its MACs are of keys that are not configured.
    #[error("no configured key vouches for it")]
    NotVouched,
    /// The sites have different entries, and no key tells which one is right.
    #[error("the sites have different entries, and no key tells which one is right")]
    SitesDiffer,
    /// The off-site has another entry than the one that was just written.
    #[error("the off-site has another entry of this number")]
    OffsiteDiffers,
    /// A backup names another entry of this number.
    #[error("a backup names another entry of this number")]
    AnchorDiffers,
    /// A backup names it, and the trail ends before it.
    #[error("a backup names it, but no site has it")]
    AnchorLost,
}

impl LedgerFault {
    /// What a person can do: one sentence without a full stop.
    pub fn hint(self) -> &'static str {
        match self {
            Self::LostHere => "run `lifeboat verify`: it restores the entry from the off-site",
            Self::StrayKey | Self::NoEntry | Self::NotGiven | Self::NoMac | Self::Number => {
                "somebody with access to the bucket put it there: copy it and its older versions as evidence, look in CloudTrail \
                 (output `TrailLogsName` of the site's stack) who wrote it, and restore the older version that is an entry, which Object \
                 Lock keeps, or hide an object that has none behind a delete marker: docs/runbooks/ledger-broken.md has the commands"
            }
            Self::NewerFormat(_) => NEWER_FORMAT,
            Self::NotVouched => {
                "set the HMAC key that made its MAC; if there is no such key, somebody with access to the bucket made it: copy it as \
                 evidence, look in CloudTrail (output `TrailLogsName` of the site's stack) who wrote it, and hide it behind a delete marker: \
                 docs/runbooks/ledger-broken.md has the commands"
            }
            Self::Lost | Self::AnchorLost | Self::Previous | Self::Mac | Self::AnchorDiffers => {
                "somebody with access to the buckets deleted or changed it on every site: look in CloudTrail (output \
                 `TrailLogsName` of each site's stack) who did, and restore the object's older version, which Object Lock keeps, or hide an object that \
                 has none behind a delete marker: docs/runbooks/ledger-broken.md has the commands"
            }
            Self::SitesDiffer | Self::OffsiteDiffers => {
                "two writers continued without each other, or somebody with access to a bucket changed it: copy both as evidence, and \
                 compare them with the backups and with the numbers and SHA-256 in the functions' logs"
            }
        }
    }
}
