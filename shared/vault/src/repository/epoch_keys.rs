//! What is sealed of an epoch in `repository.json`: its chunk key, and a probe that shows whether a key still opens what it sealed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use lifeboat_model::{ChunkKey, Epoch, EpochCause, EpochNumber, RepositoryDocument};
use lifeboat_seal::{DataKeys as _, Header};

use crate::chunks::message::{Binding, Keys, Purpose};
use crate::error::VaultError;
use crate::repository::randomness::random;
use crate::repository::signature::public_key;
use crate::store::sites::Sites;

/// What a probe holds. Everybody may know it: only that it opens matters.
const PROBE: &[u8] = b"{\"sealed_by\":\"lifeboat\"}";

/// An epoch with a fresh chunk key, sealed under the keys of all sites.
pub(super) async fn new_epoch(
    keys: &Keys,
    repository_id: &str,
    number: EpochNumber,
    cause: EpochCause,
    now: Timestamp,
) -> Result<Epoch, VaultError> {
    let secret = random::<32>()?;
    let chunk_key = seal(keys, repository_id, number, Purpose::ChunkKey, &secret).await?;
    let public_key = public_key(&ChunkKey::new(secret))?;
    Ok(Epoch { number, created_at: now, chunk_key, public_key, cause: Some(cause) })
}

/// A probe of an epoch, sealed under the keys of all sites. Those must be the epoch's keys ([`is_sealed_under`]).
pub(super) async fn new_probe(keys: &Keys, repository_id: &str, number: EpochNumber) -> Result<String, VaultError> {
    seal(keys, repository_id, number, Purpose::Doctor, PROBE).await
}

async fn seal(
    keys: &Keys,
    repository_id: &str,
    number: EpochNumber,
    purpose: Purpose,
    plaintext: &[u8],
) -> Result<String, VaultError> {
    let sealer = Binding::new(repository_id, number, purpose)?.sealer(keys).await?;
    let mut message = Vec::new();
    sealer.seal(plaintext, &mut message).map_err(|source| VaultError::Seal { source })?;
    Ok(BASE64.encode(message))
}

/// A message of `repository.json` with its header, which stands in the clear; `None` when it is damaged.
pub(crate) fn message_of(text: &str) -> Option<(Header, Vec<u8>)> {
    let message = BASE64.decode(text).ok()?;
    Some((Header::parse(&message).ok().flatten()?, message))
}

/// Whether an epoch is sealed under the configured keys: under each of them, and under no other. Then every message of the epoch opens
/// with the same keys. Only names are compared, so no answer of a key service changes it.
///
/// A damaged chunk key counts as sealed under them: opening it says what is wrong.
pub(crate) fn is_sealed_under(keys: &Keys, epoch: &Epoch) -> bool {
    message_of(&epoch.chunk_key).is_none_or(|(header, _)| is_under(keys, &header))
}

fn is_under(keys: &Keys, header: &Header) -> bool {
    let entries = keys.entry_of_each(header.data_keys());
    entries.len() == header.data_keys().len() && entries.iter().all(Option::is_some)
}

/// Whether a text is a message that was sealed as a probe of this epoch, as far as its header says: its context, and as many keys as the
/// epoch has. Anybody can write a header.
pub(crate) fn is_probe_of(repository_id: &str, epoch: &Epoch, probe: &str) -> bool {
    let binding = Binding::new(repository_id, epoch.number, Purpose::Doctor);
    let (Ok(binding), Some((header, _)), Some((of_epoch, _))) =
        (binding, message_of(probe), message_of(&epoch.chunk_key))
    else {
        return false;
    };
    binding.is_of(&header) && header.data_keys().len() == of_epoch.data_keys().len()
}

/// Whether an epoch that is sealed under the configured keys has a probe that says the same of itself.
pub(super) fn has_probe(keys: &Keys, document: &RepositoryDocument, epoch: &Epoch) -> bool {
    let probe = document.probes.get(&epoch.number);
    let probe = probe.filter(|probe| is_probe_of(&document.repository_id, epoch, probe));
    probe.and_then(|probe| message_of(probe)).is_some_and(|(header, _)| is_under(keys, &header))
}

/// An epoch that lacks the key of a site could not be read from that site alone.
///
/// # Errors
/// [`VaultError::KeyMissing`] when fewer keys are configured than sites.
pub(super) fn require_key_of_each(sites: &Sites, keys: &Keys) -> Result<(), VaultError> {
    let (keys, sites) = (keys.entry_of_each(&[]).len(), sites.names().len());
    if keys < sites { Err(VaultError::KeyMissing { keys, sites }) } else { Ok(()) }
}
