//! What a finding is about.

use std::fmt;

use crate::chunk::ChunkAddress;

/// What a finding is about. Its text is stored; together with the finding's kind it reads back as the same subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FindingSubject {
    /// A stored chunk.
    Chunk(ChunkAddress),
    /// Another stored object, or a folder of them, by its key.
    Object(String),
    /// Objects that a verification had no time for, or could not reach.
    RestOfScope,
    /// Something in a restored database, by its name there: a table, a schema object, a role.
    Restored(String),
}

/// The text of [`FindingSubject::RestOfScope`]; no key has spaces.
const REST_OF_SCOPE: &str = "the rest of the scope";

impl FindingSubject {
    /// The stored object of this key.
    pub fn stored(key: impl Into<String>) -> Self {
        let key = key.into();
        if key == REST_OF_SCOPE {
            return Self::RestOfScope;
        }
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
            Self::RestOfScope => f.write_str(REST_OF_SCOPE),
            Self::Object(text) | Self::Restored(text) => f.write_str(text),
        }
    }
}
