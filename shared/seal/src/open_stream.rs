//! Opening: frame by frame, and not one byte before its tag is checked.

use crate::data_keys::{DataKey, DataKeys};
use crate::error::SealError;
use crate::header::Header;
use crate::message_key::{FrameKind, IV_LEN, MessageKey, TAG_LEN, frame_iv};
use crate::sealer::{FRAME_OVERHEAD, LAST_FRAME_MARK, LAST_FRAME_OVERHEAD, SEQUENCE_LEN};
use crate::wire::{Cursor, NeedMore};

/// Opens one whole message and appends its plaintext to `out`. On an error `out` is as it was.
///
/// Decrypts on the calling task, at gigabytes a second; for long messages on an async runtime call [`Header::parse`] and
/// the key service there, and [`OpenStream`] on a blocking thread.
///
/// # Errors
/// Any [`SealError`] of reading; [`SealError::DataKey`] when no key could be had, with the message itself still unchecked.
pub async fn open(message: &[u8], keys: &dyn DataKeys, out: &mut Vec<u8>) -> Result<(), SealError> {
    let header = Header::parse(message)?.ok_or(SealError::Truncated { len: message.len() as u64 })?;
    let key = keys.decrypt(header.context(), header.data_keys()).await?;
    let body = message.get(header.encoded_len()..).unwrap_or_default();
    let start = out.len();
    out.reserve(body.len());
    let opened = OpenStream::new(&header, &key).and_then(|mut stream| {
        stream.update(body, out)?;
        stream.finish()
    });
    if opened.is_err() {
        scrub(out, start);
    }
    opened
}

/// The body of one message, opened as it arrives.
///
/// Plaintext is appended to `out` a whole authenticated frame at a time, in order. Only
/// [`OpenStream::finish`] confirms that the message is complete. Wait for it before acting on the plaintext.
/// Keeps at most one frame of ciphertext.
pub struct OpenStream {
    key: MessageKey,
    frame_len: u32,
    /// Number that the next frame must carry; `None` when all are used up.
    sequence: Option<u32>,
    /// The beginning of a frame whose end has not arrived.
    pending: Vec<u8>,
    /// Bytes of the message before the frame that is being read.
    frame_start: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// The last frame has been opened.
    Complete,
    Failed,
}

impl OpenStream {
    /// Checks that `key` is the one the message commits to, and then that the header is authentic.
    ///
    /// # Errors
    /// [`SealError::Commitment`], [`SealError::HeaderTag`].
    pub fn new(header: &Header, key: &DataKey) -> Result<Self, SealError> {
        let key = MessageKey::derive(key, header.message_id())?;
        header.check(&key)?;
        Ok(Self {
            key,
            frame_len: header.frame_len(),
            sequence: Some(1),
            pending: Vec::new(),
            frame_start: header.encoded_len() as u64,
            state: State::Reading,
        })
    }

    /// Takes the next bytes after the header, however they are split, and appends what they complete to `out`.
    ///
    /// # Errors
    /// Any [`SealError`] of reading a body. `out` then ends with the last good frame, and the stream accepts no more input.
    pub fn update(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        if self.state == State::Failed {
            return Err(SealError::StreamFailed);
        }
        let read = self.read(input, out);
        if read.is_err() {
            self.state = State::Failed;
        }
        read
    }

    /// Whether the last frame has been opened; any further byte is then an error.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// States that the input has ended.
    ///
    /// # Errors
    /// [`SealError::Truncated`] when the message has not.
    pub fn finish(self) -> Result<(), SealError> {
        match self.state {
            State::Complete => Ok(()),
            State::Failed => Err(SealError::StreamFailed),
            State::Reading => Err(SealError::Truncated { len: self.frame_start + self.pending.len() as u64 }),
        }
    }

    fn read(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        while !input.is_empty() {
            if self.state == State::Complete {
                return Err(SealError::TrailingBytes { len: self.frame_start });
            }
            input = if self.pending.is_empty() { self.read_whole(input, out)? } else { self.complete(input, out)? };
        }
        Ok(())
    }

    /// Opens the frame at the beginning of `input` where it lies, or puts all of `input` aside if it is not whole.
    fn read_whole<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], SealError> {
        let mut known = 0;
        loop {
            let wanted = wanted_len(input.get(..known).unwrap_or_default(), self.frame_len)?;
            let Some((frame, rest)) = input.split_at_checked(wanted) else {
                self.pending.extend_from_slice(input);
                return Ok(&[]);
            };
            if wanted == known {
                self.open_frame(frame, out)?;
                return Ok(rest);
            }
            known = wanted;
        }
    }

    /// Adds to the frame begun earlier no more than it wants, and opens it once it is whole.
    fn complete<'a>(&mut self, mut input: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], SealError> {
        loop {
            let wanted = wanted_len(&self.pending, self.frame_len)?;
            let missing = wanted.saturating_sub(self.pending.len());
            if missing == 0 {
                let frame = std::mem::take(&mut self.pending);
                self.open_frame(&frame, out)?;
                self.pending = frame;
                self.pending.clear();
                return Ok(input);
            }
            let (taken, rest) = input.split_at(missing.min(input.len()));
            self.pending.extend_from_slice(taken);
            input = rest;
            if taken.len() < missing {
                return Ok(input);
            }
        }
    }

    fn open_frame(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let expected = self.sequence.ok_or(SealError::TooManyFrames)?;
        let Frame { kind, sequence, iv, ciphertext, tag } =
            Frame::split(frame).map_err(|NeedMore| SealError::Truncated { len: self.frame_start })?;
        if sequence != expected {
            return Err(SealError::FrameSequence { expected, found: sequence });
        }
        if iv != frame_iv(sequence) {
            return Err(SealError::FrameIv { sequence });
        }
        let start = out.len();
        out.resize(start + ciphertext.len(), 0);
        let (_, plaintext) = out.split_at_mut(start);
        if let Err(error) = self.key.open_frame(kind, sequence, ciphertext, tag, plaintext) {
            scrub(out, start);
            return Err(error);
        }
        self.sequence = sequence.checked_add(1);
        self.frame_start += frame.len() as u64;
        if kind == FrameKind::Last {
            self.state = State::Complete;
        }
        Ok(())
    }
}

struct Frame<'a> {
    kind: FrameKind,
    sequence: u32,
    iv: [u8; IV_LEN],
    ciphertext: &'a [u8],
    tag: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Splits a whole frame, as long as [`wanted_len`] says.
    fn split(frame: &'a [u8]) -> Result<Self, NeedMore> {
        let mut cursor = Cursor::new(frame);
        let first = cursor.u32()?;
        let (kind, sequence) = match first {
            LAST_FRAME_MARK => (FrameKind::Last, cursor.u32()?),
            sequence => (FrameKind::Regular, sequence),
        };
        let iv = cursor.array()?;
        if kind == FrameKind::Last {
            cursor.u32()?;
        }
        let ciphertext_len = cursor.rest().len().checked_sub(TAG_LEN).ok_or(NeedMore)?;
        Ok(Self { kind, sequence, iv, ciphertext: cursor.bytes(ciphertext_len)?, tag: cursor.rest() })
    }
}

/// How long the frame that begins with `start` must at least be. More than `start` as long as something of it is
/// missing; exactly its length once it is whole.
fn wanted_len(start: &[u8], frame_len: u32) -> Result<usize, SealError> {
    let mut cursor = Cursor::new(start);
    match cursor.u32() {
        Err(NeedMore) => Ok(SEQUENCE_LEN),
        Ok(LAST_FRAME_MARK) => match last_frame_len(&mut cursor) {
            Err(NeedMore) => Ok(LAST_FRAME_OVERHEAD - TAG_LEN),
            Ok(len) if len > frame_len => Err(SealError::LastFrameTooLong { len, frame_len }),
            Ok(len) => Ok(LAST_FRAME_OVERHEAD + len as usize),
        },
        Ok(_) => Ok(FRAME_OVERHEAD + frame_len as usize),
    }
}

fn last_frame_len(cursor: &mut Cursor<'_>) -> Result<u32, NeedMore> {
    cursor.bytes(SEQUENCE_LEN + IV_LEN)?;
    cursor.u32()
}

/// Takes everything from `start` on out of `out`, also out of its spare capacity.
fn scrub(out: &mut Vec<u8>, start: usize) {
    if let Some(unauthenticated) = out.get_mut(start..) {
        unauthenticated.fill(0);
    }
    out.truncate(start);
}
