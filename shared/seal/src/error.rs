//! What can go wrong with a sealed message, as facts.

use crate::data_keys::DataKeyError;

/// Why a message could not be sealed or opened.
///
/// Only [`SealError::DataKey`] can be worth another try; every other variant says that the bytes, or what was asked
/// for, are wrong and will stay wrong.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("not a sealed message: version byte is `{version}`, expected `2`")]
    Version { version: u8 },
    #[error("algorithm suite is `{suite:#06x}`, only `0x0478` is taken")]
    Suite { suite: u16 },
    #[error("content type is `{content_type}`, only `2` (framed) is taken")]
    ContentType { content_type: u8 },
    #[error("frame length is `{frame_len}` bytes, taken are `1` to `{limit}`")]
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
    #[error("encryption context names `{key}`, a name kept for the format itself")]
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
    #[error("frame `{sequence}` carries an initialisation vector that is not its number")]
    FrameIv { sequence: u32 },
    #[error("last frame claims `{len}` bytes, more than the frame length `{frame_len}`")]
    LastFrameTooLong { len: u32, frame_len: u32 },
    #[error("frame `{sequence}` was altered: its tag does not match")]
    FrameTag { sequence: u32 },
    #[error("message is cut off after `{len}` bytes")]
    Truncated { len: u64 },
    #[error("message ends at byte `{len}`, but more bytes follow")]
    TrailingBytes { len: u64 },
    #[error("message needs more than `4294967295` frames")]
    TooManyFrames,
    #[error("this stream already failed and takes nothing more")]
    StreamFailed,

    #[error("no data key for this message")]
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

    /// One sentence on what a person can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::DataKey(error) => error.hint(),
            Self::Version { .. } | Self::Suite { .. } | Self::ContentType { .. } | Self::FrameLength { .. } => {
                "The object was not written by this program; check the key it was read from."
            }
            Self::Commitment => {
                "The key service returned a different key than at sealing time; check that it is the right account and key."
            }
            Self::Truncated { .. } => "The object is incomplete; read it again, or read the copy on the other site.",
            Self::ContextTooLong { .. } | Self::ContextReserved { .. } | Self::ContextRepeated { .. } => {
                "Give a shorter encryption context with names of your own, each once."
            }
            Self::NoDataKeys | Self::TooManyDataKeys { .. } | Self::DataKeyFieldTooLong { .. } => {
                "Seal under at least one key, and under no more keys than the limit."
            }
            Self::Cipher { .. } => "The machine's source of randomness or memory failed; start the program again.",
            Self::StreamFailed => "Look at the first error of this stream.",
            Self::TooManyFrames => "Split the plaintext over several messages.",
            _ => "The object was damaged or forged; heal it from the copy on the other site.",
        }
    }
}
