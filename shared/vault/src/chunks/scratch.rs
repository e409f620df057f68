//! From plaintext to the bytes of an object, in buffers that are used again.

use bytes::Bytes;
use lifeboat_seal::Sealer;
use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

use crate::error::VaultError;

/// Level 1: higher ones cost two to three times the time for one percent.
const ZSTD_LEVEL: i32 = 1;

/// The buffers of one session: one scratch serves one `store` at a time and keeps its memory for the next.
///
/// Holds at most the compressed and the sealed form of the longest chunk seen.
pub struct Scratch {
    compressor: Compressor<'static>,
    compressed: Vec<u8>,
    sealed: Vec<u8>,
}

impl Scratch {
    /// Empty buffers; they grow with the first chunk.
    ///
    /// # Errors
    /// [`VaultError::Compress`] when there is no memory for the compressor.
    pub fn new() -> Result<Self, VaultError> {
        let mut compressor = Compressor::new(ZSTD_LEVEL).map_err(failed)?;
        // A reader of the unpacked object notices damage even without us.
        compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true)).map_err(failed)?;
        Ok(Self { compressor, compressed: Vec::new(), sealed: Vec::new() })
    }

    /// Compresses and seals. Give the bytes back by [`Scratch::reclaim`] when they are sent.
    pub(crate) fn pack(&mut self, sealer: &Sealer, plaintext: &[u8]) -> Result<Bytes, VaultError> {
        self.compressed.clear();
        self.compressed.reserve(compress_bound(plaintext.len()));
        self.compressor.compress_to_buffer(plaintext, &mut self.compressed).map_err(failed)?;
        self.sealed.clear();
        self.sealed.reserve(sealer.sealed_len(self.compressed.len()));
        sealer.seal(&self.compressed, &mut self.sealed).map_err(|source| VaultError::Seal { source })?;
        Ok(Bytes::from(std::mem::take(&mut self.sealed)))
    }

    /// Takes a sent object's buffer back, unless somebody still holds it.
    pub(crate) fn reclaim(&mut self, sent: Bytes) {
        if let Ok(buffer) = sent.try_into_mut() {
            self.sealed = buffer.into();
        }
    }
}

fn failed(cause: std::io::Error) -> VaultError {
    VaultError::Compress { reason: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_nobody_holds_is_used_again_and_another_is_not() {
        let mut scratch = Scratch::new().unwrap();
        let sent = Bytes::from(vec![7; 100]);
        let address = sent.as_ptr();
        scratch.reclaim(sent);
        assert_eq!(scratch.sealed.as_ptr(), address);
        let sent = Bytes::from(vec![7; 100]);
        let held = sent.clone();
        scratch.sealed = Vec::new();
        scratch.reclaim(sent);
        assert!(scratch.sealed.is_empty());
        assert_eq!(held.len(), 100);
    }
}
