//! The repository: everything that Lifeboat keeps, on one or two sites.
//!
//! This crate owns the stored layout (`docs/format/repository.md`), the port [`ObjectStore`] to one bucket, and what is built on
//! it: chunks, chunk lists, manifests, the ledger, inspection and healing, registers and journals. It must never know PostgreSQL, or the
//! meaning of a chunk's bytes.
//!
//! Every write is create-only or a compare-and-swap, nothing can be deleted through it, and a manifest is written last.
//! A run that is killed anywhere leaves no incomplete backup, and the next run reuses its chunks. Manifests are signed, and no site is
//! healed on the word of the other one alone.

mod backups;
mod chunks;
mod error;
mod journal;
mod layout;
mod ledger;
mod operations;
mod register;
mod repository;
mod store;

pub use chunks::chunk_list::{ChunkEntries, ChunkListWriter, PART_ENTRIES};
pub use chunks::reader::{CHUNK_LIMIT_BYTES, Reader};
pub use chunks::scratch::Scratch;
pub use chunks::stored_chunks::StoredChunks;
pub use chunks::suspects::Suspects;
pub use chunks::writer::{KNOWN_CHUNKS_LIMIT, WriteOptions, Writer};
pub use error::VaultError;
pub use journal::{JOURNAL_ENTRIES_LIMIT, JOURNAL_ENTRY_LIMIT_BYTES, Journal, JournalEntry};
pub use layout::{chunk_key, chunk_list_key, manifest_key, number_of_ledger_key};
pub use ledger::fault::LedgerFault;
pub use ledger::mac_keys::{MacKey, MacKeys};
pub use ledger::walk::{Anchor, ChainReport, Walk, WalkEnd};
pub use ledger::{Ledger, LedgerFilter};
pub use operations::checkup::{answers, check_keys, check_mac_keys, check_site};
pub use operations::incidents::Incidents;
pub use operations::leases::{HeldLease, Leases};
pub use operations::protection::judge_protection;
pub use operations::scratch::{MOST_SCRATCH, ScratchRecords};
pub use operations::states::{State, States};
pub use operations::stored_keys::check_stored_keys;
pub use register::{Changed, Reading, Register};
pub use repository::Repository;
pub use repository::epochs::{EPOCH_AGE, EPOCH_GRACE, LEAST_LOCK_DAYS};
pub use repository::inspection::ObjectState;
pub use repository::listed::Listed;
pub use store::checksum::{Sha256Sum, sha256};
pub use store::error::{Cause, StoreError};
pub use store::port::{
    BodySink, CopySource, DOCUMENT_LIMIT_BYTES, DefaultLock, Fetched, KeyPage, LockPeriod, Measured, NewObject,
    ObjectHead, ObjectStore, PAGE_KEYS, Protection, PutCondition, ReadObject, Summed, Version, copy_through,
};
pub use store::site_order::{Detours, SiteOrder};
pub use store::sites::{SiteStore, Sites};
