//! Messages that others wrote: what the reader makes of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

mod vector;

use lifeboat_seal::{Header, SealError, open};
use vector::{Vector, block_on, open_in_pieces};

/// What a reader that holds the wrapping keys says, with each key alone and with all.
fn open_with_wrapping_keys(vector: &Vector) -> Vec<(Vec<u8>, Result<(), SealError>)> {
    let message = vector.message();
    let rings = vector.key_rings();
    let open_with = |keys| {
        let mut out = b"before".to_vec();
        let result = block_on(open(&message, keys, &mut out));
        assert!(out.starts_with(b"before"));
        (out.split_off(6), result)
    };
    rings.iter().map(|keys| open_with(keys)).collect()
}

fn check(file: &str, vector: &Vector, plaintext: &[u8], result: &Result<(), SealError>) {
    match result {
        Ok(()) => {
            assert_eq!(vector.outcome, "open", "{file}");
            assert_eq!(plaintext, vector.plaintext(), "{file}");
            let header = Header::parse(&vector.message()).unwrap().unwrap();
            assert_eq!(header.context(), &vector.context(), "{file}");
        }
        Err(error) => {
            assert_eq!(format!("{error:?}"), vector.outcome, "{file}");
            assert!(plaintext.is_empty(), "{file}: plaintext of a refused message");
        }
    }
}

#[test]
fn messages_of_the_python_sdk_open_or_are_refused_as_their_vectors_say() {
    let vectors = Vector::load_all("python-sdk");
    assert_eq!(vectors.len(), 14);
    for (file, vector) in vectors {
        for (plaintext, result) in open_with_wrapping_keys(&vector) {
            check(&file, &vector, &plaintext, &result);
        }
    }
}

#[test]
fn the_vectors_of_message_format_2_open_or_are_refused_as_their_vectors_say() {
    let vectors = Vector::load_all("aws-format-v2");
    assert_eq!(vectors.len(), 7);
    for (file, vector) in vectors {
        for piece_len in [1, 7, usize::MAX] {
            let (plaintext, result) = open_in_pieces(&vector.message(), &vector.data_key().unwrap(), piece_len);
            check(&file, &vector, &plaintext, &result);
        }
    }
}

#[test]
fn golden_messages_open_by_wrapping_key_and_by_data_key() {
    let vectors = Vector::load_all("golden");
    assert_eq!(vectors.len(), 9);
    for (file, vector) in vectors {
        for (plaintext, result) in open_with_wrapping_keys(&vector) {
            check(&file, &vector, &plaintext, &result);
        }
        for piece_len in [1, 3, 16, 36, usize::MAX] {
            let (plaintext, result) = open_in_pieces(&vector.message(), &vector.data_key().unwrap(), piece_len);
            check(&file, &vector, &plaintext, &result);
        }
    }
}

#[test]
fn a_message_of_another_key_is_refused_before_anything_is_read() {
    let vector = Vector::load("golden/three-frames.json");
    let mut foreign = vector.wrapping_keys[0].clone();
    foreign.name = "another".into();
    let mut out = Vec::new();
    let error = block_on(open(&vector.message(), &vector::ring(&[foreign]), &mut out)).unwrap_err();
    assert_eq!(format!("{error:?}"), "DataKey(NoUsableKey { offered: 2, attempts: 0, cause: None })");
    assert!(!error.is_bad_message() && !error.is_retryable());
    assert!(out.is_empty());
}
