//! Shares of what is stored: a day's part of a rotation, and passes that bound a verification's memory.

use lifeboat_model::{BackupId, ChunkId, VerificationScope};

/// Chunk ids remembered at one time, some 30 MB.
pub(super) const REMEMBERED_CHUNKS: usize = 500_000;

/// A share of all backups and chunks: those whose number is `remainder` modulo `divisor`. A
/// chunk's number is the first four bytes of its id.
///
/// The numbers are uniformly distributed, so the shares are about equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    remainder: u32,
    divisor: u32,
}

impl Part {
    /// Everything.
    pub(super) const ALL: Self = Self { remainder: 0, divisor: 1 };

    /// The part of everything that a scope has.
    pub(super) fn of(scope: &VerificationScope) -> Self {
        match scope {
            VerificationScope::Rotation { day, days } => {
                Self { remainder: day % (*days).max(1), divisor: (*days).max(1) }
            }
            VerificationScope::All | VerificationScope::Backup { .. } => Self::ALL,
        }
    }

    /// Everything, in as many parts as so many chunks need.
    pub(super) fn passes(chunks: u64) -> impl Iterator<Item = Self> {
        let divisor = u32::try_from(chunks.div_ceil(REMEMBERED_CHUNKS as u64)).unwrap_or(u32::MAX).max(1);
        (0..divisor).map(move |remainder| Self { remainder, divisor })
    }

    pub(super) fn has_chunk(&self, id: &ChunkId) -> bool {
        let [a, b, c, d, ..] = id.0;
        self.has(u32::from_be_bytes([a, b, c, d]))
    }

    pub(super) fn has_backup(&self, id: &BackupId) -> bool {
        self.has(id.uniform())
    }

    fn has(&self, number: u32) -> bool {
        number % self.divisor == self.remainder
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
    fn the_days_of_a_rotation_have_every_chunk_and_every_backup_exactly_once() {
        for days in [1, 7, 30] {
            let parts: Vec<Part> = (0..days).map(|day| Part::of(&VerificationScope::Rotation { day, days })).collect();
            for number in (0..5000).chain([u32::MAX, u32::MAX - 1]) {
                let backup = BackupId::new(jiff::Timestamp::UNIX_EPOCH, number);
                assert_eq!(parts.iter().filter(|part| part.has_chunk(&id(number))).count(), 1, "{number} of {days}");
                assert_eq!(parts.iter().filter(|part| part.has_backup(&backup)).count(), 1, "{number} of {days}");
            }
        }
    }

    #[test]
    fn passes_are_as_many_as_memory_needs_and_have_every_chunk_exactly_once() {
        let one = REMEMBERED_CHUNKS as u64;
        for (chunks, passes) in [(0, 1), (one, 1), (one + 1, 2), (one * 4, 4)] {
            let parts: Vec<Part> = Part::passes(chunks).collect();
            assert_eq!(parts.len(), passes);
            for number in 0..1000 {
                assert_eq!(parts.iter().filter(|part| part.has_chunk(&id(number))).count(), 1);
            }
        }
    }
}
