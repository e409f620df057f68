//! The header of a message: who can open it, and what binds the rest to it.

use crate::context::{CONTEXT_LIMIT_BYTES, EncryptionContext};
use crate::data_keys::EncryptedDataKey;
use crate::error::SealError;
use crate::message_key::{COMMITMENT_LEN, MessageId, MessageKey, SUITE, TAG_LEN};
use crate::wire::{Cursor, NeedMore, put_short};

/// Bytes of plaintext in every frame that we write but the last: large enough that a frame's overhead is 1/2000, small
/// enough to stay in a processor's second-level cache.
pub const FRAME_LEN: u32 = 64 * 1024;

/// Longest frame accepted, in bytes. A reader holds one frame before it may release a byte of it, so this bounds its memory;
/// stock clients write 4,096 by default.
pub const FRAME_LEN_LIMIT: u32 = 1024 * 1024;

/// Most encrypted data keys in a message: two sites, twice over while keys are being exchanged, and as many to spare.
/// Each may cost a call to a key service before anything is authenticated.
pub const DATA_KEYS_LIMIT: usize = 8;

/// Longest name or ciphertext of an encrypted data key, in bytes. AWS KMS writes at most 6,144.
pub const DATA_KEY_FIELD_LIMIT_BYTES: usize = 8 * 1024;

/// Message format 2.
const VERSION: u8 = 2;
/// Content in frames; the other type, one single block, cannot be streamed safely.
const FRAMED: u8 = 2;

/// A parsed header. Nothing in it is authenticated before [`OpenStream::new`](crate::OpenStream::new) has succeeded
/// with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    message_id: MessageId,
    context: EncryptionContext,
    data_keys: Vec<EncryptedDataKey>,
    frame_len: u32,
    commitment: [u8; COMMITMENT_LEN],
    body: Vec<u8>,
    tag: [u8; TAG_LEN],
}

impl Header {
    /// Reads a header from the beginning of `input`, which may hold more than the header. `Ok(None)` when `input` ends
    /// before the header does: call again with the same bytes and more. Fields are refused as soon as they are seen,
    /// so at most about 200 KiB can be asked for.
    ///
    /// # Errors
    /// The variant of [`SealError`] that names the first field that violates the format or its limits.
    pub fn parse(input: &[u8]) -> Result<Option<Self>, SealError> {
        match Self::read(input) {
            Ok(header) => Ok(Some(header)),
            Err(Stop::NeedMore) => Ok(None),
            Err(Stop::Refused(error)) => Err(error),
        }
    }

    /// Bytes of the header in the message; the first frame begins there.
    pub fn encoded_len(&self) -> usize {
        self.body.len() + TAG_LEN
    }

    pub fn context(&self) -> &EncryptionContext {
        &self.context
    }

    pub fn data_keys(&self) -> &[EncryptedDataKey] {
        &self.data_keys
    }

    /// Bytes of plaintext in every frame but the last.
    pub fn frame_len(&self) -> u32 {
        self.frame_len
    }

    pub(crate) fn message_id(&self) -> MessageId {
        self.message_id
    }

    /// Checks the header with the key: first the commitment, then the tag.
    pub(crate) fn check(&self, key: &MessageKey) -> Result<(), SealError> {
        key.check_commitment(&self.commitment)?;
        key.check_header(&self.body, &self.tag)
    }

    fn read(input: &[u8]) -> Result<Self, Stop> {
        let mut cursor = Cursor::new(input);
        match cursor.u8()? {
            VERSION => {}
            version => return Err(SealError::Version { version }.into()),
        }
        match cursor.u16()? {
            SUITE => {}
            suite => return Err(SealError::Suite { suite }.into()),
        }
        let message_id = cursor.array()?;
        let context = read_context(&mut cursor)?;
        let data_keys = read_data_keys(&mut cursor)?;
        match cursor.u8()? {
            FRAMED => {}
            content_type => return Err(SealError::ContentType { content_type }.into()),
        }
        let frame_len = cursor.u32()?;
        check_frame_len(frame_len)?;
        let commitment = cursor.array()?;
        let body = input.get(..cursor.taken()).unwrap_or_default().to_vec();
        let tag = cursor.array()?;
        Ok(Self { message_id, context, data_keys, frame_len, commitment, body, tag })
    }
}

/// Everything of a header that is the same in all messages of one run, checked and serialized once.
pub(crate) struct HeaderTemplate {
    after_message_id: Vec<u8>,
}

impl HeaderTemplate {
    pub(crate) fn new(
        context: &EncryptionContext,
        data_keys: &[EncryptedDataKey],
        frame_len: u32,
    ) -> Result<Self, SealError> {
        check_frame_len(frame_len)?;
        check_data_key_count(data_keys.len())?;
        let context = context.serialize()?;
        let mut out = Vec::new();
        put_short(&mut out, &context)
            .ok_or(SealError::ContextTooLong { len: context.len(), limit: CONTEXT_LIMIT_BYTES })?;
        // At most `DATA_KEYS_LIMIT`.
        out.extend_from_slice(&(data_keys.len() as u16).to_be_bytes());
        for data_key in data_keys {
            for field in [data_key.provider.as_bytes(), &data_key.info, &data_key.ciphertext] {
                check_data_key_field(field.len())?;
                put_short(&mut out, field)
                    .ok_or(SealError::DataKeyFieldTooLong { len: field.len(), limit: DATA_KEY_FIELD_LIMIT_BYTES })?;
            }
        }
        out.push(FRAMED);
        out.extend_from_slice(&frame_len.to_be_bytes());
        Ok(Self { after_message_id: out })
    }

    pub(crate) fn encoded_len(&self) -> usize {
        1 + 2 + size_of::<MessageId>() + self.after_message_id.len() + COMMITMENT_LEN + TAG_LEN
    }

    /// Appends the header of the message that `key` was derived for.
    pub(crate) fn write(&self, message_id: &MessageId, key: &MessageKey, out: &mut Vec<u8>) -> Result<(), SealError> {
        let start = out.len();
        out.push(VERSION);
        out.extend_from_slice(&SUITE.to_be_bytes());
        out.extend_from_slice(message_id);
        out.extend_from_slice(&self.after_message_id);
        out.extend_from_slice(key.commitment());
        let tag = key.header_tag(out.get(start..).unwrap_or_default())?;
        out.extend_from_slice(&tag);
        Ok(())
    }
}

fn read_context(cursor: &mut Cursor<'_>) -> Result<EncryptionContext, Stop> {
    let len = usize::from(cursor.u16()?);
    if len > CONTEXT_LIMIT_BYTES {
        return Err(SealError::ContextTooLong { len, limit: CONTEXT_LIMIT_BYTES }.into());
    }
    Ok(EncryptionContext::parse(cursor.bytes(len)?)?)
}

fn read_data_keys(cursor: &mut Cursor<'_>) -> Result<Vec<EncryptedDataKey>, Stop> {
    let count = usize::from(cursor.u16()?);
    check_data_key_count(count)?;
    let mut data_keys = Vec::with_capacity(count);
    for _ in 0..count {
        let provider = std::str::from_utf8(read_data_key_field(cursor)?).map_err(|_| SealError::DataKeyProviderText)?;
        let info = read_data_key_field(cursor)?.to_vec();
        let ciphertext = read_data_key_field(cursor)?.to_vec();
        data_keys.push(EncryptedDataKey { provider: provider.to_owned(), info, ciphertext });
    }
    Ok(data_keys)
}

fn read_data_key_field<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Stop> {
    let len = usize::from(cursor.u16()?);
    check_data_key_field(len)?;
    Ok(cursor.bytes(len)?)
}

fn check_frame_len(frame_len: u32) -> Result<(), SealError> {
    match frame_len {
        1..=FRAME_LEN_LIMIT => Ok(()),
        _ => Err(SealError::FrameLength { frame_len, limit: FRAME_LEN_LIMIT }),
    }
}

fn check_data_key_count(count: usize) -> Result<(), SealError> {
    match count {
        0 => Err(SealError::NoDataKeys),
        1..=DATA_KEYS_LIMIT => Ok(()),
        _ => Err(SealError::TooManyDataKeys { count, limit: DATA_KEYS_LIMIT }),
    }
}

fn check_data_key_field(len: usize) -> Result<(), SealError> {
    match len {
        0..=DATA_KEY_FIELD_LIMIT_BYTES => Ok(()),
        _ => Err(SealError::DataKeyFieldTooLong { len, limit: DATA_KEY_FIELD_LIMIT_BYTES }),
    }
}

/// Why reading a header stopped.
enum Stop {
    NeedMore,
    Refused(SealError),
}

impl From<NeedMore> for Stop {
    fn from(_: NeedMore) -> Self {
        Self::NeedMore
    }
}

impl From<SealError> for Stop {
    fn from(error: SealError) -> Self {
        Self::Refused(error)
    }
}
