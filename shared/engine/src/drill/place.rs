//! The database that a drill restores into.

use lifeboat_model::{Manifest, ScratchEntry};
use lifeboat_postgres::{DoneMarks, RestoreTarget, ScratchDatabase, ScratchServer};
use lifeboat_vault::Repository;

use super::identity;
use super::request::{DrillRequest, DrillTarget};
use crate::error::EngineError;
use crate::run::Run;
use crate::scratch::{SCRATCH_PREFIX, ScratchRecord, sweep};

/// Where a drill restores to. It outlives the drill's work, however that ends.
#[derive(Default)]
pub(super) struct DrillPlace {
    /// A scratch database that is on record. It may exist.
    scratch: Option<Scratch>,
    /// A database that is kept, with the marks of the restore.
    kept: Option<RestoreTarget>,
    notes: Vec<String>,
}

struct Scratch {
    server: ScratchServer,
    name: String,
    record: ScratchRecord,
    /// Absent until the server has confirmed that it was created.
    database: Option<ScratchDatabase>,
}

impl DrillPlace {
    /// Creates the scratch database, after it has dropped those of killed drills. Or begins in the given
    /// database, which must be empty, or continues there.
    pub(super) async fn prepare(
        &mut self,
        run: &Run,
        request: &DrillRequest,
        repository: &Repository,
        manifest: &Manifest,
    ) -> Result<RestoreTarget, EngineError> {
        let settings = match &request.into {
            DrillTarget::Scratch(settings) => settings,
            DrillTarget::Keep(settings) => {
                let target = RestoreTarget::new(settings.clone());
                let marks = target.begin_marks(&run.id, &manifest.backup_id, DoneMarks::PATIENCE).await?;
                return Ok(self.kept.insert(target.with_marks(marks)).clone());
            }
        };
        let server = ScratchServer::new(settings.clone());
        let (identity, address) = (server.identity().await?, server.address());
        let known =
            identity::Scratch { address: &address, identity: &identity, is_a_clone: run.ports.scratch_is_a_clone };
        self.notes = identity::require_another_server(&known, repository, request, manifest).await?;
        sweep(run, &server, &identity).await?;
        let name = ScratchServer::database_name(SCRATCH_PREFIX, fastrand::u32(..));
        let record = ScratchRecord::new(run, &server, identity, &request.database, &name)?;
        self.create(Scratch { server, name, record, database: None }, manifest).await
    }

    /// Claims the name, records it, and creates the database, in this order: a cleanup takes a name off the record that nobody has claimed.
    async fn create(&mut self, scratch: Scratch, manifest: &Manifest) -> Result<RestoreTarget, EngineError> {
        let claim = scratch.server.claim(&scratch.name).await?;
        // From here on there is something to clean up, also when the next line is cancelled.
        let scratch = self.scratch.insert(scratch);
        scratch.record.store().await?;
        let database = claim.create(&manifest.source).await?;
        self.notes.extend(database.notes().iter().cloned());
        Ok(scratch.database.insert(database).target())
    }

    /// Does `work`, and keeps the scratch database on record meanwhile.
    pub(super) async fn while_on_record<T>(&self, work: impl Future<Output = T>) -> T {
        let Some(scratch) = &self.scratch else { return work.await };
        tokio::select! {
            done = work => done,
            never = scratch.record.renew() => match never {},
        }
    }

    /// The database that is kept.
    pub(super) fn kept(&self) -> Option<RestoreTarget> {
        self.kept.clone()
    }

    /// Differences from the source database that do not count as unequal, and what could not be checked about the server.
    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// Drops the scratch database, and takes it off the record when that is confirmed. Returns what still holds rows.
    pub(super) async fn clean(self, run: &Run) -> Option<ScratchEntry> {
        let Scratch { server, name, record, database } = self.scratch?;
        let dropping = async {
            match database {
                Some(database) => database.drop_database().await?,
                None => server.drop_database(&name).await?,
            }
            record.remove().await;
            Ok(())
        };
        match run.deadline.bound(Box::pin(dropping)).await {
            Ok(()) => None,
            Err(error) => {
                let error = error.story();
                tracing::error!(name, error, "the scratch database could not be dropped, and may hold rows");
                Some(record.leave(error).await)
            }
        }
    }
}
