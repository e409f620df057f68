use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;

use super::*;
use crate::data_keys::EncryptedDataKey;
use crate::{Header, OpenStream};

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

/// Other writers may end an exact multiple of the frame length so; the format allows both.
#[test]
fn a_last_frame_of_full_length_opens() {
    let key = DataKey::from_slice(&[1; 32]).unwrap();
    let entry = EncryptedDataKey { provider: "p".into(), info: vec![], ciphertext: vec![] };
    let generated = GeneratedDataKey { key: key.clone(), encrypted: vec![entry] };
    let sealer = Sealer::with_frame_len(generated, &EncryptionContext::new(), 4).unwrap();
    let mut message = Vec::new();
    let mut stream = sealer.begin(&mut message).unwrap();
    stream.write_frame(FrameKind::Regular, b"four", &mut message).unwrap();
    stream.write_frame(FrameKind::Last, b"more", &mut message).unwrap();

    let header = Header::parse(&message).unwrap().unwrap();
    let mut opened = Vec::new();
    let mut stream = OpenStream::new(&header, &key).unwrap();
    stream.update(&message[header.encoded_len()..], &mut opened).unwrap();
    stream.finish().unwrap();
    assert_eq!(opened, b"fourmore");
}

/// `vectors/golden` was written by another program from the documentation of the format.
#[test]
fn the_writer_gives_the_golden_bytes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/golden");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let golden: Golden = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let context = EncryptionContext::from_pairs(golden.context.clone()).unwrap();
        let generated = GeneratedDataKey {
            key: DataKey::from_slice(&decode(&golden.data_key)).unwrap(),
            encrypted: golden.wrapping_keys.iter().enumerate().map(|(i, key)| key.wrap(i, &golden, &context)).collect(),
        };
        let sealer = Sealer::with_frame_len(generated, &context, golden.frame_len).unwrap();
        let plaintext: Vec<u8> = (0..golden.plaintext_len).map(|i| (i % 251) as u8).collect();
        let message_id: MessageId = decode(&golden.message_id).try_into().unwrap();

        let mut message = b"before".to_vec();
        sealer.seal_as(message_id, &plaintext, &mut message).unwrap();
        let message = message.split_off(6);
        assert_eq!(message.len(), sealer.sealed_len(plaintext.len()), "{}", path.display());
        let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &message);
        assert_eq!(hex::encode(sha256), golden.message_sha256, "{}", path.display());

        let mut pieces = Vec::new();
        let mut stream = sealer.begin_as(message_id, &mut pieces).unwrap();
        for piece in plaintext.chunks(11) {
            stream.update(piece, &mut pieces).unwrap();
        }
        stream.finish(&mut pieces).unwrap();
        assert!(pieces == message, "{}: in pieces", path.display());
        seen += 1;
    }
    assert_eq!(seen, 10);
}

#[derive(serde::Deserialize)]
struct Golden {
    frame_len: u32,
    context: std::collections::BTreeMap<String, String>,
    wrapping_keys: Vec<WrappingKey>,
    data_key: String,
    message_id: String,
    plaintext_len: usize,
    message_sha256: String,
}

#[derive(serde::Deserialize)]
struct WrappingKey {
    namespace: String,
    name: String,
    key: String,
}

impl WrappingKey {
    /// The entry as `generate.py` writes it, whose IV is the entry's number.
    fn wrap(&self, index: usize, golden: &Golden, context: &EncryptionContext) -> EncryptedDataKey {
        let iv = [index as u8 + 1; IV_LEN];
        let info = [self.name.as_bytes(), &128u32.to_be_bytes(), &12u32.to_be_bytes(), &iv].concat();
        let key = UnboundKey::new(&AES_256_GCM, &hex::decode(&self.key).unwrap()).unwrap();
        let mut ciphertext = decode(&golden.data_key);
        LessSafeKey::new(key)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(iv),
                Aad::from(context.serialize().unwrap()),
                &mut ciphertext,
            )
            .unwrap();
        EncryptedDataKey { provider: self.namespace.clone(), info, ciphertext }
    }
}

fn decode(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
