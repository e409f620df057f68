//! `repository.json` as each site has it: read, compared, and brought to the same on both.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lifeboat_model::{EpochCause, EpochNumber, REPOSITORY_FORMAT, RepositoryDocument, Site};

use crate::chunks::message::Keys;
use crate::error::VaultError;
use crate::layout::REPOSITORY_KEY;
use crate::repository::document::{Place, decode_repository, encode_repository};
use crate::repository::epoch_keys::{is_probe_of, new_epoch, require_key_of_each};
use crate::repository::published_keys::PublishedKeys;
use crate::repository::randomness::random;
use crate::store::port::{DOCUMENT_LIMIT_BYTES, NewObject, PutCondition, Version};
use crate::store::sites::{SiteStore, Sites};

/// Times that a change of `repository.json` is tried when others change it too. It changes once in an epoch.
pub(super) const CHANGE_ATTEMPTS: u32 = 8;

/// A document as one site has it.
pub(super) struct RepositoryCopy {
    pub(super) document: RepositoryDocument,
    pub(super) version: Version,
}

async fn read(store: &SiteStore) -> Result<Option<RepositoryCopy>, VaultError> {
    let Some(fetched) = store.find(REPOSITORY_KEY, DOCUMENT_LIMIT_BYTES).await? else { return Ok(None) };
    let document = decode_repository(Place { site: store.site(), key: REPOSITORY_KEY }, &fetched.body)?;
    Ok(Some(RepositoryCopy { document, version: fetched.version }))
}

/// `repository.json` as each site answered, primary first.
pub(super) struct Copies {
    read: Vec<Result<Option<RepositoryDocument>, VaultError>>,
    aside: Option<Site>,
}

pub(super) async fn read_each(sites: &Sites) -> Copies {
    let mut read = Vec::new();
    for store in sites.iter() {
        read.push(self::read(store).await.map(|copy| copy.map(|copy| copy.document)));
    }
    Copies { read, aside: sites.aside().map(|_| Site::Offsite) }
}

/// The keys that the sites publish once all that serve have the same document.
pub(super) fn agreed(sites: &Sites, document: &RepositoryDocument) -> PublishedKeys {
    let aside = sites.aside().map(|_| None);
    PublishedKeys::new(sites.iter().map(|_| Some(document)).chain(aside))
}

impl Copies {
    pub(super) fn published(&self) -> PublishedKeys {
        let read = self.read.iter().map(|copy| copy.as_ref().ok().and_then(Option::as_ref));
        PublishedKeys::new(read.chain(self.aside.map(|_| None)))
    }

    /// The newest document that any site could give; the first error when none could and not all are empty. A site whose document claims
    /// a newer format could give none: anybody who may write to one bucket can claim that there, and a verification reports it.
    pub(super) fn newest(self) -> Result<Option<RepositoryDocument>, VaultError> {
        self.pick(newer)
    }

    /// The same, when it may contradict the other site's.
    pub(super) fn longest(self) -> Result<Option<RepositoryDocument>, VaultError> {
        self.pick(longer)
    }

    fn pick(
        self,
        choose: fn(Option<RepositoryDocument>, RepositoryDocument) -> Result<RepositoryDocument, VaultError>,
    ) -> Result<Option<RepositoryDocument>, VaultError> {
        let mut picked: Option<RepositoryDocument> = None;
        let mut failure = None;
        for copy in self.read {
            match copy {
                Ok(None) => {}
                Ok(Some(document)) => picked = Some(choose(picked, document)?),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match (picked, failure) {
            (None, Some(error)) => Err(error),
            (picked, _) => Ok(picked),
        }
    }
}

/// The one of two documents that has more epochs. The other must be its beginning: an epoch that one site alone knows is
/// the only way to everything stored in it.
fn newer(primary: Option<RepositoryDocument>, offsite: RepositoryDocument) -> Result<RepositoryDocument, VaultError> {
    let of_one = primary.iter().filter(|primary| primary.repository_id == offsite.repository_id);
    let mut pairs = of_one.flat_map(|primary| primary.epochs.iter().zip(&offsite.epochs));
    if let Some((disputed, _)) = pairs.find(|(ours, theirs)| !ours.is_same(theirs)) {
        return Err(VaultError::Disputed { epoch: disputed.number });
    }
    longer(primary, offsite)
}

/// The one of two documents of the same repository that has more epochs, with what only the other one says of them.
fn longer(primary: Option<RepositoryDocument>, offsite: RepositoryDocument) -> Result<RepositoryDocument, VaultError> {
    let Some(primary) = primary else { return Ok(offsite) };
    if primary.repository_id != offsite.repository_id {
        return Err(VaultError::TwoRepositories { primary: primary.repository_id, offsite: offsite.repository_id });
    }
    let is_primary = primary.epochs.len() >= offsite.epochs.len();
    let (mut longer, other) = if is_primary { (primary, offsite) } else { (offsite, primary) };
    for (epoch, others) in longer.epochs.iter_mut().zip(&other.epochs).filter(|(ours, theirs)| ours.is_same(theirs)) {
        epoch.cause = epoch.cause.or(others.cause);
        let is_probe = |probe: &&String| is_probe_of(&longer.repository_id, epoch, probe);
        let number = epoch.number;
        let others = other.probes.get(&number).filter(is_probe);
        if let (None, Some(probe)) = (longer.probes.get(&number).filter(is_probe), others) {
            longer.probes.insert(number, probe.clone());
        }
    }
    Ok(longer)
}

/// Makes the document on the primary, unless another creator was faster. Its epoch gets a probe before it is written to, if one can be
/// sealed.
pub(super) async fn create(sites: &Sites, keys: &Keys, now: Timestamp) -> Result<(), VaultError> {
    require_key_of_each(sites, keys)?;
    let repository_id = hex::encode(random::<16>()?);
    let number = EpochNumber(1);
    let first = new_epoch(keys, &repository_id, number, EpochCause::First, now).await?;
    let document = RepositoryDocument {
        format: REPOSITORY_FORMAT,
        repository_id,
        created_at: now,
        epochs: vec![first],
        probes: BTreeMap::new(),
    };
    bring_up_to_date(sites.primary()?, None, &document).await.map(drop)
}

/// Gives each site the newest document that any has; `None` when there is none. Returns the primary's copy.
pub(super) async fn converge(sites: &Sites) -> Result<Option<RepositoryCopy>, VaultError> {
    let primary = sites.primary()?;
    for _ in 0..CHANGE_ATTEMPTS {
        let on_primary = read(primary).await?;
        let on_offsite = match (&on_primary, sites.offsite()) {
            (Some(_), Some(offsite)) => sites.or_aside(read(offsite).await)?.flatten(),
            (Some(_), None) => None,
            // It may hold the repository that the primary has lost: also when it is set aside, it must be asked.
            (None, _) => match sites.get(Site::Offsite) {
                Ok(offsite) => read(offsite).await?,
                Err(_) => None,
            },
        };
        let document = match (&on_primary, &on_offsite) {
            (None, None) => return Ok(None),
            (Some(copy), None) | (None, Some(copy)) => copy.document.clone(),
            (Some(ours), Some(theirs)) => newer(Some(ours.document.clone()), theirs.document.clone())?,
        };
        let Some(version) = bring_up_to_date(primary, on_primary, &document).await? else { continue };
        let mirrored = match sites.offsite() {
            Some(offsite) => {
                let done = bring_up_to_date(offsite, on_offsite, &document).await;
                sites.or_aside(done)?.is_none_or(|version| version.is_some())
            }
            None => true,
        };
        if mirrored {
            return Ok(Some(RepositoryCopy { document, version }));
        }
    }
    Err(VaultError::Contended { key: REPOSITORY_KEY.to_owned(), attempts: CHANGE_ATTEMPTS })
}

/// Replaces what a site was seen to have by `document`; `None` when somebody else was faster.
async fn bring_up_to_date(
    store: &SiteStore,
    seen: Option<RepositoryCopy>,
    document: &RepositoryDocument,
) -> Result<Option<Version>, VaultError> {
    let condition = match seen {
        Some(copy) if copy.document == *document => return Ok(Some(copy.version)),
        Some(copy) => PutCondition::IfMatch(copy.version),
        None => PutCondition::CreateOnly,
    };
    let object = NewObject::new(encode_repository(REPOSITORY_KEY, document)?);
    match store.store().put(REPOSITORY_KEY, object, condition).await {
        Ok(version) => Ok(Some(version)),
        Err(error) if error.is_lost_race() => Ok(None),
        Err(source) => Err(store.error(source)),
    }
}
