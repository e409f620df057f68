//! Leases: the right to be the only one doing a thing, on the primary site, by compare-and-swap.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::Lease;

use crate::error::VaultError;
use crate::layout::{is_plain_key, lease_key};
use crate::register::{Changed, Register};
use crate::repository::Repository;
use crate::store::port::Version;
use crate::store::sites::Sites;

/// Longest lease document that is read, in bytes.
const LEASE_LIMIT_BYTES: u64 = 64 * 1024;

/// Longest time that a lease is given for or believed to last. One that claims more was damaged, or written by a clock that is
/// far ahead: it must not keep every run out for years.
const LONGEST_TTL: SignedDuration = SignedDuration::from_hours(1);

/// Takes, renews and gives back leases.
///
/// Times are the callers' clocks: a lease must outlast the difference between two of them. It keeps runs apart to spare
/// the database and the bill; the repository stays sound without it, because nothing is ever overwritten.
#[derive(Clone)]
pub struct Leases {
    sites: Sites,
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
        self.sites.primary()?;
        Ok(Leases { sites: self.sites.clone() })
    }
}

impl Leases {
    /// Takes the lease `name` for `holder` until `now + ttl`, an hour at most, unless somebody else has it. `holder` is the run's
    /// own id: the same id is taken for the same run.
    ///
    /// A lease that cannot be read, or that claims to last longer than any, is damaged and has no other copy. It is taken over: the
    /// repository is sound without it, and nobody else would ever put it right. One of a newer format is believed by the same fields and
    /// for no longer.
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
        let ours = Lease {
            name: name.to_owned(),
            holder: holder.to_owned(),
            acquired_at: now,
            expires_at: later(now, ttl),
            released: false,
        };
        let register = self.register(name)?;
        let taken = register.change(|lease| match lease {
            Some(lease) if is_believed(lease, now) && lease.holder != holder => Err(held_by(lease)),
            _ => Ok(Some(ours.clone())),
        });
        match taken.await? {
            Some(Changed { after: lease, version, .. }) => Ok(HeldLease { lease, version }),
            // The change above always makes a lease.
            None => Err(held_by(&ours)),
        }
    }

    /// Prolongs a lease until `now + ttl`. Also one that has expired, as long as nobody has taken it.
    ///
    /// # Errors
    /// [`VaultError::LeaseLost`] when somebody has: stop at once.
    pub async fn renew(&self, held: &mut HeldLease, ttl: SignedDuration, now: Timestamp) -> Result<(), VaultError> {
        let lease = Lease { expires_at: later(now, ttl), ..held.lease.clone() };
        held.version = self.replace(held, &lease).await?;
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
        self.replace(&held, &lease).await.map(drop)
    }

    /// The lease as it is stored, held or not.
    ///
    /// # Errors
    /// [`VaultError::Store`], [`VaultError::Document`].
    pub async fn look(&self, name: &str) -> Result<Option<Lease>, VaultError> {
        let reading = self.register(name)?.read().await?;
        reading.fault.map_or(Ok(reading.document), Err)
    }

    async fn replace(&self, held: &HeldLease, lease: &Lease) -> Result<Version, VaultError> {
        let replaced = self.register(&lease.name)?.replace_ours(held.version.clone(), lease).await?;
        replaced.ok_or_else(|| VaultError::LeaseLost { name: lease.name.clone(), holder: lease.holder.clone() })
    }

    fn register(&self, name: &str) -> Result<Register<Lease>, VaultError> {
        let register = Register::on_primary(&self.sites, checked_key(name)?, LEASE_LIMIT_BYTES)?;
        // A claim of a newer format must not lock a name for longer than a lease may.
        Ok(register.of_any_format())
    }
}

fn held_by(lease: &Lease) -> VaultError {
    let Lease { name, holder, expires_at, .. } = lease.clone();
    VaultError::LeaseHeld { name, holder, expires_at }
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
