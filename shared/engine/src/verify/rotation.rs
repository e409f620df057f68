//! The stored progress of the rotation.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lifeboat_model::{BackupId, DatabaseName, Rotation, VerificationReport, VerificationScope};
use lifeboat_vault::States;

use crate::error::EngineError;
use crate::run::Run;

/// The progress of a database's rotation; `None` before its first part.
pub(crate) async fn rotation(run: &Run, database: &DatabaseName) -> Result<Option<Rotation>, EngineError> {
    Ok(States::new(&run.ports.sites).read::<Rotation>(&name(database)).await?.value)
}

/// The backups that are read in shares, one each day.
#[derive(Default)]
pub(super) struct Large {
    pub(super) backups: BTreeSet<BackupId>,
    /// Whether no more are remembered: any other one is read whole on its own day.
    is_full: bool,
}

impl Large {
    /// Whether a backup that adds many chunks is read in shares.
    pub(super) fn are_shared(&self, id: &BackupId) -> bool {
        !self.is_full || self.backups.contains(id)
    }
}

/// The large backups of a database, which matter to a rotation alone.
pub(super) async fn large(run: &Run, scope: &VerificationScope, database: &DatabaseName) -> Large {
    if !matches!(scope, VerificationScope::Rotation { .. }) {
        return Large::default();
    }
    match rotation(run, database).await {
        Ok(known) => known.map_or_else(Large::default, |known| Large {
            backups: known.large().cloned().collect(),
            is_full: known.is_full(),
        }),
        Err(error) => {
            tracing::warn!(
                error = error.story(),
                "which backups are large is not known; they are read on their own days"
            );
            Large::default()
        }
    }
}

/// Since when everything was read, the parts of this report among it; `None` when a part was never read, or that is not known.
pub(super) async fn all_since(run: &Run, report: &VerificationReport) -> Option<Timestamp> {
    if !matches!(report.scope, VerificationScope::Rotation { .. }) || !report.is_complete() {
        return None;
    }
    let (days, at) = (run.policy.rotation_days, report.started_at);
    let known = rotation(run, &report.database).await.inspect_err(|error| {
        tracing::warn!(error = error.story(), "since when everything was read is not known");
    });
    let mut rotation = known.ok()??.over(days, at);
    rotation.read(&report.scope, at);
    rotation.all_since()
}

/// Takes down what was read, and which backups `added` more chunks than are read in one day. When that fails, they are read once more.
pub(super) async fn keep(run: &Run, report: &VerificationReport, added: Vec<(BackupId, u64)>) {
    let (days, name) = (run.policy.rotation_days, name(&report.database));
    let (at, scope) = (report.started_at, Some(report.scope.clone()).filter(|_| report.is_complete()));
    let states = States::new(&run.ports.sites);
    let taken_down = states.change::<Rotation>(&name, move |known| {
        let rotation = known.cloned().unwrap_or_else(|| Rotation::begin(days, at));
        let mut rotation = rotation.over(days, at);
        added.iter().for_each(|(id, chunks)| rotation.remember(id, *chunks));
        scope.iter().for_each(|scope| rotation.read(scope, at));
        (known != Some(&rotation)).then_some(rotation)
    });
    let taken_down = run.deadline.bound(Box::pin(async { Ok(taken_down.await?) })).await;
    if let Err(error) = taken_down {
        tracing::warn!(error = error.story(), "the progress of the rotation was not stored; this part is read again");
    }
}

fn name(database: &DatabaseName) -> String {
    format!("rotation-{database}")
}
