//! The scratch databases of drills: on record before they exist, and until their drop is confirmed.

use lifeboat_model::{ScratchEntry, ScratchList};

use crate::error::{SCRATCH_LEFT, VaultError};
use crate::layout::SCRATCH_KEY;
use crate::register::Register;
use crate::store::sites::Sites;

/// Databases on record at the same time. So many mean that nothing is cleaned up, and no drill may add another one.
pub const MOST_SCRATCH: usize = 100;

/// Longest document that is read, in bytes: each entry has some 400 and its fault, of which JSON may escape each byte as six.
const SCRATCH_LIMIT_BYTES: u64 = 1024 * 1024;

/// Longest fault of an entry, in bytes: a longer one could make a record that nobody can read.
const FAULT_LIMIT_BYTES: usize = 1000;

/// The record of scratch databases, on every site that answers.
#[derive(Clone)]
pub struct ScratchRecords {
    register: Register<ScratchList>,
}

impl ScratchRecords {
    /// The record on these sites.
    ///
    /// # Errors
    /// [`VaultError::BadKey`].
    pub fn new(sites: &Sites) -> Result<Self, VaultError> {
        let key = SCRATCH_KEY.to_owned();
        let register = Register::on_every_site(sites, key, SCRATCH_LIMIT_BYTES, |list: &ScratchList| list.revision)?;
        // Its names may be the only trace of databases with rows: no entry is written over a record that cannot be read.
        Ok(Self { register: register.kept_unreadable() })
    }

    /// Every database on record.
    ///
    /// # Errors
    /// [`VaultError::Store`] when no site serves; [`VaultError::Unreadable`].
    pub async fn list(&self) -> Result<Vec<ScratchEntry>, VaultError> {
        let reading = self.register.read().await?;
        match reading.fault {
            Some(fault) => Err(fault.unreadable(SCRATCH_KEY)),
            None => Ok(reading.document.unwrap_or_default().databases),
        }
    }

    /// Records a database, or replaces its entry. A fault is cut to its first 1,000 bytes.
    ///
    /// # Errors
    /// [`VaultError::TooMany`] when there are [`MOST_SCRATCH`] others; [`VaultError::Store`]; [`VaultError::Contended`]; [`VaultError::Unreadable`].
    pub async fn put(&self, entry: &ScratchEntry) -> Result<(), VaultError> {
        let entry = with_short_fault(entry);
        let changed = self.register.change(|list| {
            let mut databases = list.map(|list| list.databases.clone()).unwrap_or_default();
            let is_full = databases.len() >= MOST_SCRATCH;
            match databases.iter_mut().find(|one| one.name == entry.name) {
                Some(one) => *one = entry.clone(),
                None if is_full => {
                    return Err(VaultError::TooMany { what: SCRATCH_LEFT, limit: MOST_SCRATCH });
                }
                None => databases.push(entry.clone()),
            }
            Ok(Some(following(list, databases)))
        });
        changed.await.map(drop)
    }

    /// Replaces the entry of a database that is on record, as [`ScratchRecords::put`] does. Returns whether there was one: an entry that
    /// was removed meanwhile does not come back.
    ///
    /// # Errors
    /// [`VaultError::Store`]; [`VaultError::Contended`]; [`VaultError::Unreadable`].
    pub async fn update(&self, entry: &ScratchEntry) -> Result<bool, VaultError> {
        let entry = with_short_fault(entry);
        let changed = self.register.change(|list| {
            let mut databases = list.map(|list| list.databases.clone()).unwrap_or_default();
            let Some(one) = databases.iter_mut().find(|one| one.name == entry.name) else { return Ok(None) };
            *one = entry.clone();
            Ok::<_, VaultError>(Some(following(list, databases)))
        });
        Ok(changed.await?.is_some())
    }

    /// Removes databases from the record. Returns the entries that were on it.
    ///
    /// # Errors
    /// [`VaultError::Store`]; [`VaultError::Contended`]; [`VaultError::Unreadable`].
    pub async fn remove(&self, names: &[String]) -> Result<Vec<ScratchEntry>, VaultError> {
        let mut removed = Vec::new();
        let changed = self.register.change(|list| {
            let (out, kept): (Vec<_>, Vec<_>) = list
                .map(|list| list.databases.clone())
                .unwrap_or_default()
                .into_iter()
                .partition(|entry| names.contains(&entry.name));
            removed = out;
            Ok::<_, VaultError>((!removed.is_empty()).then(|| following(list, kept)))
        });
        changed.await?;
        Ok(removed)
    }
}

fn with_short_fault(entry: &ScratchEntry) -> ScratchEntry {
    let mut entry = entry.clone();
    if let Some(fault) = &mut entry.fault {
        fault.truncate(fault.floor_char_boundary(FAULT_LIMIT_BYTES));
    }
    entry
}

fn following(list: Option<&ScratchList>, databases: Vec<ScratchEntry>) -> ScratchList {
    ScratchList { revision: list.map_or(0, |list| list.revision).saturating_add(1), databases }
}
