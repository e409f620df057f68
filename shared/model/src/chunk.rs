//! The lines of a chunk list: what each stored chunk is and which part of which stream it carries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::{ChunkId, RowDigest, Sha256};
use crate::identity::EpochNumber;
use crate::name_error::NameError;
use crate::slice::Slice;

/// The stream that a chunk's bytes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Stream {
    /// `pg_dump --schema-only --format=custom` of the snapshot.
    Schema,
    /// SQL of roles, without passwords.
    Roles,
    /// The [`Globals`](crate::Globals) as JSON: the database's own properties, and the roles once more, to be restored one by one.
    Globals,
    /// SQL of `setval` calls, one a line.
    Sequences,
    /// The [`Inventory`](crate::Inventory) of the schema as JSON: what a drill compares with.
    Inventory,
    /// Binary COPY of (oid, offset, bytes) pages of large objects.
    LargeObjects,
    /// Binary COPY of (oid, owner, grants, comment) of large objects.
    LargeObjectProperties,
    /// COPY of the rows of the table with this oid.
    Table(u32),
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema => f.write_str("schema"),
            Self::Roles => f.write_str("roles"),
            Self::Globals => f.write_str("globals"),
            Self::Sequences => f.write_str("sequences"),
            Self::Inventory => f.write_str("inventory"),
            Self::LargeObjects => f.write_str("large-objects"),
            Self::LargeObjectProperties => f.write_str("large-object-properties"),
            Self::Table(oid) => write!(f, "table:{oid}"),
        }
    }
}

impl FromStr for Stream {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Ok(match text {
            "schema" => Self::Schema,
            "roles" => Self::Roles,
            "globals" => Self::Globals,
            "sequences" => Self::Sequences,
            "inventory" => Self::Inventory,
            "large-objects" => Self::LargeObjects,
            "large-object-properties" => Self::LargeObjectProperties,
            _ => text
                .strip_prefix("table:")
                .and_then(|oid| oid.parse().ok())
                .map(Self::Table)
                .ok_or_else(|| NameError::Stream(text.to_owned()))?,
        })
    }
}

impl TryFrom<String> for Stream {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Stream> for String {
    fn from(stream: Stream) -> String {
        stream.to_string()
    }
}

/// One sealed chunk as the repository holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChunk {
    /// Its content id; with the epoch, its key in the bucket.
    pub id: ChunkId,
    /// The epoch whose chunk key made the id.
    pub epoch: EpochNumber,
    /// Length of the plaintext.
    pub raw_bytes: u64,
    /// Length of the object.
    pub stored_bytes: u64,
    /// SHA-256 of the object.
    pub sha256: Sha256,
    /// How it came to be in this backup.
    pub origin: Origin,
}

/// How a chunk came to be in a backup. A verification of one backup reads what is `Stored` or `Found`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// This run stored it.
    Stored,
    /// Reused: the previous complete backup lists it.
    Listed,
    /// Reused: no known list names it, but it was in the store, left by a run that did not finish or by another database.
    Found,
}

impl StoredChunk {
    /// Whether the run that lists it did not have to store it.
    pub fn is_reused(&self) -> bool {
        self.origin != Origin::Stored
    }
}

/// One line of a chunk list: one part of one stream.
///
/// A slice without rows has a line without a chunk, so that the list names every block range of every table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkEntry {
    /// The stream it is a part of.
    pub stream: Stream,
    /// Counts the chunks of one slice, or of one stream that has no slices, from 0.
    pub part: u32,
    /// The block range, for tables.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub slice: Option<Slice>,
    /// Rows in this chunk, for streams of rows.
    #[serde(default)]
    pub rows: u64,
    /// Digest of those rows.
    #[serde(default)]
    pub digest: RowDigest,
    /// The chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<StoredChunk>,
}

/// Where a chunk is stored on each site: `chunks/0001/ab/abcd…`. Two digits of fan-out keep the listings of a bucket readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkAddress {
    /// Its epoch.
    pub epoch: EpochNumber,
    /// Its id.
    pub id: ChunkId,
}

impl fmt::Display for ChunkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.to_string();
        write!(f, "chunks/{}/{}/{id}", self.epoch, id.get(..2).unwrap_or_default())
    }
}

impl FromStr for ChunkAddress {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let read = || {
            let (epoch, rest) = text.strip_prefix("chunks/")?.split_once('/')?;
            let (_, id) = rest.split_once('/')?;
            Some(Self { epoch: EpochNumber(epoch.parse().ok()?), id: id.parse().ok()? })
        };
        let address = read().filter(|address| address.to_string() == text);
        address.ok_or_else(|| NameError::Word { what: "the key of a chunk", text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_was_written_with_and_without_slice_and_chunk() {
        let chunk = StoredChunk {
            id: ChunkId([1; 32]),
            epoch: EpochNumber(1),
            raw_bytes: 10,
            stored_bytes: 5,
            sha256: Sha256([2; 32]),
            origin: Origin::Found,
        };
        for (stream, slice, chunk) in [
            (Stream::Table(7), Some(Slice { first_block: 0, end_block: Some(256) }), Some(chunk.clone())),
            (Stream::Table(7), Some(Slice { first_block: 256, end_block: None }), None),
            (Stream::Schema, None, Some(chunk)),
        ] {
            let entry = ChunkEntry { stream, part: 3, slice, rows: 2, digest: RowDigest::default(), chunk };
            let json = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<ChunkEntry>(&json).unwrap(), entry, "{json}");
        }
    }

    #[test]
    fn a_stream_of_an_unknown_name_is_refused() {
        assert!("table:x".parse::<Stream>().is_err());
        assert!("view:1".parse::<Stream>().is_err());
    }
}
