//! Whether the scratch server is the server of a database that is backed up.

use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{DatabaseName, Manifest, Site, Source};
use lifeboat_postgres::ServerIdentity;
use lifeboat_vault::Repository;

use super::request::DrillRequest;
use crate::error::EngineError;
use crate::run::newest_backup;

/// A database without a newer backup is no longer backed up: its server may have become the scratch server.
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
    /// They have one system identifier. One of them may have been made from the other's image.
    Alike,
    /// They have one system identifier, and started in the same second.
    Same,
    /// A role may not read a system identifier, or the newest backup cannot be read.
    Unknown,
}

/// Fails when the scratch server is the server of a database that is backed up, by its system identifier. A server that was made from the
/// same image counts as the same, unless a person states what it is. Returns notes for the report.
///
/// # Errors
/// [`EngineError::ScratchIsSource`].
pub(super) async fn require_another_server(
    scratch: &Scratch<'_>,
    repository: &Repository,
    request: &DrillRequest,
    manifest: &Manifest,
) -> Result<Vec<String>, EngineError> {
    if scratch.identity.system_identifier.is_none() {
        return Ok(vec![UNKNOWN.to_owned()]);
    }
    let mut found = vec![(request.database.clone(), likeness(scratch.identity, &manifest.source))];
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
        let is_certain = matches!(likeness, Likeness::Same);
        if is_certain || (matches!(likeness, Likeness::Alike) && !scratch.is_a_clone) {
            let (server, database) = (scratch.address.to_owned(), database.clone());
            return Err(EngineError::ScratchIsSource { server, database, is_certain });
        }
    }
    let unknown = named(&found, |likeness| matches!(likeness, Likeness::Unknown)).map(|names| {
        format!(
            "whether the scratch server is the server of {names} could not be checked, because a role may not execute \
             `pg_control_system()` there, or the newest backup cannot be read"
        )
    });
    let alike = named(&found, |likeness| matches!(likeness, Likeness::Alike)).map(|names| {
        format!(
            "the scratch server has the system identifier of the server of {names}, and was used because \
             `LIFEBOAT_SCRATCH_IS_A_CLONE` states that it was made from the same image"
        )
    });
    Ok(unknown.into_iter().chain(alike).collect())
}

fn likeness(scratch: &ServerIdentity, source: &Source) -> Likeness {
    match (&source.system_identifier, &scratch.system_identifier) {
        (Some(theirs), Some(ours)) if theirs != ours => Likeness::Another,
        (Some(_), Some(_)) if source.server_started_at == Some(scratch.started_at) => Likeness::Same,
        (Some(_), Some(_)) => Likeness::Alike,
        _ => Likeness::Unknown,
    }
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
    let oldest = Timestamp::now().checked_sub(BACKED_UP_WITHIN).unwrap_or(Timestamp::MIN);
    if id.began_at().is_none_or(|began| began < oldest) {
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
