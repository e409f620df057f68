//! The corpus of `vectors/mutations.txt`: every edit of a good message is refused with the error beside it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

mod layout;
mod vector;

use std::collections::HashSet;

use layout::Edited;
use lifeboat_seal::{DataKey, DataKeys, Header, SealError, open};
use vector::{Vector, block_on, folder, open_in_pieces};

struct Row<'a> {
    name: &'a str,
    edits: &'a str,
    error: &'a str,
    released: usize,
}

fn rows(table: &str) -> Vec<Row<'_>> {
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line| {
        let columns: Vec<&str> = str::split(line, '|').map(str::trim).collect();
        let [name, edits, error, released] = columns[..] else { panic!("four columns in {line:?}") };
        Row { name, edits, error, released: released.parse().unwrap() }
    };
    lines.map(row).collect()
}

/// Opens as someone does who holds the wrapping keys; gives the plaintext that left a stream, too.
fn read_in_pieces(message: &[u8], keys: &dyn DataKeys, piece_len: usize) -> (Vec<u8>, Result<(), SealError>) {
    let key = Header::parse(message)
        .and_then(|header| header.ok_or(SealError::Truncated { len: message.len() as u64 }))
        .and_then(|header| Ok(block_on(keys.decrypt(header.context(), header.data_keys()))?));
    match key {
        Ok(key) => open_in_pieces(message, &key, piece_len),
        // The header alone says it; a stream must say the same, with whatever key.
        Err(error @ SealError::DataKey(_)) => (Vec::new(), Err(error)),
        Err(_) => open_in_pieces(message, &DataKey::from_slice(&[0; 32]).unwrap(), piece_len),
    }
}

#[test]
fn every_edit_is_refused_with_its_error_and_releases_whole_good_frames_only() {
    let vector = Vector::load("golden/three-frames.json");
    let good = vector.message();
    let keys = vector.key_rings().pop().unwrap();
    let table = std::fs::read_to_string(folder().join("mutations.txt")).unwrap();
    let mut failures = Vec::new();
    let mut names = HashSet::new();
    for Row { name, edits, error, released } in rows(&table) {
        assert!(names.insert(name), "{name} is there twice");
        let message = Edited::new(&good).apply(edits);
        assert_ne!(message, good, "{name}");

        let mut out = b"before".to_vec();
        let opened = block_on(open(&message, &keys, &mut out));
        if out != b"before" {
            failures.push(format!("{name}: plaintext left of a message refused in one go"));
        }
        let mut results = vec![(released, opened)];
        for piece_len in [1, 5, 16, usize::MAX] {
            let (out, result) = read_in_pieces(&message, &keys, piece_len);
            assert!(vector.plaintext().starts_with(&out), "{name}: not the plaintext");
            results.push((out.len(), result));
        }
        for (left, result) in results {
            let found = result.map_or_else(|error| format!("{error:?}"), |()| "open".to_owned());
            if !found.starts_with(error) || left != released {
                failures.push(format!("{name}: {found}, {left} released; expected {error}, {released} released"));
            }
        }
    }
    failures.dedup();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert!(names.len() >= 100, "only {} edits", names.len());
}

#[test]
fn every_field_of_the_format_is_edited() {
    let table = std::fs::read_to_string(folder().join("mutations.txt")).unwrap();
    let edits: Vec<&str> = rows(&table).iter().flat_map(|row| row.edits.split([' ', ';'])).collect();
    let good = Vector::load("golden/three-frames.json").message();
    for field in Edited::new(&good).leaf_fields() {
        // Of things that come several times, one being edited is enough.
        let generic = |name: &str| name.replace(".2", ".1");
        assert!(edits.iter().any(|edit| generic(edit) == generic(&field)), "{field} is never edited");
    }
}

#[test]
fn every_single_bit_matters() {
    for (file, vector) in Vector::load_all("golden") {
        let (good, plaintext, keys) = (vector.message(), vector.plaintext(), vector.key_rings().pop().unwrap());
        let key = vector.data_key().unwrap();
        let frame_len = vector.frame_len.unwrap() as usize;
        for bit in 0..good.len() * 8 {
            let mut message = good.clone();
            message[bit / 8] ^= 1 << (bit % 8);
            let mut out = Vec::new();
            assert!(block_on(open(&message, &keys, &mut out)).is_err(), "{file}: bit {bit}");
            assert!(out.is_empty(), "{file}: bit {bit}");

            let (left, result) = open_in_pieces(&message, &key, usize::MAX);
            assert!(result.is_err(), "{file}: bit {bit}");
            let before_the_bit = layout::whole_frames_before(&good, bit / 8) * frame_len;
            assert_eq!(left, plaintext[..before_the_bit], "{file}: bit {bit}");
        }
    }
}

#[test]
fn every_beginning_of_a_message_is_refused_as_truncated() {
    for (file, vector) in Vector::load_all("golden") {
        let (good, key) = (vector.message(), vector.data_key().unwrap());
        for len in 0..good.len() {
            let (_, result) = open_in_pieces(&good[..len], &key, usize::MAX);
            assert!(matches!(result, Err(SealError::Truncated { len: at }) if at == len as u64), "{file}: {len}");
        }
    }
}
