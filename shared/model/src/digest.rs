//! Content: the keyed name of a chunk, the checksum of an object, and the order-independent digest of rows.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::name_error::NameError;

macro_rules! hex32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(with = "hex::serde")] pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| NameError::Hex(text.to_owned()))?;
                Ok(Self(bytes))
            }
        }
    };
}

hex32!(
    /// Names a chunk by its content: keyed BLAKE3 of the plaintext, so that an outsider cannot test guesses.
    ChunkId
);
hex32!(
    /// SHA-256 of an object as it is stored: what S3 checks on arrival and what `verify` checks without any key.
    Sha256
);

hex32!(
    /// The Ed25519 public key of one epoch, which anyone may check its manifests with.
    PublicKey
);

/// The secret of one epoch. Chunk ids and row digests are keyed with what is derived from it.
///
/// Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct ChunkKey([u8; 32]);

impl ChunkKey {
    /// Takes the 32 secret bytes that `repository.json` keeps sealed.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The secret itself, to be sealed.
    pub fn secret(&self) -> &[u8; 32] {
        &self.0
    }

    /// The chunk id of a plaintext.
    pub fn chunk_id(&self, plaintext: &[u8]) -> ChunkId {
        let key = blake3::derive_key("Lifeboat 2026-11-21 chunk id", &self.0);
        ChunkId(*blake3::keyed_hash(&key, plaintext).as_bytes())
    }

    /// The seed of the Ed25519 key that signs the manifests of this epoch.
    pub fn signing_seed(&self) -> [u8; 32] {
        blake3::derive_key("Lifeboat 2026-11-21 manifest signing key", &self.0)
    }

    /// Hashes rows of this epoch.
    pub fn row_hasher(&self) -> RowHasher {
        let key = blake3::derive_key("Lifeboat 2026-11-21 row digest", &self.0);
        let mut half = [0; 16];
        half.copy_from_slice(key.split_at(16).0);
        RowHasher { key: half }
    }
}

impl fmt::Debug for ChunkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkKey(..)")
    }
}

/// Hashes one row at a time with SipHash-2-4-128.
///
/// Anyone who may read the bucket can read the manifest, and a table may have one row. An unkeyed digest would let them
/// test guesses of it. SipHash is a keyed function made for short inputs, several times faster on a row than BLAKE3.
#[derive(Clone)]
pub struct RowHasher {
    key: [u8; 16],
}

impl RowHasher {
    /// The digest of one row, given as its bytes in COPY form without header or trailer.
    pub fn row(&self, row: &[u8]) -> RowDigest {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(row);
        RowDigest(hasher.finish128().as_u128())
    }
}

impl fmt::Debug for RowHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowHasher(..)")
    }
}

/// The sum, modulo 2^128, of the digests of some rows: independent of their order, and sums of parts add up to the whole.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RowDigest(u128);

impl std::ops::AddAssign for RowDigest {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl std::iter::Sum for RowDigest {
    fn sum<I: Iterator<Item = Self>>(digests: I) -> Self {
        digests.fold(Self::default(), |mut sum, digest| {
            sum += digest;
            sum
        })
    }
}

impl fmt::Display for RowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for RowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowDigest({self})")
    }
}

impl Serialize for RowDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RowDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() != 32 {
            return Err(serde::de::Error::custom("a row digest has 32 hexadecimal digits"));
        }
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(rows: &[&str]) -> RowDigest {
        let hasher = ChunkKey::new([7; 32]).row_hasher();
        rows.iter().map(|row| hasher.row(row.as_bytes())).sum()
    }

    #[test]
    fn a_row_digest_does_not_depend_on_order_but_on_every_row_and_how_often_it_occurs() {
        assert_eq!(digest_of(&["a", "b", "c"]), digest_of(&["c", "a", "b"]));
        assert_ne!(digest_of(&["a", "b"]), digest_of(&["a", "c"]));
        assert_ne!(digest_of(&["a", "a"]), digest_of(&[]));
        assert_ne!(digest_of(&["ab", ""]), digest_of(&["a", "b"]));
    }

    #[test]
    fn digests_of_parts_add_up_to_the_digest_of_the_whole() {
        let mut sum = digest_of(&["a", "b"]);
        sum += digest_of(&["c"]);
        assert_eq!(sum, digest_of(&["a", "b", "c"]));
    }

    #[test]
    fn digests_and_ids_differ_from_key_to_key() {
        let (one, two) = (ChunkKey::new([1; 32]), ChunkKey::new([2; 32]));
        assert_ne!(one.chunk_id(b"x"), two.chunk_id(b"x"));
        assert_ne!(one.row_hasher().row(b"x"), two.row_hasher().row(b"x"));
        assert_ne!(one.signing_seed(), two.signing_seed());
        assert_ne!(&one.signing_seed(), one.secret());
    }

    #[test]
    fn digests_read_back_from_json_and_a_short_one_is_refused() {
        let digest = digest_of(&["a"]);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<RowDigest>(&json).unwrap(), digest);
        assert!(serde_json::from_str::<RowDigest>("\"12\"").is_err());
    }

    #[test]
    fn the_chunk_key_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", ChunkKey::new([0x41; 32])), "ChunkKey(..)");
    }
}
