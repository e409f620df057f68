//! Which epoch is written to, and when a new one begins.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{EpochCause, EpochNumber, RepositoryDocument};

use crate::error::VaultError;
use crate::layout::REPOSITORY_KEY;
use crate::repository::Repository;
use crate::repository::copies::{CHANGE_ATTEMPTS, RepositoryCopy, agreed, converge};
use crate::repository::document::encode_repository;
use crate::repository::epoch_keys::{has_probe, is_sealed_under, new_epoch, new_probe, require_key_of_each};
use crate::store::error::StoreError;
use crate::store::port::{NewObject, PutCondition};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How long an epoch is written to. Longer saves storage, shorter bounds what one bad chunk can touch and lets old data
/// be erased sooner.
pub const EPOCH_AGE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// How much longer an epoch is written to while the off-site does not serve. Until then, no epoch is begun that one site alone knows. Then
/// it has to be: backups would reuse chunks whose lock ends.
pub const EPOCH_GRACE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// For how long each backup must be protected after it was taken: long enough to notice an intruder and to act.
const LEAST_PROTECTION: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The age in days that a chunk can have when a backup reuses it.
pub(crate) const REUSED_DAYS: u64 = days(EPOCH_AGE) + days(EPOCH_GRACE);

/// The days that a bucket must lock new objects for, at least.
pub const LEAST_LOCK_DAYS: u64 = REUSED_DAYS + days(LEAST_PROTECTION);

const fn days(time: SignedDuration) -> u64 {
    time.as_hours().unsigned_abs() / 24
}

/// Epochs that may begin because of keys within a day, before the configured keys begin another one. Each costs a full backup of every database. A person
/// who corrects keys needs one or two; two installations on one off-site would begin them in turns for ever.
const EPOCHS_A_DAY: usize = 4;

/// Probes added by one run at most. Each costs two requests for a key, and a repository has four epochs a year.
const PROBES_A_RUN: usize = 8;

impl Repository {
    /// The epoch to write to. Begins a new one when the last is too old, or is not sealed under exactly the configured keys: a key was lost
    /// or replaced, a site was added or made anew. What a key service answers begins none, because every run would begin another one.
    ///
    /// `max_age` is prolonged by [`EPOCH_GRACE`] while the off-site does not serve. Also stores the probes that epochs lack.
    ///
    /// # Errors
    /// [`VaultError::KeyMissing`]; [`VaultError::EpochsTooOften`]; what the stores and the key service answer.
    pub(crate) async fn current_epoch(
        &self,
        now: Timestamp,
        max_age: SignedDuration,
    ) -> Result<EpochNumber, VaultError> {
        let primary = self.sites.primary()?;
        require_key_of_each(&self.sites, &self.keys)?;
        for _ in 0..CHANGE_ATTEMPTS {
            let RepositoryCopy { mut document, version } =
                converge(&self.sites).await?.ok_or(VaultError::NoRepository)?;
            self.same_repository(&document)?;
            let due = self.due(&document, now, max_age)?;
            if let Some(cause) = due {
                let next = document.epochs.last().map_or(1, |epoch| epoch.number.0.saturating_add(1));
                let epoch = new_epoch(&self.keys, &document.repository_id, EpochNumber(next), cause, now).await?;
                document.epochs.push(epoch);
            }
            let added = self.add_probes(&mut document).await;
            if let (None, 0, Some(epoch)) = (due, added, document.epochs.last()) {
                let number = epoch.number;
                let published = agreed(&self.sites, &document);
                let mut known = self.known();
                (known.document, known.published) = (document, published);
                return Ok(number);
            }
            let object = NewObject::new(encode_repository(REPOSITORY_KEY, &document)?);
            match primary.store().put(REPOSITORY_KEY, object, PutCondition::IfMatch(version)).await {
                // Read again: an answer that was lost and repeated looks like somebody else's change.
                Ok(_) | Err(StoreError::VersionChanged { .. }) => {}
                Err(source) => return Err(primary.error(source)),
            }
        }
        Err(VaultError::Contended { key: REPOSITORY_KEY.to_owned(), attempts: CHANGE_ATTEMPTS })
    }

    /// Why a new epoch is to begin now, if one is.
    fn due(
        &self,
        document: &RepositoryDocument,
        now: Timestamp,
        max_age: SignedDuration,
    ) -> Result<Option<EpochCause>, VaultError> {
        let Some(last) = document.epochs.last() else { return Ok(Some(EpochCause::First)) };
        if !is_sealed_under(&self.keys, last) {
            let yesterday = now.checked_sub(DAY).unwrap_or(Timestamp::MIN);
            let begun = document.begun_after(yesterday).filter(|epoch| epoch.cause == Some(EpochCause::Keys));
            let mut begun: Vec<Timestamp> = begun.map(|epoch| epoch.created_at).collect();
            begun.sort_unstable();
            // The one whose day must end before there are fewer than allowed.
            if let Some(oldest) = begun.iter().rev().nth(EPOCHS_A_DAY - 1) {
                let until = oldest.checked_add(DAY).unwrap_or(Timestamp::MAX);
                return Err(VaultError::EpochsTooOften { epoch: last.number, begun: begun.len(), until });
            }
            tracing::warn!(
                "epoch {} is not sealed under exactly the configured keys; a new epoch begins, in which nothing is reused",
                last.number
            );
            return Ok(Some(EpochCause::Keys));
        }
        let is_alone = self.sites.aside().is_some();
        let max_age = if is_alone { max_age.saturating_add(EPOCH_GRACE) } else { max_age };
        Ok(document.current_epoch(now, max_age).is_none().then_some(EpochCause::Age))
    }

    /// Adds the probes that epochs lack, as far as this run seals with the keys of the epoch. Returns how many. Backups do not depend on
    /// probes, so one that cannot be sealed is left to a later run.
    async fn add_probes(&self, document: &mut RepositoryDocument) -> usize {
        let ours = document.epochs.iter().rev().filter(|epoch| is_sealed_under(&self.keys, epoch));
        // What is no probe of the epoch was damaged or forged. Nothing else mends it: a verification has no key to seal with.
        let lacking = ours.filter(|epoch| !has_probe(&self.keys, document, epoch)).map(|epoch| epoch.number);
        let lacking: Vec<EpochNumber> = lacking.take(PROBES_A_RUN).collect();
        let mut added = 0;
        for number in lacking {
            match new_probe(&self.keys, &document.repository_id, number).await {
                Ok(probe) => {
                    document.probes.insert(number, probe);
                    added += 1;
                }
                Err(error) => {
                    let error = lifeboat_model::story(&error);
                    tracing::warn!(error, "epoch {number} gets no probe; the next backup tries again");
                    break;
                }
            }
        }
        added
    }
}
