//! Healing: a missing or damaged object is replaced by the sound one of the other site.
//!
//! Healing writes over an object, so it needs more trust than inspection. Nothing is healed from the other site unless every site
//! publishes the same key for the epoch whose signature vouches for the object.

use lifeboat_model::Site;

use crate::chunks::cpu::on_cpu;
use crate::error::VaultError;
use crate::repository::Repository;
use crate::repository::document::{Place, SignedManifest, decode_repository, legible_epochs};
use crate::repository::inspection::{Judgement, ObjectState};
use crate::repository::listed::{Content, Listed};
use crate::repository::published_keys::Trust;
use crate::store::checksum::sha256;
use crate::store::error::StoreError;
use crate::store::port::{Fetched, LockPeriod, NewObject, PutCondition, Version};
use crate::store::sites::SiteStore;

impl Repository {
    /// Replaces a missing or damaged object of `site` by the copy on the other site, which is proved sound first. Then reads it back.
    /// Returns its length. The damaged bytes stay in the bucket as an older version.
    ///
    /// Only the state that was read and judged here is replaced. An object that is sound by now stays as it is.
    /// Idempotent.
    ///
    /// # Errors
    /// [`VaultError::NotHealed`] when the other site is not configured or has no sound copy, when the sites do not agree
    /// on the epoch's key, or for a document of a newer format; [`VaultError::Store`].
    pub async fn heal(&self, site: Site, listed: &Listed) -> Result<u64, VaultError> {
        let store = self.sites.get(site)?;
        let key = listed.key.as_str();
        let not_healed = |reason| VaultError::NotHealed { site, key: key.to_owned(), reason };
        let other = self.sites.get(site.other()).map_err(|_| not_healed("there is no other site"))?;
        let (condition, legible) = match self.unsound_state(store, listed).await? {
            CurrentObject::Sound { size_bytes } => return Ok(size_bytes),
            CurrentObject::Newer => return Err(not_healed("its format is newer than this version of Lifeboat")),
            CurrentObject::Missing => (PutCondition::CreateOnly, 0),
            CurrentObject::Unsound { version, legible_epochs } => (PutCondition::IfMatch(version), legible_epochs),
        };
        let Some(copy) = other.find(key, listed.limit_bytes()).await? else {
            return Err(not_healed("the other site does not have it"));
        };
        match self.judge(other.site(), listed, &copy.body).await? {
            Judgement::Sound => {}
            Judgement::Newer { .. } => return Err(not_healed("the other site's copy has a newer format")),
            Judgement::Unsound => return Err(not_healed("the other site's copy is not sound either")),
        }
        self.may_heal(listed, other.site(), &copy, legible).map_err(not_healed)?;
        let Fetched { body, mark, .. } = copy;
        let size_bytes = body.len() as u64;
        let sha256 = on_cpu(|| sha256(&body));
        match store.store().put(key, NewObject { body, sha256, mark, period: LockPeriod::default() }, condition).await {
            // Another writer changed it since. Reading it shows whether that healed it.
            Ok(_) => {}
            Err(error) if error.is_lost_race() => {}
            Err(source) => return Err(store.error(source)),
        }
        if listed.content == Content::Repository {
            self.reread_published().await;
        }
        match self.inspect(site, listed).await? {
            ObjectState::Sound { .. } => Ok(size_bytes),
            _ => Err(not_healed("it was damaged again after it was written")),
        }
    }

    /// The current object of a site, and the state that a write must name.
    async fn unsound_state(&self, store: &SiteStore, listed: &Listed) -> Result<CurrentObject, VaultError> {
        match store.store().get(&listed.key, listed.limit_bytes()).await {
            Ok(fetched) => Ok(match self.judge(store.site(), listed, &fetched.body).await? {
                Judgement::Sound => CurrentObject::Sound { size_bytes: fetched.body.len() as u64 },
                Judgement::Newer { .. } => CurrentObject::Newer,
                Judgement::Unsound => CurrentObject::Unsound {
                    legible_epochs: legible_epochs_of(listed, &fetched),
                    version: fetched.version,
                },
            }),
            Err(StoreError::NotFound { .. }) => Ok(CurrentObject::Missing),
            // It is longer than any sound object: its length, read together with its version, is enough.
            Err(StoreError::TooLarge { .. }) => match store.head(&listed.key).await? {
                Some(head) if head.size_bytes > listed.limit_bytes() => {
                    Ok(CurrentObject::Unsound { legible_epochs: 0, version: head.version })
                }
                Some(_) => Err(store.error(StoreError::VersionChanged { key: listed.key.clone() })),
                None => Ok(CurrentObject::Missing),
            },
            Err(source) => Err(store.error(source)),
        }
    }

    /// Whether the sites agree enough to write over an object of one of them; else why not.
    fn may_heal(&self, listed: &Listed, from: Site, copy: &Fetched, legible: usize) -> Result<(), &'static str> {
        let epoch = match &listed.content {
            Content::Sums { epoch, .. } => *epoch,
            Content::Manifest { .. } => SignedManifest::decode(Place { site: from, key: &listed.key }, &copy.body)
                .map_err(|_| "the other site's copy is not sound either")?
                .claimed_epoch(),
            Content::Repository => {
                let ours = self.document();
                let theirs = decode_repository(Place { site: from, key: &listed.key }, &copy.body)
                    .map_err(|_| "the other site's copy is not sound either")?;
                return if theirs.repository_id != ours.repository_id {
                    Err("the other site's copy belongs to another repository")
                } else if theirs.epochs.len() < legible.max(ours.epochs.len()) {
                    Err("the other site's copy has fewer epochs")
                } else {
                    Ok(())
                };
            }
        };
        match self.trust(epoch) {
            Trust::Agreed(_) => Ok(()),
            Trust::Partial(_) => Err(
                "the sites' `repository.json` must agree before anything is replaced, and one of them cannot be read",
            ),
            Trust::Disputed | Trust::Unknown => Err("the sites' `repository.json` disagree about its epoch"),
        }
    }
}

/// The object of a site that is to be healed, as it is now.
enum CurrentObject {
    Sound { size_bytes: u64 },
    Newer,
    Missing,
    Unsound { version: Version, legible_epochs: usize },
}

fn legible_epochs_of(listed: &Listed, fetched: &Fetched) -> usize {
    if listed.content == Content::Repository { legible_epochs(&fetched.body) } else { 0 }
}
