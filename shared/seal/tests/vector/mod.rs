//! A test vector as it lies in `shared/seal/vectors`.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lifeboat_seal::{DataKey, EncryptionContext, Header, OpenStream, RawAesDataKeys, RawAesKey, SealError};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Vector {
    pub scenario: String,
    pub source: String,
    pub frame_len: Option<u32>,
    pub context: BTreeMap<String, String>,
    #[serde(default)]
    pub wrapping_keys: Vec<WrappingKey>,
    data_key: Option<String>,
    plaintext: Option<String>,
    plaintext_len: Option<usize>,
    message: Option<String>,
    pub outcome: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WrappingKey {
    pub namespace: String,
    pub name: String,
    pub key: String,
}

impl Vector {
    pub fn load(name: &str) -> Self {
        let path = folder().join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// All vectors of a folder that carry a message, by file name.
    pub fn load_all(name: &str) -> Vec<(String, Self)> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder().join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        let vectors = files.iter().map(|path| {
            let file = format!("{name}/{}", path.file_name().unwrap().to_string_lossy());
            let vector = Self::load(&file);
            (file, vector)
        });
        vectors.filter(|(_, vector)| vector.message.is_some()).collect()
    }

    pub fn message(&self) -> Vec<u8> {
        STANDARD.decode(self.message.as_ref().expect("the vector carries its message")).unwrap()
    }

    pub fn plaintext(&self) -> Vec<u8> {
        match (&self.plaintext, self.plaintext_len) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(len)) => pattern(len),
            (None, None) => Vec::new(),
        }
    }

    pub fn context(&self) -> EncryptionContext {
        EncryptionContext::from_pairs(self.context.clone()).unwrap()
    }

    pub fn data_key(&self) -> Option<DataKey> {
        let key = STANDARD.decode(self.data_key.as_ref()?).unwrap();
        Some(DataKey::from_slice(&key).unwrap())
    }

    /// One set of wrapping keys for each key alone, and one with all.
    pub fn key_rings(&self) -> Vec<RawAesDataKeys> {
        let mut rings: Vec<RawAesDataKeys> =
            self.wrapping_keys.iter().map(|key| ring(std::slice::from_ref(key))).collect();
        rings.push(ring(&self.wrapping_keys));
        rings
    }
}

pub fn ring(keys: &[WrappingKey]) -> RawAesDataKeys {
    let keys =
        keys.iter().map(|key| RawAesKey::new(&key.namespace, &key.name, &hex::decode(&key.key).unwrap()).unwrap());
    RawAesDataKeys::new(keys.collect()).unwrap()
}

pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors"))
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Opens `message` as it would come from a network, in pieces of `piece_len` bytes. Also gives what had left by the time
/// of an error.
pub fn open_in_pieces(message: &[u8], key: &DataKey, piece_len: usize) -> (Vec<u8>, Result<(), SealError>) {
    let mut out = Vec::new();
    let result = read_pieces(message, key, piece_len, &mut out);
    (out, result)
}

fn read_pieces(message: &[u8], key: &DataKey, piece_len: usize, out: &mut Vec<u8>) -> Result<(), SealError> {
    let mut received = Vec::new();
    let mut stream: Option<OpenStream> = None;
    for piece in message.chunks(piece_len) {
        if let Some(stream) = &mut stream {
            stream.update(piece, out)?;
            continue;
        }
        received.extend_from_slice(piece);
        if let Some(header) = Header::parse(&received)? {
            let mut begun = OpenStream::new(&header, key)?;
            begun.update(&received.split_off(header.encoded_len()), out)?;
            stream = Some(begun);
        }
    }
    stream.ok_or(SealError::Truncated { len: received.len() as u64 })?.finish()
}
