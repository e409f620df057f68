//! The sealed message: how everything that Lifeboat stores is encrypted and authenticated.
//!
//! This crate owns the byte format (AWS Encryption SDK message format 2, algorithm suite 0x0478, framed), its strict
//! reader, and the port [`DataKeys`] through which data keys are made and recovered. It must never know AWS, a network,
//! a file, or what is inside the messages. `docs/format/sealed-message.md` gives the bytes on one page.
//!
//! - One data key serves a run: ask [`DataKeys::generate`] once and share one [`Sealer`]. Each message still has keys of
//!   its own, derived from the data key and a random message id.
//! - Any of the encrypted data keys in a message opens it alone.
//! - Not one byte of plaintext leaves before its tag is checked, and only canonical messages are taken: one message, no
//!   byte after it, initialisation vectors that are the frame numbers, sorted contexts, sizes within named limits.
//! - Nothing here grows with a message: a stream keeps one frame.
//!
//! ```
//! use lifeboat_seal::{DataKeys, EncryptionContext, Header, OpenStream, RawAesDataKeys, RawAesKey, Sealer, open};
//!
//! # async fn example() -> Result<(), lifeboat_seal::SealError> {
//! let keys = RawAesDataKeys::new(vec![RawAesKey::new("clinic", "2026", &[7; 32])?])?;
//! let context = EncryptionContext::from_pairs([("repository", "clinic")])?;
//! let sealer = Sealer::new(keys.generate(&context).await?, &context)?;
//!
//! let mut message = Vec::new();
//! sealer.seal(b"rows", &mut message)?;
//!
//! // In one go:
//! let mut plaintext = Vec::new();
//! open(&message, &keys, &mut plaintext).await?;
//! assert_eq!(plaintext, b"rows");
//!
//! // In pieces, as they come from a network:
//! let mut received = Vec::new();
//! let mut stream: Option<OpenStream> = None;
//! let mut plaintext = Vec::new();
//! for piece in message.chunks(10) {
//!     if let Some(stream) = &mut stream {
//!         stream.update(piece, &mut plaintext)?;
//!         continue;
//!     }
//!     received.extend_from_slice(piece);
//!     if let Some(header) = Header::parse(&received)? {
//!         let key = keys.decrypt(header.context(), header.data_keys()).await?;
//!         let mut begun = OpenStream::new(&header, &key)?;
//!         begun.update(&received.split_off(header.encoded_len()), &mut plaintext)?;
//!         stream = Some(begun);
//!     }
//! }
//! stream.expect("the header is whole").finish()?;
//! assert_eq!(plaintext, b"rows");
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
//! ```

mod cached_data_keys;
mod context;
mod data_key_error;
mod data_keys;
mod error;
mod header;
mod message_key;
mod open_stream;
mod raw_aes;
mod sealer;
mod wire;

pub use cached_data_keys::{CACHED_DATA_KEYS_LIMIT, CachedDataKeys};
pub use context::{CONTEXT_LIMIT_BYTES, EncryptionContext};
pub use data_key_error::{DataKeyCause, DataKeyError};
pub use data_keys::{DATA_KEY_LEN, DataKey, DataKeys, EncryptedDataKey, GeneratedDataKey};
pub use error::SealError;
pub use header::{DATA_KEY_FIELD_LIMIT_BYTES, DATA_KEYS_LIMIT, FRAME_LEN, FRAME_LEN_LIMIT, Header};
pub use open_stream::{OpenStream, open};
pub use raw_aes::{RawAesDataKeys, RawAesKey};
pub use sealer::{SealStream, Sealer};
