//! A reader that knows `docs/format/repository.md` and nothing of our code but the sealed message.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use lifeboat_model::Site;
use lifeboat_seal::{Header, open};
use serde_json::Value;
use serde_json::value::RawValue;

use lifeboat_bench::{Bench, back_up, backup_id, plaintexts, raw_keys};

async fn opened(message: &[u8], purpose: &str, repository_id: &str) -> Vec<u8> {
    let header = Header::parse(message).unwrap().unwrap();
    let context: Vec<(&str, &str)> = header.context().iter().collect();
    let expected = [("lifeboat-epoch", "0001"), ("lifeboat-purpose", purpose), ("lifeboat-repository", repository_id)];
    assert_eq!(context, expected);
    let mut plaintext = Vec::new();
    open(message, &*raw_keys(&["far-away"]), &mut plaintext).await.unwrap();
    plaintext
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

#[tokio::test]
async fn the_page_on_the_format_is_enough_to_read_and_prove_a_backup() {
    let bench = Bench::new();
    back_up(&bench.repository().await, &backup_id(1), None).await.unwrap();
    let disk = bench.memory(Site::Offsite);

    let document: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(&disk.bytes("repository.json").unwrap()).unwrap();
    let raw = document["repository"].get();
    assert_eq!(document["sha256"].get(), format!("\"{}\"", sha256(raw.as_bytes())));
    let repository: Value = serde_json::from_str(raw).unwrap();
    let id = text(&repository, "repository_id");
    let sealed = base64::engine::general_purpose::STANDARD.decode(text(&repository["epochs"][0], "chunk_key")).unwrap();
    let chunk_key = opened(&sealed, "chunk-key", id).await;
    let derived = |context| blake3::derive_key(context, &chunk_key);

    let folder = format!("backups/clinic/{}", backup_id(1));
    let document: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(&disk.bytes(&format!("{folder}/manifest.json")).unwrap()).unwrap();
    let raw = document["manifest"].get();
    let signature: String = serde_json::from_str(document["signature"].get()).unwrap();
    let public_key = hex::decode(text(&repository["epochs"][0], "public_key")).unwrap();
    let pair =
        Ed25519KeyPair::from_seed_and_public_key(&derived("Lifeboat 2026-11-21 manifest signing key"), &public_key);
    assert_eq!(signature, hex::encode(pair.unwrap().sign(raw.as_bytes())));
    UnparsedPublicKey::new(&ED25519, public_key).verify(raw.as_bytes(), &hex::decode(signature).unwrap()).unwrap();

    let manifest: Value = serde_json::from_str(raw).unwrap();
    let part = disk.bytes(&format!("{folder}/chunks-00000.jsonl.zst")).unwrap();
    assert_eq!(text(&manifest["chunk_list"]["parts"][0], "sha256"), sha256(&part));
    let lines = String::from_utf8(zstd::stream::decode_all(&*part).unwrap()).unwrap();
    let mut restored = Vec::new();
    for line in lines.lines() {
        let chunk = &serde_json::from_str::<Value>(line).unwrap()["chunk"];
        let chunk_id = text(chunk, "id");
        let object = disk.bytes(&format!("chunks/0001/{}/{chunk_id}", &chunk_id[..2])).unwrap();
        assert_eq!(object.len() as u64, chunk["stored_bytes"].as_u64().unwrap());
        assert_eq!(sha256(&object), text(chunk, "sha256"));
        let plaintext = zstd::stream::decode_all(&*opened(&object, "chunk", id).await).unwrap();
        let actual = blake3::keyed_hash(&derived("Lifeboat 2026-11-21 chunk id"), &plaintext).to_hex();
        assert_eq!(actual.as_str(), chunk_id);
        restored.push(plaintext);
    }
    assert_eq!(restored, plaintexts());
}
