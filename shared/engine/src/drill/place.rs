//! The database that a drill restores into.

use jiff::SignedDuration;
use lifeboat_model::Manifest;
use lifeboat_postgres::{RestoreTarget, ScratchDatabase, ScratchServer};

use super::request::{DrillRequest, DrillTarget};
use crate::error::EngineError;

/// Scratch databases are named `lifeboat_drill_…`. Drills drop no other database.
const SCRATCH_PREFIX: &str = "lifeboat_drill";

/// A scratch database, or a given one that is kept.
pub(super) enum DrillDatabase {
    Scratch(Box<ScratchDatabase>),
    Kept(RestoreTarget),
}

impl DrillDatabase {
    /// Creates the scratch database, after it has dropped those of killed drills. Or checks that the given database is empty.
    pub(super) async fn prepare(request: &DrillRequest, manifest: &Manifest) -> Result<Self, EngineError> {
        match &request.into {
            DrillTarget::Scratch(settings) => {
                let server = ScratchServer::new(settings.clone());
                // A running drill holds a claim on its database, so the age does not matter.
                for name in server.drop_leftovers(SCRATCH_PREFIX, SignedDuration::ZERO).await? {
                    tracing::info!(name, "dropped the scratch database of a drill that was killed");
                }
                let name = ScratchServer::database_name(SCRATCH_PREFIX, fastrand::u32(..));
                Ok(Self::Scratch(Box::new(server.create_database(&name, &manifest.source).await?)))
            }
            DrillTarget::Keep(settings) => {
                let target = RestoreTarget::new(settings.clone());
                target.require_empty().await?;
                Ok(Self::Kept(target))
            }
        }
    }

    pub(super) fn target(&self) -> RestoreTarget {
        match self {
            Self::Scratch(database) => database.target(),
            Self::Kept(target) => target.clone(),
        }
    }

    /// Differences from the source database that do not count as unequal.
    pub(super) fn notes(&self) -> Vec<String> {
        match self {
            Self::Scratch(database) => database.notes().to_vec(),
            Self::Kept(_) => Vec::new(),
        }
    }

    pub(super) async fn drop_scratch(self) {
        if let Self::Scratch(database) = self
            && let Err(error) = database.drop_database().await
        {
            tracing::warn!(%error, "the scratch database could not be dropped; the next drill drops it");
        }
    }
}
