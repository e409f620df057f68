//! The manifest of one backup. It is written last; without it, there is no backup.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::{RowDigest, Sha256};
use crate::identity::{BackupId, DatabaseName, EpochNumber};
use crate::ledger::LedgerLink;
use crate::phase::Phases;

/// The version of the manifest's format that this code writes, and the newest it reads.
pub const MANIFEST_FORMAT: u32 = 1;

/// One consistent view of one database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: u32,
    /// The backup it describes.
    pub backup_id: BackupId,
    /// The database, by its name in the repository.
    pub database: DatabaseName,
    /// `complete`: no other state is ever stored.
    pub state: BackupState,
    /// The epoch whose key made every chunk id and row digest of this backup.
    pub epoch: EpochNumber,
    /// When the run began.
    pub started_at: Timestamp,
    /// When the manifest was written.
    pub finished_at: Timestamp,
    /// The server and the snapshot.
    pub source: Source,
    /// Blocks per slice, as [`SLICE_BLOCKS`](crate::SLICE_BLOCKS) was then.
    pub slice_blocks: u32,
    /// Every relation of the catalog with its status: the coverage report.
    pub relations: Vec<RelationEntry>,
    /// Large objects carried.
    pub large_objects: u64,
    /// The sums.
    pub totals: Totals,
    /// Where the chunks are listed.
    pub chunk_list: ChunkList,
    /// Wall seconds by phase.
    pub seconds: Phases,
    /// `lifeboat 0.1.0`, `pg_dump (PostgreSQL) 15.18`.
    pub tools: Vec<String>,
    /// The newest entry of the audit trail when the manifest was written: the backup vouches for the trail up to it. Absent when
    /// the ledger was empty or could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerLink>,
}

/// The state of a backup. There is one: a manifest exists only when the backup is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupState {
    /// Everything the relations list promises is stored.
    Complete,
}

/// The server the backup came from and the snapshot it shows.
///
/// A later run needs it to see that a range of blocks has not changed. It also needs each table's `relfilenode` and
/// `columns_hash`, and each slice's range and row count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The database's name on the server.
    pub datname: String,
    /// `server_version_num`, such as 150018.
    pub server_version_num: u32,
    /// `pg_control_system().system_identifier`, where the role may read it.
    pub system_identifier: Option<String>,
    /// `pg_postmaster_start_time()` to the second. It tells servers apart that were made from one image. Absent in older backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_started_at: Option<Timestamp>,
    /// The timeline, where the role may read it.
    pub timeline: Option<u32>,
    /// The write-ahead log position when the snapshot was taken, where the role may read it.
    pub lsn: Option<String>,
    /// The database's encoding, such as `UTF8`.
    pub encoding: String,
    /// `LC_COLLATE` of the database.
    pub collate: String,
    /// `LC_CTYPE` of the database.
    pub ctype: String,
    /// The locale provider, as CREATE DATABASE names it: `libc`, `icu` or `builtin`. From PostgreSQL 15 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale_provider: Option<String>,
    /// The locale of a provider other than `libc`, such as `en-US`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_locale: Option<String>,
    /// Rules added to an ICU locale. From PostgreSQL 16 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icu_rules: Option<String>,
    /// The version of the provider's collation that text indexes were built with. From PostgreSQL 15 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation_version: Option<String>,
    /// `pg_current_snapshot()` as text: `xmin:xmax:in progress`.
    pub snapshot: String,
    /// When the snapshot was taken, by the server's clock.
    pub snapshot_at: Timestamp,
}

/// A relation of the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RelationEntry {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: RelationKind,
    /// Its status.
    pub status: RelationStatus,
    /// Its rows, if this backup has rows of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<TableData>,
}

/// `pg_class.relkind` in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelationKind {
    /// An ordinary table or a leaf partition.
    Table,
    /// A partitioned table: its rows are in its partitions.
    PartitionedTable,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table.
    ForeignTable,
    /// A sequence.
    Sequence,
}

/// The status of a relation in a backup. Every relation has one, so none is missing silently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum RelationStatus {
    /// Its rows were read; at least one of its chunks is new.
    Copied,
    /// Its rows were read and every chunk was already stored.
    Reused,
    /// Its definition is in the schema archive and it stores no rows (views, partitioned and foreign tables).
    Definition,
    /// Its definition is in the schema archive and a restore computes its contents (materialized views).
    Rebuilt,
    /// Its state is in the `sequences` stream.
    Carried,
    /// Left out by this rule: its rows, by one of policy, or all of it, by one of PostgreSQL.
    LeftOut {
        /// The rule, in words.
        rule: String,
    },
    /// It could not be read, and policy leaves it out.
    Unreadable {
        /// Why it could not, and why that is allowed.
        reason: String,
    },
}

/// How a table's rows are written in its chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyFormat {
    /// `COPY … (FORMAT binary)`: where every column's binary form survives a restore.
    Binary,
    /// `COPY … (FORMAT text)`.
    Text,
}

/// The rows of one table in one backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableData {
    /// `pg_class.oid`; names the stream.
    pub oid: u32,
    /// `pg_class.relfilenode` as the snapshot sees it.
    pub relfilenode: u32,
    /// The columns in the order of the COPY, generated and dropped ones left out.
    pub columns: Vec<String>,
    /// A hash of the columns' names, types and attribute numbers.
    pub columns_hash: String,
    /// The form of the rows.
    pub format: CopyFormat,
    /// Rows.
    pub rows: u64,
    /// The sum of their digests.
    pub row_digest: RowDigest,
    /// Plaintext bytes.
    pub raw_bytes: u64,
    /// Bytes of the objects that hold them, new and reused.
    pub stored_bytes: u64,
    /// Chunks.
    pub chunks: u64,
    /// How many of these chunks were stored already.
    pub reused_chunks: u64,
}

/// Sums over a whole backup.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Relations of the catalog.
    pub relations: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Plaintext bytes of all streams.
    pub raw_bytes: u64,
    /// Bytes of the objects that this run stored.
    pub stored_bytes: u64,
    /// Bytes of the objects that it reused.
    pub reused_bytes: u64,
    /// Chunks that this run stored.
    pub new_chunks: u64,
    /// Chunks that it reused.
    pub reused_chunks: u64,
}

/// The chunk list: JSON lines of [`ChunkEntry`](crate::ChunkEntry), zstd-compressed, in parts of a bounded length. Writer and
/// reader never hold the whole list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChunkList {
    /// Lines in all parts.
    pub entries: u64,
    /// The parts in order; part `n` is the object `chunks-<n, five digits>.jsonl.zst` beside the manifest.
    pub parts: Vec<ChunkListPart>,
}

/// One part of the chunk list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkListPart {
    /// Lines in it.
    pub entries: u64,
    /// Length of the object.
    pub stored_bytes: u64,
    /// SHA-256 of the object.
    pub sha256: Sha256,
}

/// The number of relations with each status: the coverage report in one line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// [`RelationStatus::Copied`].
    pub copied: u64,
    /// [`RelationStatus::Reused`].
    pub reused: u64,
    /// [`RelationStatus::Definition`].
    pub definition: u64,
    /// [`RelationStatus::Rebuilt`].
    pub rebuilt: u64,
    /// [`RelationStatus::Carried`].
    pub carried: u64,
    /// [`RelationStatus::LeftOut`].
    pub left_out: u64,
    /// [`RelationStatus::Unreadable`].
    pub unreadable: u64,
}

impl RelationStatus {
    /// A table whose rows policy leaves out for this reason.
    pub fn left_out_by_policy(reason: &str) -> Self {
        Self::LeftOut { rule: format!("{BY_POLICY}{reason}") }
    }

    /// Whether its rows are missing because policy says so. PostgreSQL leaves out others, such as those of extensions.
    pub fn is_left_out_by_policy(&self) -> bool {
        match self {
            Self::LeftOut { rule } => rule.starts_with(BY_POLICY),
            Self::Unreadable { .. } => true,
            _ => false,
        }
    }
}

/// The beginning of a rule of policy, which no rule of PostgreSQL has.
const BY_POLICY: &str = "policy: ";

impl Manifest {
    /// Counts the relations by status; every relation is in exactly one of the counts.
    pub fn coverage(&self) -> Coverage {
        let mut coverage = Coverage::default();
        for relation in &self.relations {
            *match relation.status {
                RelationStatus::Copied => &mut coverage.copied,
                RelationStatus::Reused => &mut coverage.reused,
                RelationStatus::Definition => &mut coverage.definition,
                RelationStatus::Rebuilt => &mut coverage.rebuilt,
                RelationStatus::Carried => &mut coverage.carried,
                RelationStatus::LeftOut { .. } => &mut coverage.left_out,
                RelationStatus::Unreadable { .. } => &mut coverage.unreadable,
            } += 1;
        }
        coverage
    }

    /// The relations whose rows policy leaves out, as `schema.name`.
    pub fn left_out_by_policy(&self) -> Vec<String> {
        let left_out = self.relations.iter().filter(|relation| relation.status.is_left_out_by_policy());
        left_out.map(|relation| format!("{}.{}", relation.schema, relation.name)).collect()
    }

    /// The entries that carry rows.
    pub fn tables(&self) -> impl Iterator<Item = (&RelationEntry, &TableData)> {
        self.relations.iter().filter_map(|relation| relation.data.as_ref().map(|data| (relation, data)))
    }
}
