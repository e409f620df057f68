//! Slices: the fixed ranges of heap blocks that a table's data is read in.

use serde::{Deserialize, Serialize};

/// Heap blocks of 8 KiB in one slice: 2 MiB.
///
/// Small enough that a change of one range of rows leaves most slices as they were; large enough that the round trip of
/// its `COPY` and its request to the store are small beside its bytes. A manifest names the figure it was made with.
pub const SLICE_BLOCKS: u32 = 256;

/// Plaintext bytes at which a chunk is closed, at the next row boundary. A single row longer than this makes a longer chunk.
///
/// Only slices with large values reach it. A session holds a chunk up to three times (plain, compressed, sealed), so this is
/// what bounds the memory of a run.
pub const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// Plaintext bytes from which a chunk counts as long: it holds a row about as long as a chunk, or longer. The memory of a long
/// chunk is freed after it; other memory is kept for the next chunk.
pub const LONG_CHUNK_BYTES: usize = 2 * CHUNK_BYTES;

/// Blocks `first_block ..` of one table, up to but without `end_block`. The last slice of a table is open-ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slice {
    /// The first block, a multiple of the slice size.
    pub first_block: u32,
    /// The first block of the next slice; absent for the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end_block: Option<u32>,
}

/// The slices of a table of `pages` blocks: at least one, the last open-ended, borders at multiples of `slice_blocks`.
pub fn slices(pages: u32, slice_blocks: u32) -> impl Iterator<Item = Slice> {
    let step = slice_blocks.max(1);
    let count = pages.div_ceil(step).max(1);
    (0..count).map(move |i| Slice {
        first_block: i.saturating_mul(step),
        end_block: (i + 1 < count).then(|| (i + 1).saturating_mul(step)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_every_block_once_and_the_last_is_open() {
        for (pages, expected) in [(0, 1), (1, 1), (256, 1), (257, 2), (512, 2), (513, 3)] {
            let all: Vec<Slice> = slices(pages, 256).collect();
            assert_eq!(all.len(), expected, "{pages}");
            assert_eq!(all[0].first_block, 0);
            assert!(all.windows(2).all(|pair| pair[0].end_block == Some(pair[1].first_block)));
            assert_eq!(all[all.len() - 1].end_block, None);
        }
    }

    #[test]
    fn a_table_that_grows_keeps_the_borders_it_had() {
        let before: Vec<Slice> = slices(1000, 256).collect();
        let after: Vec<Slice> = slices(2000, 256).collect();
        assert_eq!(before[..3], after[..3]);
    }
}
