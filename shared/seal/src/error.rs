//! What can go wrong with a sealed message, as facts.

use crate::data_key_error::DataKeyError;

/// Why a message could not be sealed or opened.
///
/// Only [`SealError::DataKey`] can be worth a retry. Every other variant says that the bytes or the request are wrong and
/// stay wrong.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("not a sealed message: version byte is `{version}`, expected `2`")]
    Version { version: u8 },
    #[error("algorithm suite is `{suite:#06x}`, only `0x0478` is supported")]
    Suite { suite: u16 },
    #[error("content type is `{content_type}`, only `2` (framed) is supported")]
    ContentType { content_type: u8 },
    #[error("frame length is `{frame_len}` bytes, supported are `1` to `{limit}`")]
    FrameLength { frame_len: u32, limit: u32 },

    #[error("encryption context takes `{len}` bytes, the limit is `{limit}`")]
    ContextTooLong { len: usize, limit: usize },
    #[error("encryption context does not fill the length declared for it")]
    ContextLength,
    #[error("encryption context holds text that is not UTF-8")]
    ContextText,
    #[error("encryption context names `{key}` out of order")]
    ContextOrder { key: String },
    #[error("encryption context names `{key}` twice")]
    ContextRepeated { key: String },
    #[error("encryption context names `{key}`, which is reserved for the format")]
    ContextReserved { key: String },

    #[error("message carries no encrypted data key")]
    NoDataKeys,
    #[error("message carries `{count}` encrypted data keys, the limit is `{limit}`")]
    TooManyDataKeys { count: usize, limit: usize },
    #[error("a field of an encrypted data key takes `{len}` bytes, the limit is `{limit}`")]
    DataKeyFieldTooLong { len: usize, limit: usize },
    #[error("an encrypted data key names a provider that is not UTF-8")]
    DataKeyProviderText,

    #[error("the data key is not the one this message was sealed with")]
    Commitment,
    #[error("the header was altered: its tag does not match")]
    HeaderTag,
    #[error("frame number is `{found}`, expected `{expected}`")]
    FrameSequence { expected: u32, found: u32 },
    #[error("frame `{sequence}` carries an initialisation vector other than its number")]
    FrameIv { sequence: u32 },
    #[error("last frame claims `{len}` bytes, more than the frame length `{frame_len}`")]
    LastFrameTooLong { len: u32, frame_len: u32 },
    #[error("frame `{sequence}` was altered: its tag does not match")]
    FrameTag { sequence: u32 },
    #[error("message ends too early, after `{len}` bytes")]
    Truncated { len: u64 },
    #[error("message ends at byte `{len}`, but more bytes follow")]
    TrailingBytes { len: u64 },
    #[error("message needs more than `4294967295` frames")]
    TooManyFrames,
    #[error("this stream failed earlier and accepts no more input")]
    StreamFailed,

    #[error("no data key is available for this message")]
    DataKey(#[from] DataKeyError),
    #[error("the cryptographic library failed to {step}")]
    Cipher { step: &'static str },
}

impl SealError {
    /// Whether the same call may succeed later with the same bytes.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::DataKey(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Whether the message itself is damaged, forged or foreign, so that another copy of it should be read instead.
    pub fn is_bad_message(&self) -> bool {
        !matches!(self, Self::DataKey(_) | Self::Cipher { .. } | Self::StreamFailed | Self::TooManyFrames)
    }

    /// What a person can do: one sentence without its full stop.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::DataKey(error) => error.hint(),
            Self::Version { .. } | Self::Suite { .. } | Self::ContentType { .. } | Self::FrameLength { .. } => {
                "check the object's key: the object was not written by this program"
            }
            Self::Commitment => {
                "check the account and the key: the key service returned another data key than at sealing time"
            }
            Self::Truncated { .. } => "read the object again, or its copy on the other site: it is incomplete",
            Self::ContextTooLong { .. } | Self::ContextReserved { .. } | Self::ContextRepeated { .. } => {
                "give a shorter encryption context in which each name occurs once and none is reserved"
            }
            Self::NoDataKeys | Self::TooManyDataKeys { .. } | Self::DataKeyFieldTooLong { .. } => {
                "seal under at least one key and at most as many as the limit"
            }
            Self::Cipher { .. } => "start the program again: the machine's randomness or memory failed",
            Self::StreamFailed => "look at the first error of this stream",
            Self::TooManyFrames => "split the plaintext into several messages",
            _ => "use the copy on the other site: this object was damaged or forged",
        }
    }
}
