//! Why the repository could not do what was asked.

use jiff::Timestamp;
use lifeboat_model::{BackupId, EpochNumber, Site};
use lifeboat_seal::{DataKeyError, SealError};

use crate::ledger::LedgerFault;
use crate::store_error::{Retry, StoreError};

/// Names the site and the key wherever there are such.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The store of one site refused or failed.
    #[error("the {site} site failed")]
    Store { site: Site, source: StoreError },
    /// Something was asked of a site that is not configured.
    #[error("the {site} site is not configured")]
    NoSite { site: Site },
    /// No site holds a `repository.json`.
    #[error("there is no repository here")]
    NoRepository,
    /// The two sites belong to different repositories.
    #[error("the sites hold two repositories: `{primary}` and, off-site, `{offsite}`")]
    TwoRepositories { primary: String, offsite: String },
    /// A document is of a format that this version does not know.
    #[error("`{key}` on the {site} site has format `{found}`, the newest known here is `{known}`")]
    NewerFormat { site: Site, key: String, found: u32, known: u32 },
    /// A document's own checksum does not match it, or it is not in the one form it is written in.
    #[error("`{key}` on the {site} site is damaged: {reason}")]
    Damaged { site: Site, key: String, reason: &'static str },
    /// A document is not the JSON it should be.
    #[error("`{key}` on the {site} site is not the document it should be")]
    Document {
        site: Site,
        key: String,
        #[source]
        source: serde_json::Error,
    },
    /// A value could not be written as JSON.
    #[error("`{key}` could not be written as JSON")]
    Encode {
        key: String,
        #[source]
        source: serde_json::Error,
    },
    /// A manifest is damaged, or was written by somebody without the chunk key.
    #[error("manifest `{key}` on the {site} site is not the one that was written: its signature does not hold")]
    ManifestForged { site: Site, key: String },
    /// One site's `repository.json` has another entry for an epoch than the other's: one of them was altered.
    #[error("the sites do not agree on epoch `{epoch}`")]
    Disputed { epoch: EpochNumber },
    /// No signing key could be made of a chunk key.
    #[error("no signing key could be derived from a chunk key")]
    SigningKey,
    /// A backup's documents name another backup, epoch or length than they should.
    #[error("backup `{backup_id}` cannot be published: {reason}")]
    Incomplete { backup_id: BackupId, reason: &'static str },
    /// A name in a key is not one.
    #[error("`{key}` is not a key for {purpose}")]
    BadKey { key: String, purpose: &'static str },
    /// The repository has no epoch of this number.
    #[error("the repository has no epoch `{epoch}`")]
    UnknownEpoch { epoch: EpochNumber },
    /// A message could not be opened.
    #[error("`{key}` on the {site} site could not be opened")]
    Open { site: Site, key: String, source: SealError },
    /// A message opens, but was sealed for another repository or purpose.
    #[error("`{key}` on the {site} site was sealed for another repository or purpose")]
    Foreign { site: Site, key: String },
    /// A message could not be sealed.
    #[error("a message could not be sealed")]
    Seal { source: SealError },
    /// No data key could be had for this run.
    #[error("no data key could be made for this run")]
    DataKey { source: DataKeyError },
    /// Compression failed.
    #[error("compression failed: {reason}")]
    Compress { reason: String },
    /// No key made a MAC for a ledger entry, or could be asked about that of the entry before it.
    #[error("no key vouches for the ledger entry: {reason}")]
    NotVouched { reason: String },
    /// The decoder of a chunk got no memory.
    #[error("there is no memory to unpack a chunk")]
    NoMemory,
    /// An object does not hold what the list says: another length, another content, not decompressible.
    #[error("chunk `{key}` on the {site} site does not hold what is listed: {reason}")]
    WrongContent { site: Site, key: String, reason: &'static str },
    /// More than one chunk may hold.
    #[error("a chunk of `{raw_bytes}` bytes is longer than the limit of `{limit_bytes}`")]
    ChunkTooLong { raw_bytes: u64, limit_bytes: u64 },
    /// A named limit was reached.
    #[error("more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    /// Somebody else has the lease.
    #[error("lease `{name}` is held by `{holder}` until {expires_at}")]
    LeaseHeld { name: String, holder: String, expires_at: Timestamp },
    /// The lease was ours and no longer is.
    #[error("lease `{name}` is no longer held by `{holder}`")]
    LeaseLost { name: String, holder: String },
    /// A compare-and-swap lost every one of its tries.
    #[error("`{key}` is being changed by others: gave up after {attempts} attempts")]
    Contended { key: String, attempts: u32 },
    /// The audit trail is not one chain.
    #[error("the ledger is broken at `{key}`: {reason}")]
    LedgerBroken { key: String, reason: LedgerFault },
    /// No site has a sound copy of an object.
    #[error("`{key}` on the {site} site cannot be healed: {reason}")]
    NotHealed { site: Site, key: String, reason: &'static str },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness,
}

impl VaultError {
    pub(crate) fn store(site: Site) -> impl FnOnce(StoreError) -> Self {
        move |source| Self::Store { site, source }
    }

    /// Whether one site does not serve, whatever is in it.
    pub(crate) fn is_outage_of(&self, wanted: Site) -> bool {
        matches!(self, Self::Store { site, source } if *site == wanted && source.is_outage())
    }

    /// What to do about it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Store { source, .. } => source.retry(),
            Self::Open { source, .. } | Self::Seal { source } if source.is_retryable() => Retry::Soon,
            Self::Open { source, .. } if source.is_bad_message() => Retry::Page,
            Self::DataKey { source } if source.is_retryable() => Retry::Soon,
            Self::Contended { .. } => Retry::Soon,
            Self::ManifestForged { .. }
            | Self::Disputed { .. }
            | Self::LedgerBroken { .. }
            | Self::WrongContent { .. }
            | Self::Foreign { .. }
            | Self::Damaged { .. }
            | Self::NotHealed { .. }
            | Self::TwoRepositories { .. } => Retry::Page,
            _ => Retry::No,
        }
    }

    /// One sentence on what a person can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Store { source, .. } => source.hint(),
            Self::Open { source, .. } | Self::Seal { source } => source.hint(),
            Self::DataKey { source } => source.hint(),
            Self::NoSite { .. } => "Set the bucket, region and key of this site, or choose the other site.",
            Self::NoRepository => "Check the bucket; a first backup makes the repository.",
            Self::TwoRepositories { .. } => {
                "One of the buckets belongs to another installation; correct the settings before anything is written."
            }
            Self::NewerFormat { .. } => "This repository was written by a newer version; update this one.",
            Self::Damaged { .. } | Self::Document { .. } | Self::WrongContent { .. } => {
                "Run a verification, which heals it from the other site, or read from the other site."
            }
            Self::ManifestForged { .. } => {
                "It is damaged, or somebody with access to the bucket changed it: run a verification, which heals it from the \
                 other site, and look at the access log."
            }
            Self::Disputed { .. } => {
                "Somebody with access to one bucket changed `repository.json` there: compare both with their older versions and \
                 put the right one back."
            }
            Self::Foreign { .. } => {
                "Somebody with access to the bucket changed it: look at the access log and read from the other site."
            }
            Self::Incomplete { .. } => "Run the backup again; it reuses every chunk already stored.",
            Self::BadKey { .. } => "Names are made of a-z, 0-9, `-`, `_` and `.`, with `/` between folders.",
            Self::UnknownEpoch { .. } => "`repository.json` is older than the backup: take the other site's.",
            Self::Encode { .. } | Self::Compress { .. } | Self::SigningKey => {
                "This is a fault of the program; report it with this message."
            }
            Self::NotVouched { .. } => {
                "Set, enable and let this role use the HMAC keys of the sites; one that answers suffices."
            }
            Self::NoMemory => "Give the function more memory, or fewer sessions.",
            Self::ChunkTooLong { .. } => {
                "A single row is longer than PostgreSQL itself can copy; leave the table out by policy."
            }
            Self::TooMany { .. } => "A safety limit was reached; report what the repository holds.",
            Self::LeaseHeld { .. } => "Another run is at work; wait for it, or for its lease to end by itself.",
            Self::LeaseLost { .. } => "This run took longer than its lease; another one goes on. Nothing is damaged.",
            Self::Contended { .. } => "Several runs write at once; run again.",
            Self::LedgerBroken { reason, .. } => reason.hint(),
            Self::NotHealed { .. } => {
                "No site has a sound copy: take a new backup now, and look for an older version of the object in the bucket."
            }
            Self::Randomness => "The machine's source of randomness failed; run again.",
        }
    }
}
