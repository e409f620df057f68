//! Everything that is said to a PostgreSQL server: sessions, snapshots, rows out and in, definitions, proofs.
//!
//! This crate owns SQL, the COPY protocol, the driver, TLS to a server and PostgreSQL's client programs. It turns a database
//! into plaintext chunks with counts and digests, and chunks into a database that can be compared with them. It must never
//! know where chunks go: no repository, no store, no cloud, and of the verbs only the words in their messages.

mod archive;
mod catalog;
mod copy_format;
mod doctor;
mod error;
mod globals;
mod identifier;
mod inventory;
mod large_object;
mod loader;
mod locale;
mod proof;
mod provider;
mod reader;
mod refusal;
mod relation;
mod rows;
mod scratch;
mod sections;
mod sequence;
mod session;
mod settings;
mod snapshot;
mod stderr;
mod tap;
mod target;
mod tls;
mod tools;
mod url;
mod watch;
mod wire;
mod words;

pub use doctor::{Check, Checked, doctor};
pub use error::{PostgresError, Result, Retry, ServerError};
pub use identifier::RelationName;
pub use large_object::LargeObjectCount;
pub use loader::{Loader, TableTarget};
pub use proof::Prover;
pub use reader::SliceReader;
pub use relation::{Disposition, Relation};
pub use rows::{ChunkRows, RowStream, RowTotals};
pub use scratch::{ScratchDatabase, ScratchServer};
pub use sections::Section;
pub use sequence::SequenceValues;
pub use session::Session;
pub use settings::{ConnectionSettings, SslMode};
pub use snapshot::{Snapshot, SnapshotOptions};
pub use target::RestoreTarget;
pub use tools::{ClientTools, LibpqEnvironment};
