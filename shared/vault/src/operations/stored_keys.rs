//! Whether the key of a site still opens what was sealed with it.
//!
//! A key may encrypt and decrypt today, and be another one than the stored objects were sealed under. So a probe of `repository.json` is
//! opened, under the only encryption context for which `health` may decrypt. An epoch's probe, its chunk key and each of its chunks are
//! sealed under the same keys.

use jiff::SignedDuration;
use lifeboat_model::{BackupId, DatabaseName, Diagnosis, Epoch, Site, Verdict, story};
use lifeboat_seal::{DataKeys as _, EncryptedDataKey, Header, OpenStream, SealError};

use crate::chunks::message::{Binding, Purpose};
use crate::error::{VaultError, advice_on_seal};
use crate::layout::REPOSITORY_KEY;
use crate::repository::Repository;
use crate::repository::epoch_keys::{is_probe_of, is_sealed_under, message_of};

/// A run that began before an epoch may write in it, when another run began it meanwhile. A function ends after this time.
const LONGEST_RUN: SignedDuration = SignedDuration::from_mins(15);

/// Longest name of a key that is repeated: the ARN of a KMS key has some 80 bytes. Anybody who may write to the bucket can write names.
const KEY_NAME_BYTES: usize = 200;

/// Names that are repeated, at most.
const MOST_NAMES: usize = 4;

/// Whether the key of a site opens, alone, what is stored on that site: in the epoch that is written to, and in the oldest one of which the
/// site has a backup. Writes nothing.
///
/// `repository` is that of the site alone. `sites` names the configured keys in their order. The epoch of a backup is known by its time,
/// because `health` may not read manifests. A key that was replaced is a warning: new backups do not need the old one.
///
/// # Errors
/// Why the backups of the site cannot be listed, when no check failed: the oldest epoch in use was not tried.
pub async fn check_stored_keys(
    repository: &Repository,
    site: Site,
    sites: &[Site],
) -> Result<Vec<Diagnosis>, VaultError> {
    let Some(position) = sites.iter().position(|one| *one == site) else { return Ok(Vec::new()) };
    let document = repository.document();
    let newest = document.epochs.last();
    let backup = repository.oldest_manifest(site).await;
    let listed = backup.as_ref().ok().and_then(Option::as_ref);
    let began = listed.and_then(|(_, id)| id.began_at());
    let late = began.and_then(|began| began.checked_add(LONGEST_RUN).ok());
    // It was stored in one of the two. Most often they are the same.
    let oldest = [began, late].map(|at| at.and_then(|at| document.epoch_at(at)));
    let mut epochs: Vec<&Epoch> = oldest.into_iter().flatten().chain(newest).collect();
    epochs.dedup_by_key(|epoch| epoch.number);
    let mut checks = Vec::new();
    for epoch in epochs {
        let probe = document.probes.get(&epoch.number);
        let backup = listed.filter(|_| oldest.into_iter().flatten().any(|old| old.number == epoch.number));
        let database = listed.map(|(database, _)| database);
        let stored = StoredKey { repository, site, epoch, probe, database, backup, position };
        checks.push(stored.check().await.on(site));
    }
    match backup {
        Err(error) if checks.iter().all(|check| check.verdict == Verdict::Ok) => Err(error),
        _ => Ok(checks),
    }
}

/// The key of a site in one epoch.
struct StoredKey<'a> {
    repository: &'a Repository,
    site: Site,
    epoch: &'a Epoch,
    probe: Option<&'a String>,
    /// A database that has a backup.
    database: Option<&'a DatabaseName>,
    /// A backup that may be of this epoch.
    backup: Option<&'a (DatabaseName, BackupId)>,
    /// The position of the key among the configured ones.
    position: usize,
}

impl StoredKey<'_> {
    async fn check(&self) -> Diagnosis {
        let check = format!("{} key of epoch {}", self.site, self.epoch.number);
        let damaged = |what: &str, hint: &str| {
            Diagnosis::failed(check.clone(), format!("the {what} in `repository.json` is damaged"), hint)
        };
        let Some((sealed, _)) = message_of(&self.epoch.chunk_key) else {
            return damaged(
                "sealed chunk key",
                "somebody with access to the bucket changed `repository.json`: restore its older version, which the bucket keeps",
            );
        };
        if self.entry(&sealed).is_none() {
            return Diagnosis::warn(
                check,
                format!("its backups are sealed under {}, and not under the configured key", names(&sealed)),
                "keep each key that is named for as long as a backup of that epoch may be needed, or configure it again",
            );
        }
        // A backup adds and mends the probes of an epoch only with exactly its keys.
        let gets_probe = is_sealed_under(&self.repository.keys, self.epoch);
        let probe = self.probe.filter(|probe| is_probe_of(&self.repository.id(), self.epoch, probe));
        let (header, message) = match probe.and_then(|probe| message_of(probe)) {
            Some(probe) => probe,
            None if !gets_probe => {
                return Diagnosis::warn(
                    check.clone(),
                    "is named by what is stored, and cannot be tried: the epoch has no probe, and other keys than the configured ones seal it",
                    self.untried_hint(&check),
                );
            }
            None if self.probe.is_some() => return damaged("probe", "run a backup, which stores a new one"),
            None => return Diagnosis::ok(check, "is named by what is stored; the next backup stores a probe to open"),
        };
        match self.open(&header, &message).await {
            Ok(()) => Diagnosis::ok(check, "opens what it sealed in that epoch"),
            Err(VaultError::Open { source, .. }) if is_about_the_probe(&source) => {
                let seen = format!("the probe in `repository.json` does not open: {}", story(&source));
                Diagnosis::failed(check, seen, self.probe_hint())
            }
            Err(VaultError::Open { source, .. }) => {
                Diagnosis::failed(check, story(&source), advice_on_seal(&source).hint)
            }
            Err(error) => Diagnosis::failed(check, story(&error), error.advice().hint),
        }
    }

    /// The command of a drill of this epoch, as far as a backup is known. Without one it is of the newest backup.
    fn drill(&self) -> String {
        let site = self.site;
        match (self.backup, self.database) {
            (Some((database, id)), _) => format!("lifeboat drill --database {database} --site {site} --backup {id}"),
            (None, Some(database)) => format!("lifeboat drill --database {database} --site {site}"),
            (None, None) => format!("lifeboat drill --site {site}"),
        }
    }

    /// A drill needs the key. Nothing stores a probe in such an epoch later, so a person accepts that it cannot be tried.
    fn untried_hint(&self, check: &str) -> String {
        let (site, drill) = (self.site, self.drill());
        format!(
            "prove it by a drill, `{drill}`; then accept it by name: `lifeboat incidents ack key-unusable/{site} --object \"{check}\" \
             --reason REASON`"
        )
    }

    /// The probe may be wrong instead of the key. A run with the settings of one site has no other key to open anything with.
    fn probe_hint(&self) -> String {
        let drill = self.drill();
        format!(
            "the key is another one, or somebody with access to a bucket changed the probe alone: run `{drill}` with the \
             settings of that site only; if the drill succeeds, the key works, and the older version of `repository.json` is to be \
             restored on each site: docs/runbooks/key-unusable.md has the commands"
        )
    }

    fn entry<'a>(&self, header: &'a Header) -> Option<&'a EncryptedDataKey> {
        self.repository.keys.entry_of_each(header.data_keys()).into_iter().nth(self.position).flatten()
    }

    /// Opens a probe with the key of the site alone.
    async fn open(&self, header: &Header, message: &[u8]) -> Result<(), VaultError> {
        let (site, key) = (self.site, REPOSITORY_KEY.to_owned());
        let binding = Binding::new(&self.repository.id(), self.epoch.number, Purpose::Doctor)?;
        let entry = self.entry(header).filter(|_| binding.is_of(header));
        let Some(entry) = entry else { return Err(VaultError::Foreign { site, key }) };
        let opened = async {
            let data_key = self.repository.keys.decrypt(header.context(), std::slice::from_ref(entry)).await?;
            let mut body = OpenStream::new(header, &data_key)?;
            body.update(message.get(header.encoded_len()..).unwrap_or_default(), &mut Vec::new())?;
            body.finish()
        };
        opened.await.map_err(|source: SealError| VaultError::Open { site, key, source })
    }
}

/// Whether an error is about the bytes of the probe, and not about the use of the key.
fn is_about_the_probe(error: &SealError) -> bool {
    match error {
        SealError::DataKey(error) => error.is_rejected(),
        error => error.is_bad_message(),
    }
}

/// The keys that a message was sealed under, as far as they have names that can be repeated. The header is not authenticated.
fn names(header: &Header) -> String {
    let named = header.data_keys().iter().filter_map(EncryptedDataKey::info_text);
    let is_plain = |name: &&str| name.len() <= KEY_NAME_BYTES && name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    let names: Vec<String> = named.filter(is_plain).take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "other keys".to_owned() } else { names.join(" and ") }
}
