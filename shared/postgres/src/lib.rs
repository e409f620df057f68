//! Everything that is said to a PostgreSQL server: sessions, snapshots, rows out and in, definitions, proofs.
//!
//! This crate owns SQL, the COPY protocol, the driver, TLS to a server and PostgreSQL's client programs. It turns a database
//! into plaintext chunks with counts and digests, and chunks into a database that can be compared with them. It must never
//! know where chunks go: no repository, no store, no cloud, and of the verbs only the words in their messages.

mod doctor;
mod error;
mod restore;
mod schema;
mod session;
mod snapshot;

pub use doctor::check::{Check, Checked};
pub use doctor::{Examined, doctor};
pub use error::connection_limit::ConnectionLimit;
pub use error::server_error::ServerError;
pub use error::{PostgresError, PostgresResult};
pub use restore::archive_restore::ArchiveRestore;
pub use restore::done_marks::DoneMarks;
pub use restore::loader::Loader;
pub use restore::obstacles::Obstacles;
pub use restore::proof::Prover;
pub use restore::refused_rows::{RefusedRanges, RefusedRows};
pub use restore::roles::RestoredRoles;
pub use restore::scratch::{ScratchClaim, ScratchDatabase, ScratchServer, Swept};
pub use restore::search_path::search_paths;
pub use restore::table_target::TableTarget;
pub use restore::target::RestoreTarget;
pub use restore::target_facts::{TargetContents, TargetFacts};
pub use schema::tools::ClientTools;
pub use session::Session;
pub use session::identifier::RelationName;
pub use session::libpq_environment::LibpqEnvironment;
pub use session::partial_chunk::ChunkRows;
pub use session::settings::{ConnectionSettings, SslMode};
pub use session::system::{BackupLoad, Readers, ServerIdentity, backup_connections};
pub use snapshot::large_object::LargeObjectCount;
pub use snapshot::reader::SliceReader;
pub use snapshot::relation::{Disposition, Relation};
pub use snapshot::rows::{RowStream, RowTotals};
pub use snapshot::sequence::SequenceValues;
pub use snapshot::{Snapshot, SnapshotOptions};
