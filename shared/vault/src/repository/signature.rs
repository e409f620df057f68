//! Who wrote a manifest: an Ed25519 signature under a key that is derived from the epoch's chunk key.
//!
//! A MAC would bind `verify`, which holds no key, to take any manifest at its word; a signature lets it check with the
//! public key in `repository.json` what only a holder of the chunk key can have written (docs/adr/0004-signed-manifests.md).

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use lifeboat_model::{ChunkKey, PublicKey};

use crate::error::VaultError;

/// Bytes of a signature: RFC 8032.
const SIGNATURE_LEN: usize = 64;

fn key_pair(chunk_key: &ChunkKey) -> Result<Ed25519KeyPair, VaultError> {
    // "Unchecked" means that it is not compared with a public key. Only the seed is stored.
    Ed25519KeyPair::from_seed_unchecked(&chunk_key.signing_seed()).map_err(|_| VaultError::SigningKey)
}

/// The public key of an epoch, from its secret.
pub(crate) fn public_key(chunk_key: &ChunkKey) -> Result<PublicKey, VaultError> {
    let pair = key_pair(chunk_key)?;
    let bytes = pair.public_key().as_ref().try_into().map_err(|_| VaultError::SigningKey)?;
    Ok(PublicKey(bytes))
}

/// The signature of `message`: 128 lower case hexadecimal digits. The same each time for the same message and key.
pub(crate) fn sign(chunk_key: &ChunkKey, message: &[u8]) -> Result<String, VaultError> {
    Ok(hex::encode(key_pair(chunk_key)?.sign(message)))
}

/// Whether `signature` is one of `message`, in the one spelling that [`sign`] writes.
pub(crate) fn holds(public_key: &PublicKey, message: &[u8], signature: &str) -> bool {
    let mut bytes = [0; SIGNATURE_LEN];
    if hex::decode_to_slice(signature, &mut bytes).is_err() || hex::encode(bytes) != signature {
        return false;
    }
    UnparsedPublicKey::new(&ED25519, public_key.0).verify(message, &bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_own_message_key_and_spelling_alone() {
        let (one, two) = (ChunkKey::new([1; 32]), ChunkKey::new([2; 32]));
        let (public, signature) = (public_key(&one).unwrap(), sign(&one, b"manifest").unwrap());
        assert!(holds(&public, b"manifest", &signature));
        assert_eq!(sign(&one, b"manifest").unwrap(), signature);
        assert!(!holds(&public, b"manifesT", &signature));
        assert!(!holds(&public_key(&two).unwrap(), b"manifest", &signature));
        assert!(!holds(&public, b"manifest", &signature.to_uppercase()));
        assert!(!holds(&public, b"manifest", &signature[..126]));
        assert!(!holds(&public, b"manifest", ""));
    }

    #[test]
    fn the_public_key_is_the_published_one_of_the_derived_seed() {
        // RFC 8032 says how a seed becomes a key pair; here only that nothing of the chunk key itself is published.
        let key = ChunkKey::new([7; 32]);
        let public = public_key(&key).unwrap();
        assert_ne!(&public.0, key.secret());
        assert_ne!(public.0, key.signing_seed());
    }
}
