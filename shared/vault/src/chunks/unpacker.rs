//! From the compressed form of a chunk to its plaintext, as it comes.

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode::ZSTD_error_memory_allocation;
use zstd::zstd_safe::{DCtx, DParameter, ErrorCode, InBuffer, OutBuffer};

/// Base-2 logarithm of the longest window, in bytes, that memory is taken for: 8 MiB, what RFC 8878 (3.1.1.1.2) recommends every
/// decoder to support. Chunks are packed with windows of 512 KiB. It bounds memory and is no rule of the format: a frame that
/// comes in one piece needs no window.
const WINDOW_LOG_LIMIT: u32 = 23;

/// Unpacks one zstd frame into exactly as many bytes as are expected, and takes no memory for more.
pub(crate) struct Unpacker {
    decoder: DCtx<'static>,
    raw_bytes: usize,
    is_whole: bool,
}

/// Why a frame was not unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnpackError {
    /// It is damaged, followed by something, or of another length than was expected.
    Wrong,
    /// There was no memory for the decoder, which says nothing of the frame.
    NoMemory,
}

impl From<ErrorCode> for UnpackError {
    /// Source: `ZSTD_getErrorCode` in zstd's `error_private.h`: what is returned is the negated number of the error.
    fn from(code: ErrorCode) -> Self {
        if code == (ZSTD_error_memory_allocation as ErrorCode).wrapping_neg() { Self::NoMemory } else { Self::Wrong }
    }
}

impl Unpacker {
    /// # Errors
    /// [`UnpackError::NoMemory`].
    pub(crate) fn new(raw_bytes: usize) -> Result<Self, UnpackError> {
        let mut decoder = DCtx::try_create().ok_or(UnpackError::NoMemory)?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_LIMIT))?;
        Ok(Self { decoder, raw_bytes, is_whole: false })
    }

    /// Appends to `out` what the next piece of the frame unpacks to. `out` holds what the earlier ones did and nothing else.
    pub(crate) fn unpack(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), UnpackError> {
        let mut input = InBuffer::around(piece);
        while input.pos() < piece.len() {
            if self.is_whole {
                return Err(UnpackError::Wrong);
            }
            out.reserve_exact(self.raw_bytes.saturating_sub(out.len()));
            let (read, written) = (input.pos(), out.len());
            // Writes no further than the buffer's capacity, which may be a little or (reused) much more than expected.
            let left = self.decoder.decompress_stream(&mut OutBuffer::around_pos(out, written), &mut input)?;
            self.is_whole = left == 0;
            let is_stuck = input.pos() == read && out.len() == written && !self.is_whole;
            if is_stuck || out.len() > self.raw_bytes {
                return Err(UnpackError::Wrong);
            }
        }
        Ok(())
    }

    /// States that the input has ended. `out` is what all of it unpacked to.
    pub(crate) fn finish(self, out: &[u8]) -> Result<(), UnpackError> {
        if self.is_whole && out.len() == self.raw_bytes { Ok(()) } else { Err(UnpackError::Wrong) }
    }
}

#[cfg(test)]
mod tests {
    use zstd::bulk::Compressor;
    use zstd::zstd_safe::CParameter;

    use super::*;

    /// As chunks are packed.
    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(1).unwrap();
        compressor.set_parameter(CParameter::ChecksumFlag(true)).unwrap();
        compressor.compress(bytes).unwrap()
    }

    fn unpack(packed: &[u8], piece_bytes: usize, raw_bytes: usize, out: &mut Vec<u8>) -> Result<(), UnpackError> {
        out.clear();
        let mut unpacker = Unpacker::new(raw_bytes)?;
        for piece in packed.chunks(piece_bytes) {
            unpacker.unpack(piece, out)?;
        }
        unpacker.finish(out)
    }

    /// 3 MB that pack to about a third.
    fn rows() -> Vec<u8> {
        (0..3_000_000_u64).map(|i| (i * i / 977 % 61) as u8 ^ (i / 50_000) as u8).collect()
    }

    #[test]
    fn a_frame_unpacks_to_the_same_however_it_is_cut() {
        let rows = rows();
        let packed = pack(&rows);
        let mut out = Vec::new();
        for piece_bytes in [1000, 65_519, 128 << 10, packed.len() - 4, packed.len() - 1, packed.len()] {
            assert_eq!(unpack(&packed, piece_bytes, rows.len(), &mut out), Ok(()), "{piece_bytes}");
            assert!(out == rows, "{piece_bytes}");
            assert_eq!(out.capacity(), rows.len(), "{piece_bytes}");
        }
        assert_eq!(unpack(&pack(b"0123456789"), 1, 10, &mut out), Ok(()));
        assert_eq!(out, b"0123456789");
        assert_eq!(unpack(&pack(b""), 3, 0, &mut out), Ok(()));
    }

    #[test]
    fn a_bomb_is_refused_without_taking_the_memory_it_asks_for() {
        let bomb = pack(&vec![0; 64 << 20]);
        for piece_bytes in [100, bomb.len()] {
            let mut out = Vec::new();
            assert_eq!(unpack(&bomb, piece_bytes, 1000, &mut out), Err(UnpackError::Wrong));
            assert!(out.capacity() < 1 << 20);
        }
    }

    #[test]
    fn other_lengths_than_the_expected_are_refused_in_a_reused_buffer_too() {
        let packed = pack(b"0123456789");
        for capacity in [0, 1 << 20] {
            let mut out = Vec::with_capacity(capacity);
            for raw_bytes in [0, 9, 11] {
                assert_eq!(unpack(&packed, 5, raw_bytes, &mut out), Err(UnpackError::Wrong), "{raw_bytes}");
            }
        }
    }

    #[test]
    fn a_frame_that_is_cut_off_or_spoiled_or_followed_by_another_is_refused() {
        let packed = pack(b"0123456789");
        let mut out = Vec::new();
        for len in 0..packed.len() {
            assert_eq!(unpack(&packed[..len], 4, 10, &mut out), Err(UnpackError::Wrong), "{len}");
        }
        for place in packed.len() - 4..packed.len() {
            let mut spoiled = packed.clone();
            spoiled[place] ^= 1;
            assert_eq!(unpack(&spoiled, packed.len(), 10, &mut out), Err(UnpackError::Wrong), "{place}");
        }
        let twice = [packed.clone(), pack(b"")].concat();
        for piece_bytes in [1, packed.len(), twice.len()] {
            assert_eq!(unpack(&twice, piece_bytes, 10, &mut out), Err(UnpackError::Wrong), "{piece_bytes}");
        }
    }

    #[test]
    fn no_memory_is_taken_for_a_window_longer_than_the_limit() {
        let rows = rows().repeat(6);
        for (window_log, is_refused) in [(WINDOW_LOG_LIMIT, false), (WINDOW_LOG_LIMIT + 1, true)] {
            let mut compressor = Compressor::new(1).unwrap();
            compressor.set_parameter(CParameter::WindowLog(window_log)).unwrap();
            let packed = compressor.compress(&rows).unwrap();
            let unpacked = unpack(&packed, 60_000, rows.len(), &mut Vec::new());
            assert_eq!(unpacked.is_err(), is_refused, "{window_log}");
        }
    }

    #[test]
    fn lack_of_memory_is_told_apart_from_a_wrong_frame() {
        assert_eq!(UnpackError::from(0_usize.wrapping_sub(64)), UnpackError::NoMemory);
        assert_eq!(UnpackError::from(0_usize.wrapping_sub(20)), UnpackError::Wrong);
    }
}
