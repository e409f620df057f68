//! The repository: everything that Lifeboat keeps, on one or two sites.
//!
//! This crate owns the stored layout (`docs/format/repository.md`), the port [`ObjectStore`] to one bucket, and what is built on
//! it: chunks, chunk lists, manifests, leases, the ledger, inspection and healing. It must never know PostgreSQL, nor what
//! the bytes of a chunk mean.
//!
//! Every write is create-only or a compare-and-swap, nothing can be deleted through it, and a manifest is written last:
//! a run that is killed anywhere leaves no backup that is not whole, and chunks that the next run reuses. Manifests are signed:
//! what one site alone vouches for is never written over the other site's.

mod backups;
mod behind;
mod checksum;
mod checkup;
mod chunk_list;
mod chunk_mark;
mod contention;
mod document;
mod error;
mod heal;
mod heavy;
mod incidents;
mod layout;
mod lease;
mod ledger;
mod mac;
mod message;
mod published;
mod reader;
mod repository;
mod scratch;
mod signature;
mod sites;
mod states;
mod store;
mod store_error;
mod stored_chunks;
mod suspects;
mod unpack;
mod writer;

pub use checksum::{Sha256Sum, sha256};
pub use checkup::{answers, check_keys, check_mac_keys, check_site};
pub use chunk_list::{ChunkEntries, ChunkListWriter, PART_ENTRIES};
pub use error::VaultError;
pub use heal::{Listed, ObjectState};
pub use incidents::Incidents;
pub use layout::{chunk_key, chunk_list_key, manifest_key};
pub use lease::{HeldLease, Leases};
pub use ledger::{Anchor, ChainReport, Ledger, LedgerFault, LedgerFilter, Walk, WalkEnd};
pub use mac::{MacKey, MacKeys};
pub use reader::{CHUNK_LIMIT_BYTES, Reader};
pub use repository::{EPOCH_AGE, Repository};
pub use scratch::Scratch;
pub use sites::{SiteStore, Sites};
pub use states::{State, States};
pub use store::{
    BodySink, CopySource, DOCUMENT_LIMIT_BYTES, Fetched, Measured, NewObject, ObjectHead, ObjectStore, PAGE_KEYS, Page,
    Protection, PutCondition, ReadObject, Summed, Version, copy_through,
};
pub use store_error::{Cause, Retry, StoreError};
pub use stored_chunks::StoredChunks;
pub use suspects::Suspects;
pub use writer::{KNOWN_CHUNKS_LIMIT, WriteOptions, Writer};
