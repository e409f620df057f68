use super::*;

fn stream(sequence: u32) -> SealStream {
    let key = MessageKey::derive(&DataKey::from_slice(&[1; 32]).unwrap(), [2; 32]).unwrap();
    SealStream { key, frame_len: 4, sequence: Some(sequence), pending: Vec::new() }
}

#[test]
fn the_number_that_marks_the_last_frame_is_given_to_no_other() {
    let mut out = Vec::new();
    let mut seal = stream(u32::MAX - 1);
    seal.update(b"four", &mut out).unwrap();
    let len = out.len();
    assert!(matches!(seal.update(b"more", &mut out), Err(SealError::TooManyFrames)));
    assert_eq!(out.len(), len);
}

#[test]
fn the_last_frame_may_carry_the_highest_number() {
    let mut out = Vec::new();
    let mut seal = stream(u32::MAX - 1);
    seal.update(b"fourend", &mut out).unwrap();
    seal.finish(&mut out).unwrap();
}
