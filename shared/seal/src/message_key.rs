//! The cryptography of algorithm suite 0x0478: what is derived from a data key for one message, and what is done with
//! it. Everything here follows `framework/algorithm-suites.md`, `data-format/message-body-aad.md` and
//! `client-apis/encrypt.md` of the AWS Encryption SDK specification.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Prk, Salt};
use zeroize::Zeroizing;

use crate::data_keys::DataKey;
use crate::error::SealError;

/// AES-256-GCM, HKDF-SHA512, key commitment, no signature.
pub(crate) const SUITE: u16 = 0x0478;
pub(crate) const MESSAGE_ID_LEN: usize = 32;
pub(crate) const COMMITMENT_LEN: usize = 32;
pub(crate) const TAG_LEN: usize = 16;
pub(crate) const IV_LEN: usize = NONCE_LEN;

/// Names the message in every derivation and in every frame's authenticated data.
pub(crate) type MessageId = [u8; MESSAGE_ID_LEN];

const KEY_LABEL: &[u8] = b"DERIVEKEY";
const COMMITMENT_LABEL: &[u8] = b"COMMITKEY";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Regular,
    Last,
}

impl FrameKind {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Regular => b"AWSKMSEncryptionClient Frame",
            Self::Last => b"AWSKMSEncryptionClient Final Frame",
        }
    }
}

/// The keys of one message: one to encrypt with, one to be shown as commitment to the data key.
pub(crate) struct MessageKey {
    cipher: LessSafeKey,
    commitment: [u8; COMMITMENT_LEN],
    message_id: MessageId,
    aad: Vec<u8>,
}

impl MessageKey {
    pub(crate) fn derive(data_key: &DataKey, message_id: MessageId) -> Result<Self, SealError> {
        let prk = Salt::new(HKDF_SHA512, &message_id).extract(data_key.expose_bytes());
        let mut key = Zeroizing::new([0; 32]);
        expand(&prk, &[&SUITE.to_be_bytes(), KEY_LABEL], key.as_mut_slice())?;
        let mut commitment = [0; COMMITMENT_LEN];
        expand(&prk, &[COMMITMENT_LABEL], &mut commitment)?;
        let unbound = UnboundKey::new(&AES_256_GCM, key.as_slice())
            .map_err(|_| SealError::Cipher { step: "make the message key" })?;
        Ok(Self { cipher: LessSafeKey::new(unbound), commitment, message_id, aad: Vec::new() })
    }

    pub(crate) fn commitment(&self) -> &[u8; COMMITMENT_LEN] {
        &self.commitment
    }

    pub(crate) fn check_commitment(&self, found: &[u8; COMMITMENT_LEN]) -> Result<(), SealError> {
        verify_slices_are_equal(&self.commitment, found).map_err(|_| SealError::Commitment)
    }

    /// The tag over the header: an empty plaintext, the header body as authenticated data, an IV of zeros. No frame can
    /// meet that IV, because frames count from one.
    pub(crate) fn header_tag(&self, body: &[u8]) -> Result<[u8; TAG_LEN], SealError> {
        let mut tag = [0; TAG_LEN];
        self.cipher
            .seal_out_of_place_scatter(header_nonce(), Aad::from(body), &[], &mut [], &[], &mut tag)
            .map_err(|_| SealError::Cipher { step: "seal the header" })?;
        Ok(tag)
    }

    pub(crate) fn check_header(&self, body: &[u8], tag: &[u8; TAG_LEN]) -> Result<(), SealError> {
        self.cipher
            .open_separate_gather(header_nonce(), Aad::from(body), &[], tag, &mut [])
            .map_err(|_| SealError::HeaderTag)
    }

    /// Encrypts one frame's plaintext into `ciphertext` (of the same length) and its tag.
    pub(crate) fn seal_frame(
        &mut self,
        kind: FrameKind,
        sequence: u32,
        plaintext: &[u8],
        ciphertext: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), SealError> {
        self.set_aad(kind, sequence, plaintext.len());
        let nonce = Nonce::assume_unique_for_key(frame_iv(sequence));
        self.cipher
            .seal_out_of_place_scatter(nonce, Aad::from(&self.aad), plaintext, ciphertext, &[], tag)
            .map_err(|_| SealError::Cipher { step: "seal a frame" })
    }

    /// Decrypts one frame into `plaintext` (of the same length). On an error its content means nothing and must go.
    pub(crate) fn open_frame(
        &mut self,
        kind: FrameKind,
        sequence: u32,
        ciphertext: &[u8],
        tag: &[u8],
        plaintext: &mut [u8],
    ) -> Result<(), SealError> {
        self.set_aad(kind, sequence, ciphertext.len());
        let nonce = Nonce::assume_unique_for_key(frame_iv(sequence));
        self.cipher
            .open_separate_gather(nonce, Aad::from(&self.aad), ciphertext, tag, plaintext)
            .map_err(|_| SealError::FrameTag { sequence })
    }

    fn set_aad(&mut self, kind: FrameKind, sequence: u32, len: usize) {
        self.aad.clear();
        self.aad.extend_from_slice(&self.message_id);
        self.aad.extend_from_slice(kind.label());
        self.aad.extend_from_slice(&sequence.to_be_bytes());
        self.aad.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

/// A frame's IV is its number, so that no two frames of one message key share one.
pub(crate) fn frame_iv(sequence: u32) -> [u8; IV_LEN] {
    let mut iv = [0; IV_LEN];
    if let Some(counter) = iv.last_chunk_mut() {
        *counter = sequence.to_be_bytes();
    }
    iv
}

fn header_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; IV_LEN])
}

fn expand(prk: &Prk, info: &[&[u8]], out: &mut [u8]) -> Result<(), SealError> {
    prk.expand(info, OutputLen(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| SealError::Cipher { step: "derive the message key" })
}

struct OutputLen(usize);

impl KeyType for OutputLen {
    fn len(&self) -> usize {
        self.0
    }
}
