//! Sealing: one data key, many messages.

use aws_lc_rs::rand;

use crate::context::EncryptionContext;
use crate::data_keys::{DataKey, GeneratedDataKey};
use crate::error::SealError;
use crate::header::{FRAME_LEN, HeaderTemplate};
use crate::message_key::{FrameKind, IV_LEN, MESSAGE_ID_LEN, MessageId, MessageKey, TAG_LEN, frame_iv};

/// The marker before the last frame, in place of a frame number.
pub(crate) const LAST_FRAME_MARK: u32 = u32::MAX;
pub(crate) const SEQUENCE_LEN: usize = 4;
/// The bytes of a regular frame in addition to its ciphertext.
pub(crate) const FRAME_OVERHEAD: usize = SEQUENCE_LEN + IV_LEN + TAG_LEN;
/// The last frame also has a marker in front, and its length.
pub(crate) const LAST_FRAME_OVERHEAD: usize = FRAME_OVERHEAD + 4 + 4;

/// Seals the messages of one run, all under one data key and one context. Each message has its own id, from which its keys
/// are derived. Threads share it by reference.
pub struct Sealer {
    data_key: DataKey,
    template: HeaderTemplate,
    frame_len: u32,
}

impl Sealer {
    /// `context` must be the context of `generated`. Otherwise no key service can decrypt the messages.
    ///
    /// # Errors
    /// An error for the encrypted data keys: none, too many, or a field that is too long.
    pub fn new(generated: GeneratedDataKey, context: &EncryptionContext) -> Result<Self, SealError> {
        Self::with_frame_len(generated, context, FRAME_LEN)
    }

    /// As [`Sealer::new`], with another frame length. It is for messages that are mostly much shorter, and for tests.
    ///
    /// # Errors
    /// As [`Sealer::new`], and [`SealError::FrameLength`] unless `frame_len` is 1 to [`crate::FRAME_LEN_LIMIT`].
    pub fn with_frame_len(
        generated: GeneratedDataKey,
        context: &EncryptionContext,
        frame_len: u32,
    ) -> Result<Self, SealError> {
        let template = HeaderTemplate::new(context, &generated.encrypted, frame_len)?;
        Ok(Self { data_key: generated.key, template, frame_len })
    }

    /// The exact length of the message for `plaintext_len` bytes.
    pub fn sealed_len(&self, plaintext_len: usize) -> usize {
        let frames = plaintext_len / self.frame_len as usize;
        self.template.encoded_len() + frames * FRAME_OVERHEAD + LAST_FRAME_OVERHEAD + plaintext_len
    }

    /// Appends one complete message to `out`. An error leaves `out` unchanged.
    ///
    /// # Errors
    /// [`SealError::Cipher`] when the machine fails; [`SealError::TooManyFrames`].
    pub fn seal(&self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        self.seal_as(new_message_id()?, plaintext, out)
    }

    /// Begins a message whose plaintext arrives in pieces, and appends its header to `out`.
    ///
    /// # Errors
    /// [`SealError::Cipher`] when the machine fails. `out` is unchanged then.
    pub fn begin(&self, out: &mut Vec<u8>) -> Result<SealStream, SealError> {
        self.begin_as(new_message_id()?, out)
    }

    fn seal_as(&self, message_id: MessageId, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let start = out.len();
        out.reserve(self.sealed_len(plaintext.len()));
        let sealed = self.begin_as(message_id, out).and_then(|mut stream| {
            stream.update(plaintext, out)?;
            stream.finish(out)
        });
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    fn begin_as(&self, message_id: MessageId, out: &mut Vec<u8>) -> Result<SealStream, SealError> {
        let start = out.len();
        let key = MessageKey::derive(&self.data_key, message_id)?;
        if let Err(error) = self.template.write(&message_id, &key, out) {
            out.truncate(start);
            return Err(error);
        }
        Ok(SealStream { key, frame_len: self.frame_len as usize, sequence: Some(1), pending: Vec::new() })
    }
}

/// A message that is being written. The bytes in `out` may be sent at any time. At most one frame of plaintext is held
/// back. A stream dropped before [`SealStream::finish`] leaves a message that no reader accepts.
pub struct SealStream {
    key: MessageKey,
    frame_len: usize,
    /// The number of the next frame; `None` when all numbers are used.
    sequence: Option<u32>,
    pending: Vec<u8>,
}

impl SealStream {
    /// Takes any number of bytes, and appends the frames that they fill.
    ///
    /// # Errors
    /// [`SealError::Cipher`], [`SealError::TooManyFrames`]; the message cannot be completed then.
    pub fn update(&mut self, mut plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        if !self.pending.is_empty() {
            let missing = self.frame_len - self.pending.len();
            let Some((head, rest)) = plaintext.split_at_checked(missing) else {
                self.pending.extend_from_slice(plaintext);
                return Ok(());
            };
            let mut frame = std::mem::take(&mut self.pending);
            frame.extend_from_slice(head);
            self.write_frame(FrameKind::Regular, &frame, out)?;
            frame.clear();
            self.pending = frame;
            plaintext = rest;
        }
        let mut frames = plaintext.chunks_exact(self.frame_len);
        for frame in &mut frames {
            self.write_frame(FrameKind::Regular, frame, out)?;
        }
        self.pending.extend_from_slice(frames.remainder());
        Ok(())
    }

    /// Appends the last frame. It is always shorter than the others, and may be empty, because some stock readers refuse a
    /// last frame of full length.
    ///
    /// # Errors
    /// As [`SealStream::update`].
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        let frame = std::mem::take(&mut self.pending);
        self.write_frame(FrameKind::Last, &frame, out)
    }

    fn write_frame(&mut self, kind: FrameKind, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let sequence = self.sequence.ok_or(SealError::TooManyFrames)?;
        let start = out.len();
        match kind {
            // The highest number marks the last frame, so no other can carry it.
            FrameKind::Regular if sequence == LAST_FRAME_MARK => return Err(SealError::TooManyFrames),
            FrameKind::Regular => {
                out.extend_from_slice(&sequence.to_be_bytes());
                out.extend_from_slice(&frame_iv(sequence));
            }
            FrameKind::Last => {
                out.extend_from_slice(&LAST_FRAME_MARK.to_be_bytes());
                out.extend_from_slice(&sequence.to_be_bytes());
                out.extend_from_slice(&frame_iv(sequence));
                // Shorter than the frame length, which is 32 bits.
                out.extend_from_slice(&(plaintext.len() as u32).to_be_bytes());
            }
        }
        let content = out.len();
        out.resize(content + plaintext.len() + TAG_LEN, 0);
        let (_, sealed) = out.split_at_mut(content);
        let (ciphertext, tag) = sealed.split_at_mut(plaintext.len());
        if let Err(error) = self.key.seal_frame(kind, sequence, plaintext, ciphertext, tag) {
            out.truncate(start);
            return Err(error);
        }
        self.sequence = sequence.checked_add(1);
        Ok(())
    }
}

fn new_message_id() -> Result<MessageId, SealError> {
    let mut message_id = [0; MESSAGE_ID_LEN];
    rand::fill(&mut message_id).map_err(|_| SealError::Cipher { step: "draw a message id" })?;
    Ok(message_id)
}

#[cfg(test)]
mod tests;
