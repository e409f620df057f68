//! The mark of a chunk: a writer's signed word on what an object holds, readable without reading the object.
//!
//! A run that was killed has stored chunks that no list names. The next run finds them by `HEAD`, which tells a length and
//! a SHA-256, but not whether *these* bytes are the sealed form of *this* content: somebody may have put other bytes
//! there. So each chunk carries, as user metadata, a MAC over its id, length and SHA-256 under a key derived from the
//! chunk key. With it a chunk is reused at the price of a `HEAD`. Without it, the chunk is opened and checked.

use lifeboat_model::{ChunkId, ChunkKey, Sha256};

use crate::store::port::ObjectHead;

/// Makes and checks the marks of one epoch.
pub(crate) struct ChunkMarks {
    key: [u8; 32],
}

impl ChunkMarks {
    pub(crate) fn new(chunk_key: &ChunkKey) -> Self {
        Self { key: blake3::derive_key("Lifeboat 2026-11-21 chunk mark", chunk_key.secret()) }
    }

    /// 64 hexadecimal digits.
    pub(crate) fn mark(&self, id: &ChunkId, size_bytes: u64, sha256: &Sha256) -> String {
        self.mac(id, size_bytes, sha256).to_hex().to_string()
    }

    /// The SHA-256 of an object that is proved to hold the content `id`; `None` when its mark does not prove it.
    pub(crate) fn proved(&self, id: &ChunkId, head: &ObjectHead) -> Option<Sha256> {
        let sha256 = head.sha256?;
        let mark = blake3::Hash::from_hex(head.mark.as_deref()?).ok()?;
        // `blake3::Hash` compares in constant time.
        (mark == self.mac(id, head.size_bytes, &sha256)).then_some(sha256)
    }

    fn mac(&self, id: &ChunkId, size_bytes: u64, sha256: &Sha256) -> blake3::Hash {
        blake3::Hasher::new_keyed(&self.key)
            .update(&id.0)
            .update(&size_bytes.to_be_bytes())
            .update(&sha256.0)
            .finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::port::Version;

    #[test]
    fn a_mark_proves_its_own_object_and_no_other() {
        let marks = ChunkMarks::new(&ChunkKey::new([1; 32]));
        let (id, sha256) = (ChunkId([2; 32]), Sha256([3; 32]));
        let head = ObjectHead {
            size_bytes: 9,
            sha256: Some(sha256),
            mark: Some(marks.mark(&id, 9, &sha256)),
            version: Version::new("1"),
        };
        assert_eq!(marks.proved(&id, &head), Some(sha256));
        assert_eq!(marks.proved(&ChunkId([4; 32]), &head), None);
        assert_eq!(marks.proved(&id, &ObjectHead { size_bytes: 8, ..head.clone() }), None);
        assert_eq!(marks.proved(&id, &ObjectHead { sha256: Some(Sha256([4; 32])), ..head.clone() }), None);
        assert_eq!(marks.proved(&id, &ObjectHead { mark: None, ..head.clone() }), None);
        let other = ChunkMarks::new(&ChunkKey::new([5; 32]));
        assert_eq!(other.proved(&id, &head), None);
    }
}
