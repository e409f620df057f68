//! Whether the scratch server is the server of a database that is backed up.

use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{DatabaseName, Manifest, Site, Source};
use lifeboat_postgres::ServerIdentity;
use lifeboat_vault::Repository;

use super::request::DrillRequest;
use crate::error::EngineError;
use crate::run::newest_backup;

/// An older backup does not say which server its database is on: that may have moved, and its former server may be the scratch server.
const BACKED_UP_WITHIN: SignedDuration = SignedDuration::from_hours(31 * 24);

/// Manifests that are read at the same time: enough to hide the store's latency.
const READ_AT_ONCE: usize = 8;

/// The note of a drill on a server that does not tell which it is. There is nothing else to compare: no backup names its server's address.
const UNKNOWN: &str = "whether the scratch server is the source could not be checked, because a role may not execute \
                       `pg_control_system()` there";

/// The scratch server of a drill.
pub(super) struct Scratch<'a> {
    /// `host:port`.
    pub(super) address: &'a str,
    pub(super) identity: &'a ServerIdentity,
    /// A person states that it was made from the image of a source, and so has its system identifier.
    pub(super) is_a_clone: bool,
}

/// What is known about the scratch server and the server of one database.
enum Likeness {
    /// They are different servers.
    Another,
    /// They have one system identifier, and when the backup was taken, the scratch server had already been running since another time: they
    /// were made from one image.
    Image,
    /// They have one system identifier. They may be one server that has restarted since, or have been made from one image.
    Alike,
    /// They have one system identifier, and started in the same second.
    Same,
    /// A role may not read a system identifier, or the newest backup cannot be read.
    Unknown,
}

/// Fails when the scratch server is the server of a database that is backed up, by its system identifier. A server that was made from the
/// same image counts as the same, unless a person states what it is and a backup proves that it is not the source. Returns notes for the
/// report.
///
/// # Errors
/// [`EngineError::ScratchIsSource`], [`EngineError::ScratchMayBeSource`].
pub(super) async fn require_another_server(
    scratch: &Scratch<'_>,
    repository: &Repository,
    request: &DrillRequest,
    manifest: &Manifest,
) -> Result<Vec<String>, EngineError> {
    if scratch.identity.system_identifier.is_none() {
        return Ok(vec![UNKNOWN.to_owned()]);
    }
    let mut found = Vec::new();
    // An older backup of the database cannot prove more than its newest one, but it may know another server of it.
    if is_recent(manifest.started_at) {
        match likeness(scratch.identity, &manifest.source) {
            Likeness::Alike => {}
            likeness => found.push((request.database.clone(), likeness)),
        }
    }
    // The backup may be old, or another database may be on that server.
    let databases = repository.databases(request.site).await?;
    let newest = futures_util::stream::iter(databases)
        .map(|database| async move {
            let likeness = newest_likeness(scratch.identity, repository, &database, request.site).await;
            Ok::<_, EngineError>((database, likeness))
        })
        .buffered(READ_AT_ONCE)
        .try_collect::<Vec<_>>();
    found.extend(newest.await?);
    for (database, likeness) in &found {
        scratch.require_no_source(database, likeness, *database == request.database)?;
    }
    let unknown = named(&found, |likeness| matches!(likeness, Likeness::Unknown)).map(|names| {
        format!(
            "whether the scratch server is the server of {names} could not be checked, because a role may not execute \
             `pg_control_system()` there, or the newest backup cannot be read"
        )
    });
    let alike = named(&found, |likeness| matches!(likeness, Likeness::Image | Likeness::Alike)).map(|names| {
        format!(
            "the scratch server has the system identifier of the server of {names}, and was used because \
             `LIFEBOAT_SCRATCH_IS_A_CLONE` states that it was made from the same image"
        )
    });
    Ok(unknown.into_iter().chain(alike).collect())
}

impl Scratch<'_> {
    fn require_no_source(
        &self,
        database: &DatabaseName,
        likeness: &Likeness,
        is_drilled: bool,
    ) -> Result<(), EngineError> {
        let (server, database) = (self.address.to_owned(), database.clone());
        match likeness {
            Likeness::Another | Likeness::Unknown => Ok(()),
            Likeness::Image if self.is_a_clone => Ok(()),
            // A restart takes the source's start from it, too. Another database may be retired: no new backup of it would ever prove more.
            Likeness::Alike if self.is_a_clone && !is_drilled => Ok(()),
            Likeness::Alike if self.is_a_clone => Err(EngineError::ScratchMayBeSource { server, database }),
            Likeness::Image | Likeness::Alike => {
                Err(EngineError::ScratchIsSource { server, database, is_certain: false })
            }
            Likeness::Same => Err(EngineError::ScratchIsSource { server, database, is_certain: true }),
        }
    }
}

fn likeness(scratch: &ServerIdentity, source: &Source) -> Likeness {
    // Both are by the source's clock, if the scratch server is the source. Starts are known to the second.
    let ran_already = scratch.started_at.as_second() < source.snapshot_at.as_second();
    match (&source.system_identifier, &scratch.system_identifier) {
        (Some(theirs), Some(ours)) if theirs != ours => Likeness::Another,
        (Some(_), Some(_)) => match source.server_started_at {
            Some(started_at) if started_at == scratch.started_at => Likeness::Same,
            Some(_) if ran_already => Likeness::Image,
            _ => Likeness::Alike,
        },
        _ => Likeness::Unknown,
    }
}

/// Whether a backup that began then says which server its database is on.
fn is_recent(began: Timestamp) -> bool {
    let oldest = Timestamp::now().checked_sub(BACKED_UP_WITHIN).unwrap_or(Timestamp::MIN);
    oldest <= began
}

async fn newest_likeness(
    scratch: &ServerIdentity,
    repository: &Repository,
    database: &DatabaseName,
    site: Site,
) -> Likeness {
    match newest(repository, database, site).await {
        Ok(newest) => newest.map_or(Likeness::Another, |newest| likeness(scratch, &newest.source)),
        // A damaged backup of another database must not keep this one from its drill.
        Err(error) => {
            tracing::warn!(%database, error = error.story(), "whether the scratch server is its server is unknown");
            Likeness::Unknown
        }
    }
}

/// The newest backup of a database that is still backed up.
async fn newest(repository: &Repository, database: &DatabaseName, site: Site) -> Result<Option<Manifest>, EngineError> {
    let Some(id) = newest_backup(repository, database, site).await? else { return Ok(None) };
    if !id.began_at().is_some_and(is_recent) {
        return Ok(None);
    }
    Ok(Some(repository.authenticated_manifest(database, &id, site).await?))
}

/// The databases to which this applies, each once; `None` without any.
fn named(found: &[(DatabaseName, Likeness)], applies: impl Fn(&Likeness) -> bool) -> Option<String> {
    let mut names: Vec<String> =
        found.iter().filter(|(_, likeness)| applies(likeness)).map(|(database, _)| format!("`{database}`")).collect();
    names.sort();
    names.dedup();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The source of a backup whose snapshot was taken at second 1000.
    fn source(started_at: Option<i64>) -> Source {
        let json = serde_json::json!({
            "datname": "clinic", "server_version_num": 150_018, "system_identifier": "7", "timeline": 1, "lsn": null,
            "encoding": "UTF8", "collate": "C", "ctype": "C", "snapshot": "1:1:", "snapshot_at": at(1000),
            "server_started_at": started_at.map(at),
        });
        serde_json::from_value(json).unwrap()
    }

    fn refused(started_at: i64, source_started_at: Option<i64>, is_a_clone: bool) -> Option<EngineError> {
        let identity = ServerIdentity { system_identifier: Some("7".to_owned()), started_at: at(started_at) };
        let scratch = Scratch { address: "scratch:5432", identity: &identity, is_a_clone };
        let found = likeness(&identity, &source(source_started_at));
        scratch.require_no_source(&"clinic".parse().unwrap(), &found, true).err()
    }

    #[test]
    fn a_clone_is_another_server_only_when_it_ran_already_as_the_backup_was_taken() {
        assert!(refused(900, Some(500), true).is_none(), "the source ran since another time");
        let restarted = refused(1100, Some(500), true);
        assert!(matches!(restarted, Some(EngineError::ScratchMayBeSource { .. })), "{restarted:?}");
        assert!(restarted.unwrap().hint().contains("new backup"));
        let unknown = refused(900, None, true);
        assert!(matches!(unknown, Some(EngineError::ScratchMayBeSource { .. })), "{unknown:?}");
        let same = refused(500, Some(500), true);
        assert!(matches!(same, Some(EngineError::ScratchIsSource { is_certain: true, .. })), "{same:?}");
        for started_at in [900, 1100] {
            let unstated = refused(started_at, Some(500), false);
            assert!(matches!(unstated, Some(EngineError::ScratchIsSource { is_certain: false, .. })), "{unstated:?}");
        }
    }

    #[test]
    fn an_old_backup_does_not_say_which_server_its_database_is_on() {
        let now = Timestamp::now();
        assert!(is_recent(now - SignedDuration::from_hours(24)));
        assert!(!is_recent(now - BACKED_UP_WITHIN - SignedDuration::from_hours(1)));
    }
}
