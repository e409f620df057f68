//! Leases: the right to be the only one doing a thing, on the primary site, by compare-and-swap.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::Lease;

use crate::document::{Place, encode};
use crate::error::VaultError;
use crate::layout::{is_plain_key, lease_key};
use crate::repository::Repository;
use crate::sites::SiteStore;
use crate::store::{NewObject, PutCondition, Version};
use crate::store_error::StoreError;

/// Longest lease document that is read, in bytes.
const LEASE_LIMIT_BYTES: u64 = 64 * 1024;

/// Times that a lease is looked at again when it changes while it is being taken.
const ACQUIRE_ATTEMPTS: u32 = 4;

/// Longest time that a lease is given for or believed to last. One that claims more was damaged, or written by a clock that is
/// far ahead: it must not keep every run out for years.
const LONGEST_TTL: SignedDuration = SignedDuration::from_hours(1);

/// Takes, renews and gives back leases.
///
/// Times are the callers' clocks: a lease must outlast the difference between two of them. It keeps runs apart to spare
/// the database and the bill; the repository stays sound without it, because nothing is ever overwritten.
#[derive(Clone)]
pub struct Leases {
    primary: SiteStore,
}

/// A lease that this run holds. Give it back with [`Leases::release`]; a holder that dies just lets it expire.
#[derive(Debug)]
#[must_use = "a lease that is dropped keeps others out until it expires"]
pub struct HeldLease {
    lease: Lease,
    version: Version,
}

impl HeldLease {
    /// As it is stored.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }
}

impl Repository {
    /// The leases of this repository.
    ///
    /// # Errors
    /// [`VaultError::NoSite`] without a primary site.
    pub fn leases(&self) -> Result<Leases, VaultError> {
        Ok(Leases { primary: self.sites.primary()?.clone() })
    }
}

impl Leases {
    /// Takes the lease `name` for `holder` until `now + ttl`, an hour at most, unless somebody else has it. `holder` is the run's
    /// own id: whoever comes with the same one is taken for the same run. A lease that cannot be read, or that claims to last
    /// longer than any, is damaged and has no other copy: it is taken over, because the repository is sound without it and
    /// nobody else would ever put it right.
    ///
    /// # Errors
    /// [`VaultError::LeaseHeld`] says by whom and until when.
    pub async fn acquire(
        &self,
        name: &str,
        holder: &str,
        ttl: SignedDuration,
        now: Timestamp,
    ) -> Result<HeldLease, VaultError> {
        let key = checked_key(name)?;
        for _ in 0..ACQUIRE_ATTEMPTS {
            let condition = match self.find(&key).await? {
                None => PutCondition::CreateOnly,
                Some((Ok(lease), _)) if is_believed(&lease, now) && lease.holder != holder => {
                    let Lease { name, holder, expires_at, .. } = lease;
                    return Err(VaultError::LeaseHeld { name, holder, expires_at });
                }
                Some((lease, version)) => {
                    if let Err(error) = lease {
                        tracing::warn!(key, %error, "the lease cannot be read; it is taken over");
                    }
                    PutCondition::IfMatch(version)
                }
            };
            let lease = Lease {
                name: name.to_owned(),
                holder: holder.to_owned(),
                acquired_at: now,
                expires_at: later(now, ttl),
                released: false,
            };
            if let Some(version) = self.swap(&key, &lease, condition).await? {
                return Ok(HeldLease { lease, version });
            }
        }
        Err(VaultError::Contended { key, attempts: ACQUIRE_ATTEMPTS })
    }

    /// Prolongs a lease until `now + ttl`. Also one that has expired, as long as nobody has taken it.
    ///
    /// # Errors
    /// [`VaultError::LeaseLost`] when somebody has: stop at once.
    pub async fn renew(&self, held: &mut HeldLease, ttl: SignedDuration, now: Timestamp) -> Result<(), VaultError> {
        let lease = Lease { expires_at: later(now, ttl), ..held.lease.clone() };
        held.version = self.swap_held(held, &lease).await?;
        held.lease = lease;
        Ok(())
    }

    /// Gives a lease back before its time.
    ///
    /// # Errors
    /// [`VaultError::LeaseLost`] when somebody else has taken it meanwhile: there is nothing to give back.
    pub async fn release(&self, held: HeldLease, now: Timestamp) -> Result<(), VaultError> {
        let expires_at = held.lease.expires_at.min(now);
        let lease = Lease { released: true, expires_at, ..held.lease.clone() };
        self.swap_held(&held, &lease).await.map(drop)
    }

    /// The lease as it is stored, held or not.
    ///
    /// # Errors
    /// [`VaultError::Store`], [`VaultError::Document`].
    pub async fn look(&self, name: &str) -> Result<Option<Lease>, VaultError> {
        Ok(self.read(&checked_key(name)?).await?.map(|(lease, _)| lease))
    }

    async fn swap_held(&self, held: &HeldLease, lease: &Lease) -> Result<Version, VaultError> {
        let key = checked_key(&lease.name)?;
        if let Some(version) = self.swap(&key, lease, PutCondition::IfMatch(held.version.clone())).await? {
            return Ok(version);
        }
        // The answer to our own write may have been lost and the write repeated: then it is ours all the same.
        match self.read(&key).await? {
            Some((found, version)) if found == *lease => Ok(version),
            _ => Err(VaultError::LeaseLost { name: lease.name.clone(), holder: lease.holder.clone() }),
        }
    }

    /// `None` when somebody else was faster.
    async fn swap(&self, key: &str, lease: &Lease, condition: PutCondition) -> Result<Option<Version>, VaultError> {
        let object = NewObject::new(encode(key, lease)?);
        match self.primary.store().put(key, object, condition).await {
            Ok(version) => Ok(Some(version)),
            Err(StoreError::AlreadyExists { .. } | StoreError::VersionChanged { .. } | StoreError::NotFound { .. }) => {
                Ok(None)
            }
            Err(source) => Err(self.primary.error(source)),
        }
    }

    async fn read(&self, key: &str) -> Result<Option<(Lease, Version)>, VaultError> {
        self.find(key).await?.map(|(lease, version)| Ok((lease?, version))).transpose()
    }

    /// The lease, or why it is none, and the version of what is there.
    async fn find(&self, key: &str) -> Result<Option<(Result<Lease, VaultError>, Version)>, VaultError> {
        let Some(fetched) = self.primary.find(key, LEASE_LIMIT_BYTES).await? else { return Ok(None) };
        let lease = Place { site: self.primary.site(), key }.parse(&fetched.body);
        Ok(Some((lease, fetched.version)))
    }
}

fn is_believed(lease: &Lease, now: Timestamp) -> bool {
    lease.is_held(now) && lease.expires_at <= later(now, LONGEST_TTL)
}

fn checked_key(name: &str) -> Result<String, VaultError> {
    let key = lease_key(name);
    if is_plain_key(&key) && !name.contains('/') {
        Ok(key)
    } else {
        Err(VaultError::BadKey { key, purpose: "a lease" })
    }
}

/// A lease beyond the end of time ends at the end of time, and none lasts longer than any may.
fn later(now: Timestamp, ttl: SignedDuration) -> Timestamp {
    now.checked_add(ttl.min(LONGEST_TTL)).unwrap_or(Timestamp::MAX)
}
