//! What is refused before it is written or read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use lifeboat_seal::{
    CONTEXT_LIMIT_BYTES, CachedDataKeys, DATA_KEY_FIELD_LIMIT_BYTES, DATA_KEYS_LIMIT, DataKey, DataKeyError,
    EncryptedDataKey, EncryptionContext, FRAME_LEN_LIMIT, GeneratedDataKey, Header, OpenStream, RawAesDataKeys,
    RawAesKey, SealError, SealStream, Sealer, open,
};

fn generated(entries: usize, field_len: usize) -> GeneratedDataKey {
    let entry =
        EncryptedDataKey { provider: "p".repeat(field_len), info: vec![1; field_len], ciphertext: vec![2; field_len] };
    GeneratedDataKey { key: DataKey::generate().unwrap(), encrypted: vec![entry; entries] }
}

fn sealer(entries: usize, field_len: usize, frame_len: u32) -> Result<Sealer, SealError> {
    Sealer::with_frame_len(generated(entries, field_len), &EncryptionContext::new(), frame_len)
}

fn refusal(sealer: Result<Sealer, SealError>) -> SealError {
    sealer.err().expect("it is refused")
}

#[test]
fn a_sealer_writes_nothing_that_a_reader_would_refuse() {
    assert!(matches!(refusal(sealer(0, 1, 16)), SealError::NoDataKeys));
    assert!(matches!(refusal(sealer(DATA_KEYS_LIMIT + 1, 1, 16)), SealError::TooManyDataKeys { .. }));
    assert!(matches!(refusal(sealer(1, DATA_KEY_FIELD_LIMIT_BYTES + 1, 16)), SealError::DataKeyFieldTooLong { .. }));
    assert!(matches!(refusal(sealer(1, 1, 0)), SealError::FrameLength { .. }));
    assert!(matches!(refusal(sealer(1, 1, FRAME_LEN_LIMIT + 1)), SealError::FrameLength { .. }));
}

#[test]
fn the_largest_header_is_written_and_read_and_asks_for_no_more_than_it_is() {
    let mut context = EncryptionContext::new();
    context.insert("k", "x".repeat(CONTEXT_LIMIT_BYTES - 7)).unwrap();
    let generated = generated(DATA_KEYS_LIMIT, DATA_KEY_FIELD_LIMIT_BYTES);
    let sealer = Sealer::with_frame_len(generated, &context, FRAME_LEN_LIMIT).unwrap();
    let mut message = Vec::new();
    sealer.seal(b"", &mut message).unwrap();
    let header = Header::parse(&message).unwrap().unwrap();
    assert_eq!(header.context(), &context);
    assert_eq!(header.data_keys().len(), DATA_KEYS_LIMIT);
    assert_eq!(header.frame_len(), FRAME_LEN_LIMIT);
    assert!(header.encoded_len() < 210 * 1024);
    assert!(Header::parse(&message[..header.encoded_len() - 1]).unwrap().is_none());
}

#[test]
fn raw_wrapping_keys_are_checked_when_they_are_given() {
    assert!(matches!(RawAesKey::new("n", "k", &[0; 16]), Err(DataKeyError::WrongLength { len: 16 })));
    assert!(matches!(RawAesKey::new("aws-kms", "k", &[0; 32]), Err(DataKeyError::WrappingKey { .. })));
    assert!(matches!(RawAesDataKeys::new(vec![]), Err(DataKeyError::WrappingKey { .. })));
    let many = (0..=DATA_KEYS_LIMIT).map(|i| RawAesKey::new("n", i.to_string(), &[0; 32]).unwrap()).collect();
    assert!(matches!(RawAesDataKeys::new(many), Err(DataKeyError::WrappingKey { .. })));
}

#[test]
fn every_message_to_a_person_is_one_plain_clause_with_a_hint() {
    let errors = [
        SealError::Version { version: 1 },
        SealError::Commitment,
        SealError::FrameTag { sequence: 7 },
        SealError::Truncated { len: 5 },
        SealError::DataKey(DataKeyError::Randomness),
        SealError::TooManyFrames,
    ];
    for error in errors {
        let text = error.to_string();
        assert!(!text.ends_with('.') && text.starts_with(|c: char| c.is_lowercase() || c == '`'), "{text}");
        let hint = error.hint();
        assert!(!hint.ends_with('.') && hint.starts_with(char::is_lowercase), "{hint}");
    }
}

#[test]
fn everything_can_be_moved_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Sealer>();
    is_send_and_sync::<CachedDataKeys<RawAesDataKeys>>();
    is_send_and_sync::<OpenStream>();
    is_send_and_sync::<SealStream>();
    let keys = RawAesDataKeys::new(vec![RawAesKey::new("n", "k", &[0; 32]).unwrap()]).unwrap();
    let mut out = Vec::new();
    is_send(&open(b"", &keys, &mut out));
}
