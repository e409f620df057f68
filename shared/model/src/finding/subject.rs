//! What a finding is about.

use std::fmt;
use std::str::FromStr;

use crate::digest::ChunkId;
use crate::identity::EpochNumber;
use crate::name_error::NameError;

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

/// What a finding is about. Its text is stored; together with the finding's kind it reads back as the same subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FindingSubject {
    /// A stored chunk.
    Chunk(ChunkAddress),
    /// Another stored object, or a folder of them, by its key.
    Object(String),
    /// Something in a restored database, by its name there: a table, a schema object, a role.
    Restored(String),
}

impl FindingSubject {
    /// The stored object of this key.
    pub fn stored(key: impl Into<String>) -> Self {
        let key = key.into();
        key.parse().map_or(Self::Object(key), Self::Chunk)
    }

    /// The subject of a stored finding.
    pub(super) fn read(is_restored: bool, text: String) -> Self {
        if is_restored { Self::Restored(text) } else { Self::stored(text) }
    }
}

impl fmt::Display for FindingSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk(address) => address.fmt(f),
            Self::Object(text) | Self::Restored(text) => f.write_str(text),
        }
    }
}
