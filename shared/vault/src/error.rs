//! Why the repository could not do what was asked.

use jiff::Timestamp;
use lifeboat_model::{Advice, BackupId, EpochNumber, Response, Site};
use lifeboat_seal::{DataKeyError, SealError};

use crate::layout::SCRATCH_KEY;
use crate::ledger::fault::{LedgerFault, NEWER_FORMAT};
use crate::store::error::StoreError;

/// Scratch databases that nobody has dropped: the one limit that a person can do something about.
pub(crate) const SCRATCH_LEFT: &str = "scratch databases that were not dropped";

/// Names the site and the key where there is one.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The store of one site refused or failed.
    #[error("the {site} site failed")]
    Store { site: Site, source: StoreError },
    /// The site is not configured.
    #[error("the {site} site is not configured")]
    NoSite { site: Site },
    /// No site holds a `repository.json`.
    #[error("no site holds a repository")]
    NoRepository,
    /// The two sites belong to different repositories.
    #[error("the sites hold different repositories: `{primary}` on the primary, `{offsite}` on the off-site")]
    TwoRepositories { primary: String, offsite: String },
    /// A document is of a format that this version does not know.
    #[error("`{key}` on the {site} site has format `{found}`; this version reads formats up to `{known}`")]
    NewerFormat { site: Site, key: String, found: u32, known: u32 },
    /// A document fails its own checksum, or is not in the one form in which it is written.
    #[error("`{key}` on the {site} site is damaged: {reason}")]
    Damaged { site: Site, key: String, reason: &'static str },
    /// A document is not the expected JSON.
    #[error("`{key}` on the {site} site is not a valid document")]
    Document {
        site: Site,
        key: String,
        #[source]
        source: serde_json::Error,
    },
    /// No site has a copy of a document that can be read, and it is not replaced.
    #[error("no site has a copy of `{key}` that can be read")]
    Unreadable { key: String, source: Box<VaultError> },
    /// A value could not be written as JSON.
    #[error("`{key}` could not be written as JSON")]
    Encode {
        key: String,
        #[source]
        source: serde_json::Error,
    },
    /// A manifest is damaged, or was written by somebody without the chunk key.
    #[error("manifest `{key}` on the {site} site has an invalid signature")]
    ManifestForged { site: Site, key: String },
    /// The sites' `repository.json` differ in an epoch: one of them was altered.
    #[error("the sites disagree about epoch `{epoch}`")]
    Disputed { epoch: EpochNumber },
    /// A chunk key gives no signing key.
    #[error("a signing key could not be derived from the chunk key")]
    SigningKey,
    /// A backup's documents name another backup, epoch or length than they should.
    #[error("backup `{backup_id}` cannot be published: {reason}")]
    Incomplete { backup_id: BackupId, reason: &'static str },
    /// A name that no key may have.
    #[error("`{key}` is not a valid name for {purpose}")]
    BadKey { key: String, purpose: &'static str },
    /// The repository has no epoch of this number.
    #[error("the repository has no epoch `{epoch}`")]
    UnknownEpoch { epoch: EpochNumber },
    /// The configured keys would begin one epoch after the other.
    #[error(
        "epoch `{epoch}` is sealed under other keys than the configured ones, and `{begun}` epochs began because of keys within a day; \
         the next may begin after {until}"
    )]
    EpochsTooOften { epoch: EpochNumber, begun: usize, until: Timestamp },
    /// A site has no key to seal with.
    #[error("`{keys}` keys are configured for `{sites}` sites")]
    KeyMissing { keys: usize, sites: usize },
    /// A message could not be opened.
    #[error("`{key}` on the {site} site could not be opened")]
    Open { site: Site, key: String, source: SealError },
    /// A message opens, but was sealed for another repository or purpose.
    #[error("`{key}` on the {site} site was sealed for another repository or purpose")]
    Foreign { site: Site, key: String },
    /// A message could not be sealed.
    #[error("a message could not be sealed")]
    Seal { source: SealError },
    /// The key service gave no data key for this run.
    #[error("a data key could not be created for this run")]
    DataKey { source: DataKeyError },
    /// Compression failed.
    #[error("compression failed: {reason}")]
    Compress { reason: String },
    /// No key made a MAC for a ledger entry, or confirmed that of the entry before it.
    #[error("no key vouches for the ledger entry: {reason}")]
    NotVouched { reason: String },
    /// There is no memory for the decoder of a chunk.
    #[error("not enough memory to unpack a chunk")]
    NoMemory,
    /// An object does not hold what the list says: another length, another content, not decompressible.
    #[error("`{key}` on the {site} site does not match the chunk list: {reason}")]
    WrongContent { site: Site, key: String, reason: &'static str },
    /// A chunk is longer than the limit.
    #[error("a chunk of `{raw_bytes}` bytes is longer than the limit of `{limit_bytes}`")]
    ChunkTooLong { raw_bytes: u64, limit_bytes: u64 },
    /// A named limit was reached.
    #[error("more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    /// Another run holds the lease.
    #[error("lease `{name}` is held by `{holder}` until {expires_at}")]
    LeaseHeld { name: String, holder: String, expires_at: Timestamp },
    /// Another run took the lease.
    #[error("lease `{name}` is no longer held by `{holder}`")]
    LeaseLost { name: String, holder: String },
    /// A compare-and-swap lost every attempt.
    #[error("other writers keep changing `{key}`: gave up after {attempts} attempts")]
    Contended { key: String, attempts: u32 },
    /// The ledger is not one chain.
    #[error("the ledger is broken at `{key}`: {reason}")]
    LedgerBroken { key: String, reason: LedgerFault },
    /// No site has a sound copy of an object.
    #[error("`{key}` on the {site} site cannot be healed: {reason}")]
    NotHealed { site: Site, key: String, reason: &'static str },
    /// A journal has the same step with another payload.
    #[error("`{step}` `{what}` is already recorded in `{key}` with another content")]
    AlreadyRecorded { key: String, step: String, what: String },
    /// Two processes went on with one run, each on another site.
    #[error("the sites have different entries in `{key}`")]
    JournalForked { key: String },
    /// An entry of a journal carries something else than is asked for.
    #[error("the journal entry `{entry}` carries something else than expected")]
    Payload {
        entry: String,
        #[source]
        source: serde_json::Error,
    },
    /// A document is longer than its limit.
    #[error("`{key}` would have `{size_bytes}` bytes, the limit is `{limit_bytes}`")]
    TooLong { key: String, size_bytes: u64, limit_bytes: u64 },
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes")]
    Randomness,
}

const MANIFEST_FORGED: &str = "the manifest is damaged, or somebody with access to the bucket changed it: run `lifeboat verify`, which heals it \
    from the other site; CloudTrail (output `TrailLogsName` of the site's stack) shows who wrote it";

const DISPUTED: &str = "two installations write to one off-site, or somebody with access to one bucket changed `repository.json` there: compare \
    both with their older versions, restore the right one, and let only one installation write";

const FOREIGN: &str = "somebody with access to the bucket changed it: read from the other site, and look in CloudTrail (output `TrailLogsName` of the \
    site's stack) who wrote it";

const KEY_MISSING: &str = "set the key of each site, `LIFEBOAT_PRIMARY_KEY` and `LIFEBOAT_OFFSITE_KEY`; for a site that is given up, remove its bucket \
    from the settings as well";

impl VaultError {
    pub(crate) fn store(site: Site) -> impl FnOnce(StoreError) -> Self {
        move |source| Self::Store { site, source }
    }

    /// Whether the site `wanted` does not serve.
    pub fn is_outage_of(&self, wanted: Site) -> bool {
        matches!(self, Self::Store { site, source } if *site == wanted && source.is_outage())
    }

    /// Whether it says something about stored bytes: they are missing, altered or forged, or this version cannot read them. All others are
    /// about a site, a key or this process, and the bytes may be as they were written.
    pub fn is_about_stored_bytes(&self) -> bool {
        match self {
            Self::Store { source, .. } => source.is_about_the_object(),
            Self::Open { source, .. } => source.is_bad_message(),
            Self::NewerFormat { .. }
            | Self::Damaged { .. }
            | Self::Document { .. }
            | Self::ManifestForged { .. }
            | Self::UnknownEpoch { .. }
            | Self::Foreign { .. }
            | Self::WrongContent { .. }
            | Self::ChunkTooLong { .. } => true,
            _ => false,
        }
    }

    /// Whether it is about the record of scratch databases, which is no part of any backup.
    pub fn is_about_the_scratch_record(&self) -> bool {
        match self {
            Self::Store { source, .. } => source.key() == SCRATCH_KEY,
            Self::TooMany { what, .. } => *what == SCRATCH_LEFT,
            Self::Unreadable { key, .. }
            | Self::Contended { key, .. }
            | Self::TooLong { key, .. }
            | Self::Encode { key, .. }
            | Self::NewerFormat { key, .. } => key == SCRATCH_KEY,
            _ => false,
        }
    }

    /// The fault of the document `key`, which is on no site without one.
    pub(crate) fn unreadable(self, key: &str) -> Self {
        Self::Unreadable { key: key.to_owned(), source: Box::new(self) }
    }

    /// What to do about it.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Store { source, .. } => source.advice(),
            Self::Open { source, .. } | Self::Seal { source } => advice_on_seal(source),
            Self::DataKey { source } => advice_on_data_key(source),
            _ => Advice { response: self.response(), hint: self.hint().into() },
        }
    }

    fn response(&self) -> Response {
        match self {
            Self::Contended { .. } => Response::Retry,
            Self::ManifestForged { .. }
            | Self::Disputed { .. }
            | Self::LedgerBroken { .. }
            | Self::WrongContent { .. }
            | Self::Foreign { .. }
            | Self::Damaged { .. }
            | Self::JournalForked { .. }
            | Self::NotHealed { .. }
            | Self::Unreadable { .. }
            | Self::EpochsTooOften { .. }
            | Self::TwoRepositories { .. } => Response::Page,
            _ => Response::Fail,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::NoSite { .. } => "set the bucket, region and key of this site, or choose the other site",
            Self::NoRepository => "check the bucket's name; the first backup creates the repository",
            Self::TwoRepositories { .. } => {
                "one of the buckets belongs to another installation: correct the settings before the next run"
            }
            Self::NewerFormat { .. } => NEWER_FORMAT,
            Self::Damaged { .. } | Self::Document { .. } | Self::WrongContent { .. } => {
                "run `lifeboat verify`, which heals it from the other site, or read from the other site"
            }
            Self::Unreadable { .. } => {
                "the document is damaged, or somebody with access to the bucket changed it: restore its older version, which the bucket keeps \
                 for 30 days; docs/runbooks/drill-leftover.md has the commands"
            }
            Self::ManifestForged { .. } => MANIFEST_FORGED,
            Self::Disputed { .. } => DISPUTED,
            Self::Foreign { .. } => FOREIGN,
            Self::Incomplete { .. } => "run the backup again; it reuses every chunk that is already stored",
            Self::BadKey { .. } => "use names of a-z, 0-9, `-`, `_` and `.`, with `/` between folders",
            Self::UnknownEpoch { .. } => {
                "`repository.json` is older than the backup: restore its newer version from the other site"
            }
            Self::KeyMissing { .. } => KEY_MISSING,
            Self::EpochsTooOften { .. } => {
                "let only one installation write to these buckets and leave its keys as they are: compare the keys in its settings with \
                 those that `lifeboat doctor` names"
            }
            Self::NotVouched { .. } => {
                "set and enable the HMAC keys of the sites, and allow this role to use them; one key that answers is enough"
            }
            Self::NoMemory => "give the function more memory, or fewer sessions",
            Self::ChunkTooLong { .. } => {
                "a single row is longer than PostgreSQL itself can copy: exclude the table in the policy's `backup.leave_out`"
            }
            Self::TooMany { what: SCRATCH_LEFT, .. } => {
                "run `lifeboat drill --clean` where the scratch server can be reached"
            }
            Self::TooMany { .. } | Self::TooLong { .. } => {
                "a safety limit was reached: report this message and what the repository holds"
            }
            Self::LeaseHeld { .. } => "another run is at work: wait until it ends, or until its lease expires",
            Self::LeaseLost { .. } => {
                "this run took longer than its lease, and another run continues: nothing is damaged, and no action is \
                 needed"
            }
            Self::Contended { .. } => "several runs write at the same time: run again",
            Self::LedgerBroken { reason, .. } => reason.hint(),
            Self::NotHealed { .. } => {
                "no site has a sound copy: take a new backup now, and look for an older version of the object in the bucket"
            }
            Self::AlreadyRecorded { .. } => "the run has already taken this step with another result: start a new run",
            Self::JournalForked { .. } => {
                "two processes continued this run while a site was unreachable: stop both, check the target, and start a new run"
            }
            Self::Payload { .. } => {
                "another version of Lifeboat began this run: continue it with that version, or start a new run"
            }
            Self::Randomness => "the machine's source of randomness failed: run again",
            Self::Encode { .. }
            | Self::Compress { .. }
            | Self::SigningKey
            | Self::Store { .. }
            | Self::Open { .. }
            | Self::Seal { .. }
            | Self::DataKey { .. } => "this is a defect in Lifeboat: please report it with this message",
        }
    }
}

pub(crate) fn advice_on_seal(error: &SealError) -> Advice {
    let response = match error {
        error if error.is_retryable() => Response::Retry,
        error if error.is_bad_message() => Response::Page,
        _ => Response::Fail,
    };
    Advice { response, hint: plain(error.hint()).into() }
}

pub(crate) fn advice_on_data_key(error: &DataKeyError) -> Advice {
    let response = if error.is_retryable() { Response::Retry } else { Response::Fail };
    Advice { response, hint: plain(error.hint()).into() }
}

/// A sentence as hints are written: lower case, without its full stop.
fn plain(sentence: &str) -> String {
    let mut rest = sentence.trim_end_matches('.').chars();
    rest.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_about_an_object_say_something_of_stored_bytes() {
        let (site, key) = (Site::Primary, "chunks/0001/ab/abcd".to_owned());
        let store = |source| VaultError::Store { site, source };
        let about_bytes = [
            store(StoreError::NotFound { key: key.clone() }),
            VaultError::WrongContent { site, key: key.clone(), reason: "another length" },
            VaultError::Open { site, key: key.clone(), source: SealError::HeaderTag },
            VaultError::UnknownEpoch { epoch: EpochNumber(2) },
        ];
        assert!(about_bytes.iter().all(VaultError::is_about_stored_bytes));
        let others = [
            store(StoreError::Denied { key: key.clone(), source: "no".into() }),
            VaultError::Open { site, key: key.clone(), source: SealError::Cipher { step: "decrypt" } },
            VaultError::NoMemory,
            VaultError::TooMany { what: "pages", limit: 1 },
            VaultError::Damaged { site, key: SCRATCH_KEY.to_owned(), reason: "x" }.unreadable(SCRATCH_KEY),
        ];
        assert!(!others.iter().any(VaultError::is_about_stored_bytes));
        let is_of_record: Vec<bool> = others.iter().map(VaultError::is_about_the_scratch_record).collect();
        assert_eq!(is_of_record, [false, false, false, false, true]);
        assert!(store(StoreError::NoBucket { key: SCRATCH_KEY.to_owned() }).is_about_the_scratch_record());
    }
}
