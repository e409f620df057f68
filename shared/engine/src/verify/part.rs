//! The chunks that a verification reads, divided into parts to bound its memory.

use std::ops::AddAssign;

use lifeboat_model::{ChunkId, Manifest, VerificationScope};

/// Chunks remembered at one time, about 100 MB. A chunk that many backups list is read only once.
const REMEMBERED_CHUNKS: u64 = 500_000;

/// The most chunks that some backups can hold together. Each chunk is new in one of them, or was reused by the oldest.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ChunkCount {
    new: u64,
    reused: u64,
}

impl From<&Manifest> for ChunkCount {
    fn from(manifest: &Manifest) -> Self {
        Self { new: manifest.totals.new_chunks, reused: manifest.totals.reused_chunks }
    }
}

impl AddAssign for ChunkCount {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.reused = self.reused.max(other.reused);
    }
}

/// A share of all chunk ids: those whose first four bytes, read as a number, are `remainder` modulo `divisor`.
///
/// Ids are uniformly distributed, so the shares hold about the same number of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    remainder: u32,
    divisor: u32,
}

impl Part {
    /// The parts that make up `scope`, which has `chunks`.
    pub(super) fn of(scope: &VerificationScope, chunks: ChunkCount) -> Vec<Self> {
        let (day, days) = match scope {
            VerificationScope::Rotation { day, days } => (*day, (*days).max(1)),
            VerificationScope::All | VerificationScope::Backup { .. } => (0, 1),
        };
        let passes = (chunks.new + chunks.reused).div_ceil(u64::from(days) * REMEMBERED_CHUNKS);
        Self::split(day % days, days, u32::try_from(passes).unwrap_or(u32::MAX).max(1))
    }

    /// The share `remainder` of `divisor`, cut into `passes` parts.
    fn split(remainder: u32, divisor: u32, passes: u32) -> Vec<Self> {
        let whole = divisor.saturating_mul(passes);
        (0..passes).map(|pass| Self { remainder: remainder + pass * divisor, divisor: whole }).collect()
    }

    pub(super) fn contains(&self, id: &ChunkId) -> bool {
        let [a, b, c, d, ..] = id.0;
        u32::from_be_bytes([a, b, c, d]) % self.divisor == self.remainder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> ChunkId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        ChunkId(bytes)
    }

    #[test]
    fn the_days_of_a_rotation_read_every_chunk_exactly_once_however_many_passes_each_takes() {
        for (days, passes) in [(1, 1), (7, 1), (7, 3), (30, 4)] {
            for number in (0..5000).chain([u32::MAX, u32::MAX - 1]) {
                let readings = (0..days)
                    .flat_map(|day| Part::split(day, days, passes))
                    .filter(|part| part.contains(&id(number)))
                    .count();
                assert_eq!(readings, 1, "chunk {number} with {days} days of {passes} passes");
            }
        }
    }
}
