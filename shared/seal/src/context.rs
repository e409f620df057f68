//! The encryption context: names and values that are bound to a message without being secret.

use std::collections::BTreeMap;

use crate::error::SealError;
use crate::wire::{Cursor, NeedMore, put_short};

/// Longest serialized context, in bytes. Ours hold a handful of short words; the format itself would allow 65,535, and
/// a reader must hold the whole of it before anything is authenticated.
pub const CONTEXT_LIMIT_BYTES: usize = 8 * 1024;

/// Names that begin so belong to the format (a signed suite keeps its public key there).
const RESERVED_PREFIX: &str = "aws-crypto-";

/// Names and values authenticated with every message, stored in the clear in its header.
///
/// Always sorted by the UTF-8 bytes of the names, each name once, none that begins with `aws-crypto-`, and at most
/// [`CONTEXT_LIMIT_BYTES`] serialized. Source: `data-format/message-header.md`, "AAD", of the AWS Encryption SDK
/// specification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct EncryptionContext {
    // A map of `String` is ordered by UTF-8 bytes: just what the format asks for.
    pairs: BTreeMap<String, String>,
}

impl EncryptionContext {
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds a context from pairs in any order.
    ///
    /// # Errors
    /// As [`EncryptionContext::insert`].
    pub fn from_pairs<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, SealError>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let mut context = Self::new();
        for (key, value) in pairs {
            context.insert(key, value)?;
        }
        Ok(context)
    }

    /// Adds one pair.
    ///
    /// # Errors
    /// [`SealError::ContextReserved`], [`SealError::ContextRepeated`], [`SealError::ContextTooLong`]; the context is
    /// then unchanged.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) -> Result<(), SealError> {
        let (key, value) = (key.into(), value.into());
        if key.starts_with(RESERVED_PREFIX) {
            return Err(SealError::ContextReserved { key });
        }
        if self.pairs.contains_key(&key) {
            return Err(SealError::ContextRepeated { key });
        }
        let len = self.serialized_len().max(2) + 4 + key.len() + value.len();
        if len > CONTEXT_LIMIT_BYTES {
            return Err(SealError::ContextTooLong { len, limit: CONTEXT_LIMIT_BYTES });
        }
        self.pairs.insert(key, value);
        Ok(())
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.get(key).map(String::as_str)
    }

    /// The pairs, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The bytes that a header carries and that a raw AES wrapping key authenticates: a count, then the pairs; for an
    /// empty context no byte at all, not even the count.
    pub(crate) fn serialize(&self) -> Result<Vec<u8>, SealError> {
        let too_long = || SealError::ContextTooLong { len: self.serialized_len(), limit: CONTEXT_LIMIT_BYTES };
        let mut out = Vec::with_capacity(self.serialized_len());
        if self.is_empty() {
            return Ok(out);
        }
        let count = u16::try_from(self.pairs.len()).map_err(|_| too_long())?;
        out.extend_from_slice(&count.to_be_bytes());
        for (key, value) in &self.pairs {
            put_short(&mut out, key.as_bytes()).ok_or_else(too_long)?;
            put_short(&mut out, value.as_bytes()).ok_or_else(too_long)?;
        }
        Ok(out)
    }

    /// Reads what [`EncryptionContext::serialize`] writes, and nothing else: one context has one form.
    pub(crate) fn parse(serialized: &[u8]) -> Result<Self, SealError> {
        let mut context = Self::new();
        if serialized.is_empty() {
            return Ok(context);
        }
        let mut cursor = Cursor::new(serialized);
        let count = cursor.u16().map_err(|NeedMore| SealError::ContextLength)?;
        for _ in 0..count {
            let key = read_text(&mut cursor)?;
            let value = read_text(&mut cursor)?;
            match context.pairs.last_key_value() {
                Some((last, _)) if last.as_str() == key => return Err(SealError::ContextRepeated { key: key.into() }),
                Some((last, _)) if last.as_str() > key => return Err(SealError::ContextOrder { key: key.into() }),
                _ => context.insert(key, value)?,
            }
        }
        // An empty context has only one form, so a count of zero is refused as well.
        if count == 0 || !cursor.rest().is_empty() {
            return Err(SealError::ContextLength);
        }
        Ok(context)
    }

    fn serialized_len(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        2 + self.pairs.iter().map(|(key, value)| 4 + key.len() + value.len()).sum::<usize>()
    }
}

fn read_text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, SealError> {
    let len = cursor.u16().map_err(|NeedMore| SealError::ContextLength)?;
    let bytes = cursor.bytes(usize::from(len)).map_err(|NeedMore| SealError::ContextLength)?;
    std::str::from_utf8(bytes).map_err(|_| SealError::ContextText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_by_their_utf8_bytes() {
        let context =
            EncryptionContext::from_pairs([("é", "3"), ("z", "2"), ("A", "1"), ("\u{10000}", "5"), ("\u{ffff}", "4")])
                .unwrap();
        let values: Vec<&str> = context.iter().map(|(_, value)| value).collect();
        // UTF-16 order would put U+10000 before U+FFFF.
        assert_eq!(values, ["1", "2", "3", "4", "5"]);
        assert_eq!(EncryptionContext::parse(&context.serialize().unwrap()).unwrap(), context);
    }

    #[test]
    fn an_empty_context_takes_no_byte() {
        assert!(EncryptionContext::new().serialize().unwrap().is_empty());
        assert!(matches!(EncryptionContext::parse(&[0, 0]), Err(SealError::ContextLength)));
    }

    #[test]
    fn reserved_repeated_and_long_entries_are_refused_and_leave_the_context_as_it_was() {
        let mut context = EncryptionContext::from_pairs([("a", "1")]).unwrap();
        assert!(matches!(context.insert("aws-crypto-public-key", "x"), Err(SealError::ContextReserved { .. })));
        assert!(matches!(context.insert("a", "2"), Err(SealError::ContextRepeated { .. })));
        let long = "x".repeat(CONTEXT_LIMIT_BYTES);
        assert!(matches!(context.insert("b", long), Err(SealError::ContextTooLong { .. })));
        assert_eq!(context, EncryptionContext::from_pairs([("a", "1")]).unwrap());
    }

    #[test]
    fn the_limit_is_exact() {
        let value = "x".repeat(CONTEXT_LIMIT_BYTES - 2 - 4 - 1);
        let context = EncryptionContext::from_pairs([("k", value.clone())]).unwrap();
        assert_eq!(context.serialize().unwrap().len(), CONTEXT_LIMIT_BYTES);
        assert!(EncryptionContext::from_pairs([("k", value + "x")]).is_err());
    }
}
