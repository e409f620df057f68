//! Whether the scratch server is the server of a database that is backed up.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{DatabaseName, Manifest, Site};
use lifeboat_vault::Repository;

use super::request::DrillRequest;
use crate::error::EngineError;
use crate::run::newest_backup;

/// A database without a newer backup is no longer backed up: its server may have become the scratch server.
const BACKED_UP_WITHIN: SignedDuration = SignedDuration::from_hours(31 * 24);

/// The note of a drill whose server cannot be compared. There is nothing else to compare: no backup names its server's address.
const UNKNOWN: &str = "whether the scratch server is the source could not be checked, because a role may not execute \
                       `pg_control_system()` there or on the source";

/// Fails when the scratch server is the server of a database that is backed up, by its system identifier. A server that was copied from
/// the same disk counts as the same. Returns notes for the report.
///
/// # Errors
/// [`EngineError::ScratchIsSource`].
pub(super) async fn require_another_server(
    address: &str,
    identifier: Option<&str>,
    repository: &Repository,
    request: &DrillRequest,
    manifest: &Manifest,
) -> Result<Vec<String>, EngineError> {
    let (Some(scratch), Some(_)) = (identifier, &manifest.source.system_identifier) else {
        return Ok(vec![UNKNOWN.to_owned()]);
    };
    let refusal = |database: &DatabaseName| {
        Err(EngineError::ScratchIsSource { server: address.to_owned(), database: database.clone() })
    };
    let is_scratch = |backup: &Manifest| backup.source.system_identifier.as_deref() == Some(scratch);
    if is_scratch(manifest) {
        return refusal(&request.database);
    }
    // The backup may be old, or another database may be on that server.
    for database in repository.databases(request.site).await? {
        match newest(repository, &database, request.site).await {
            Ok(Some(newest)) if is_scratch(&newest) => return refusal(&database),
            Ok(_) => {}
            // A damaged backup of another database must not keep this one from its drill.
            Err(error) => {
                tracing::warn!(%database, error = error.story(), "whether the scratch server is its server is unknown");
            }
        }
    }
    Ok(Vec::new())
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
