//! The stored progress of the rotation.

use std::collections::BTreeSet;

use lifeboat_model::{BackupId, DatabaseName, Rotation, VerificationReport, VerificationScope};
use lifeboat_vault::States;

use crate::error::EngineError;
use crate::run::Run;

/// The progress of a database's rotation; `None` before its first part.
pub(crate) async fn rotation(run: &Run, database: &DatabaseName) -> Result<Option<Rotation>, EngineError> {
    Ok(States::new(&run.ports.sites).read::<Rotation>(&name(database)).await?.value)
}

/// The backups that are read in shares, one each day.
pub(super) async fn large(run: &Run, scope: &VerificationScope, database: &DatabaseName) -> BTreeSet<BackupId> {
    if !matches!(scope, VerificationScope::Rotation { .. }) {
        return BTreeSet::new();
    }
    match rotation(run, database).await {
        Ok(known) => known.iter().flat_map(Rotation::large).cloned().collect(),
        Err(error) => {
            tracing::warn!(
                error = error.story(),
                "which backups are large is not known; they are read on their own days"
            );
            BTreeSet::new()
        }
    }
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
    if let Err(error) = taken_down.await {
        let error = EngineError::from(error);
        tracing::warn!(error = error.story(), "the progress of the rotation was not stored; this part is read again");
    }
}

fn name(database: &DatabaseName) -> String {
    format!("rotation-{database}")
}
