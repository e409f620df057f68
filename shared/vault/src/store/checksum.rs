//! SHA-256 of stored bytes.

use aws_lc_rs::digest;
use lifeboat_model::Sha256;

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Sha256 {
    from_digest(&digest::digest(&digest::SHA256, bytes))
}

/// SHA-256 of bytes that come in pieces.
pub struct Sha256Sum(digest::Context);

impl Default for Sha256Sum {
    fn default() -> Self {
        Self::new()
    }
}

impl Sha256Sum {
    /// Without a byte yet.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The sum of all bytes that were taken.
    pub fn finish(self) -> Sha256 {
        from_digest(&self.0.finish())
    }
}

fn from_digest(digest: &digest::Digest) -> Sha256 {
    let mut sum = [0; 32];
    // SHA-256 has 32 bytes; `zip` cannot panic where `copy_from_slice` could.
    for (to, from) in sum.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    Sha256(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_is_the_published_one_whole_and_in_pieces() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").to_string(), abc);
        let mut sum = Sha256Sum::new();
        sum.update(b"a");
        sum.update(b"bc");
        assert_eq!(sum.finish().to_string(), abc);
    }
}
