//! The record of scratch databases, and what a search of a server makes of it.

use std::convert::Infallible;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{CleanupReport, DatabaseName, ScratchEntry};
use lifeboat_postgres::{ScratchServer, ServerIdentity, Swept};
use lifeboat_vault::ScratchRecords;

use crate::error::EngineError;
use crate::run::Run;

/// Scratch databases are named `lifeboat_drill_…`. Nothing drops any other database.
pub(crate) const SCRATCH_PREFIX: &str = "lifeboat_drill";

/// A run that does not renew its entry for so long counts as dead. Two renewals may fail before that.
const TIME_TO_LIVE: SignedDuration = SignedDuration::from_mins(10);

/// How often a running drill renews its entry: a handful of times in a function's life.
const RENEW_EVERY: Duration = Duration::from_secs(3 * 60);

/// The entry of one drill's database.
pub(crate) struct ScratchRecord {
    records: ScratchRecords,
    entry: ScratchEntry,
}

impl ScratchRecord {
    /// An entry that is not stored yet.
    pub(crate) fn new(
        run: &Run,
        server: &ScratchServer,
        identity: ServerIdentity,
        database: &DatabaseName,
        name: &str,
    ) -> Result<Self, EngineError> {
        let now = Timestamp::now();
        let entry = ScratchEntry {
            name: name.to_owned(),
            server: server.address(),
            system_identifier: identity.system_identifier,
            database: Some(database.clone()),
            server_started_at: Some(identity.started_at),
            run_id: run.id.clone(),
            created_at: now,
            expires_at: later(now),
            fault: None,
        };
        Ok(Self { records: ScratchRecords::new(&run.ports.sites)?, entry })
    }

    /// Stores the entry. The database may be created after that.
    pub(crate) async fn store(&self) -> Result<(), EngineError> {
        Ok(self.records.put(&self.entry).await?)
    }

    /// Renews the entry for as long as the drill runs.
    pub(crate) async fn renew(&self) -> Infallible {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let entry = ScratchEntry { expires_at: later(Timestamp::now()), ..self.entry.clone() };
            if let Err(error) = self.records.update(&entry).await {
                tracing::warn!(%error, "the entry of the scratch database could not be renewed; a health check may report it");
            }
        }
    }

    /// Removes the entry, after the database was dropped.
    pub(crate) async fn remove(&self) {
        let name = &self.entry.name;
        if let Err(error) = self.records.remove(std::slice::from_ref(name)).await {
            tracing::warn!(%error, name, "a scratch database was dropped, but stays on record until the next cleanup");
        }
    }

    /// Ends the entry with the reason why the database could not be dropped, and returns it. The next health check sees it.
    pub(crate) async fn leave(self, fault: String) -> ScratchEntry {
        let entry = ScratchEntry { expires_at: Timestamp::now(), fault: Some(fault), ..self.entry };
        if let Err(error) = self.records.put(&entry).await {
            tracing::warn!(%error, "the record does not say yet that a scratch database is left");
        }
        entry
    }
}

/// Drops the leftovers of a server, takes off the record what is gone from it, and notes why the others are not. A leftover that was not on
/// record is recorded when it cannot be dropped.
pub(crate) async fn sweep(
    run: &Run,
    server: &ScratchServer,
    identity: &ServerIdentity,
) -> Result<CleanupReport, EngineError> {
    let identifier = identity.system_identifier.as_deref();
    let (records, address) = (ScratchRecords::new(&run.ports.sites)?, server.address());
    let listed = records.list().await.unwrap_or_else(|error| {
        // The names on the server show the leftovers, too.
        tracing::warn!(%error, "the record of scratch databases cannot be read");
        Vec::new()
    });
    let is_here = |entry: &&ScratchEntry| entry.is_on(&address, identifier);
    let names: Vec<String> = listed.iter().filter(is_here).map(|entry| entry.name.clone()).collect();
    let Swept { dropped, refused, mut gone } = server.sweep(SCRATCH_PREFIX, SignedDuration::ZERO, &names).await?;
    for name in &dropped {
        tracing::info!(name, "dropped the scratch database of a drill that was killed");
    }
    // Another server with the same identifier or address may still have it.
    let is_surely_here = |entry: &ScratchEntry| entry.is_surely_on(&address, identifier, identity.started_at);
    gone.retain(|name| listed.iter().any(|entry| entry.name == *name && is_surely_here(entry)));
    // What was found and dropped needs no other proof of where it was, unless it may have been a copy.
    let is_copy = |name: &String| {
        let may_be_copied = |entry: &ScratchEntry| entry.may_have_a_copy_on(&address, identifier, identity.started_at);
        listed.iter().any(|entry| entry.name == *name && may_be_copied(entry))
    };
    let (copies, mut confirmed): (Vec<String>, Vec<String>) = dropped.iter().cloned().partition(is_copy);
    confirmed.extend(gone.iter().cloned());
    if listed.iter().any(|entry| confirmed.contains(&entry.name)) {
        records.remove(&confirmed).await?;
    }
    let is_listed = |name: &String| listed.iter().any(|entry| entry.name == *name);
    let unrecorded = refused.iter().filter(|(name, _)| !is_listed(name));
    let unrecorded = unrecorded.map(|(name, _)| found(run, server, identity, name));
    let is_unconfirmed = |entry: &&ScratchEntry| !confirmed.contains(&entry.name);
    let still: Vec<ScratchEntry> = listed.iter().filter(is_unconfirmed).cloned().chain(unrecorded).collect();
    let now = Timestamp::now();
    let mut left = Vec::new();
    for mut entry in still {
        let is_meant = |(name, _): &&(String, String)| *name == entry.name;
        let reason = match copies.contains(&entry.name) {
            true => {
                Some(format!("a database of this name was dropped on `{address}`, which may be a copy of its server"))
            }
            false => refused.iter().find(is_meant).map(|(_, reason)| reason.clone()),
        };
        // The entry of a running drill is its own.
        if entry.is_left(now) && reason.is_some() && entry.fault != reason {
            entry.fault = reason;
            match is_listed(&entry.name) {
                true => drop(records.update(&entry).await?),
                false => records.put(&entry).await?,
            }
        }
        left.push(entry);
    }
    Ok(CleanupReport { dropped, gone, left })
}

/// The entry of a database that a cleanup found on a server without its being on record.
fn found(run: &Run, server: &ScratchServer, identity: &ServerIdentity, name: &str) -> ScratchEntry {
    let now = Timestamp::now();
    ScratchEntry {
        name: name.to_owned(),
        server: server.address(),
        system_identifier: identity.system_identifier.clone(),
        database: None,
        server_started_at: Some(identity.started_at),
        run_id: run.id.clone(),
        created_at: now,
        expires_at: now,
        fault: None,
    }
}

/// Notes on the record why no server could be cleaned, at each database that is left: the server of the settings may be that of any of them,
/// under another address. Returns whether something that is left has this fault on record.
pub(super) async fn note_fault(run: &Run, fault: &str) -> bool {
    let now = Timestamp::now();
    let noting = async {
        let records = ScratchRecords::new(&run.ports.sites)?;
        let mut is_noted = false;
        for entry in records.list().await?.into_iter().filter(|entry| entry.is_left(now)) {
            if entry.fault.as_deref() != Some(fault) {
                records.update(&ScratchEntry { fault: Some(fault.to_owned()), ..entry }).await?;
            }
            is_noted = true;
        }
        Ok::<_, EngineError>(is_noted)
    };
    noting.await.unwrap_or_else(|error| {
        tracing::warn!(error = error.story(), "the record does not say why the scratch server could not be cleaned");
        false
    })
}

fn later(now: Timestamp) -> Timestamp {
    now.checked_add(TIME_TO_LIVE).unwrap_or(Timestamp::MAX)
}
