//! From the compressed form of a chunk to its plaintext, as it comes.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::error::VaultError;

/// Base-2 logarithm of the longest window that is unpacked with, in bytes: 8 MiB, which RFC 8878 (3.1.1.1.2) wants every
/// decoder to have. Chunks are packed with windows of 512 KiB.
const WINDOW_LOG_LIMIT: u32 = 23;

/// Unpacks one zstd frame into exactly as many bytes as are expected, and takes no memory for more.
pub(crate) struct Unpacker {
    decoder: Decoder<'static>,
    raw_bytes: usize,
    is_whole: bool,
}

/// The frame is damaged, followed by something, or of another length than was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotUnpacked;

impl Unpacker {
    /// # Errors
    /// [`VaultError::Compress`] when there is no memory for the decoder.
    pub(crate) fn new(raw_bytes: usize) -> Result<Self, VaultError> {
        let failed = |cause: std::io::Error| VaultError::Compress { reason: cause.to_string() };
        let mut decoder = Decoder::new().map_err(failed)?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_LIMIT)).map_err(failed)?;
        Ok(Self { decoder, raw_bytes, is_whole: false })
    }

    /// Appends to `out` what the next piece of the frame unpacks to. `out` holds what the earlier ones did and nothing else.
    pub(crate) fn unpack(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), NotUnpacked> {
        out.reserve_exact(self.raw_bytes.saturating_sub(out.len()));
        let mut input = InBuffer::around(piece);
        while input.pos() < piece.len() {
            if self.is_whole {
                return Err(NotUnpacked);
            }
            let (read, written) = (input.pos(), out.len());
            // Writes no further than the buffer's capacity, which may be a little or (reused) much more than expected.
            let wanted = self.decoder.run(&mut input, &mut OutBuffer::around_pos(out, written));
            self.is_whole = wanted.map_err(|_| NotUnpacked)? == 0;
            let is_stuck = input.pos() == read && out.len() == written && !self.is_whole;
            if is_stuck || out.len() > self.raw_bytes {
                return Err(NotUnpacked);
            }
        }
        Ok(())
    }

    /// States that the input has ended. `out` is what all of it unpacked to.
    pub(crate) fn finish(self, out: &[u8]) -> Result<(), NotUnpacked> {
        if self.is_whole && out.len() == self.raw_bytes { Ok(()) } else { Err(NotUnpacked) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(packed: &[u8], piece_bytes: usize, raw_bytes: usize, out: &mut Vec<u8>) -> Result<(), NotUnpacked> {
        out.clear();
        let mut unpacker = Unpacker::new(raw_bytes).unwrap();
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
        let packed = zstd::bulk::compress(&rows, 1).unwrap();
        let mut out = Vec::new();
        for piece_bytes in [1000, 65_519, 128 << 10, packed.len() - 1, packed.len()] {
            assert_eq!(unpack(&packed, piece_bytes, rows.len(), &mut out), Ok(()), "{piece_bytes}");
            assert!(out == rows, "{piece_bytes}");
            assert_eq!(out.capacity(), rows.len(), "{piece_bytes}");
        }
        let packed = zstd::bulk::compress(b"0123456789", 1).unwrap();
        assert_eq!(unpack(&packed, 1, 10, &mut out), Ok(()));
        assert_eq!(out, b"0123456789");
        let empty = zstd::bulk::compress(b"", 1).unwrap();
        assert_eq!(unpack(&empty, 3, 0, &mut out), Ok(()));
    }

    #[test]
    fn a_bomb_is_refused_without_taking_the_memory_it_asks_for() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
        for piece_bytes in [100, bomb.len()] {
            let mut out = Vec::new();
            assert_eq!(unpack(&bomb, piece_bytes, 1000, &mut out), Err(NotUnpacked));
            assert!(out.capacity() < 1 << 20);
        }
    }

    #[test]
    fn other_lengths_than_the_expected_are_refused_in_a_reused_buffer_too() {
        let packed = zstd::bulk::compress(b"0123456789", 1).unwrap();
        for capacity in [0, 1 << 20] {
            let mut out = Vec::with_capacity(capacity);
            for raw_bytes in [0, 9, 11] {
                assert_eq!(unpack(&packed, 5, raw_bytes, &mut out), Err(NotUnpacked), "{raw_bytes}");
            }
        }
    }

    #[test]
    fn a_frame_that_is_cut_off_or_followed_by_another_is_refused() {
        let packed = zstd::bulk::compress(b"0123456789", 1).unwrap();
        let mut out = Vec::new();
        for len in 0..packed.len() {
            assert_eq!(unpack(&packed[..len], 4, 10, &mut out), Err(NotUnpacked), "{len}");
        }
        let twice = [packed.clone(), zstd::bulk::compress(b"", 1).unwrap()].concat();
        for piece_bytes in [1, packed.len(), twice.len()] {
            assert_eq!(unpack(&twice, piece_bytes, 10, &mut out), Err(NotUnpacked), "{piece_bytes}");
        }
    }

    #[test]
    fn a_window_longer_than_every_decoder_has_is_refused() {
        let rows = rows().repeat(6);
        for (window_log, is_refused) in [(WINDOW_LOG_LIMIT, false), (WINDOW_LOG_LIMIT + 1, true)] {
            let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
            compressor.set_parameter(zstd::zstd_safe::CParameter::WindowLog(window_log)).unwrap();
            let packed = compressor.compress(&rows).unwrap();
            let unpacked = unpack(&packed, 60_000, rows.len(), &mut Vec::new());
            assert_eq!(unpacked.is_err(), is_refused, "{window_log}");
        }
    }
}
