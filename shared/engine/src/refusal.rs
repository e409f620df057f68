//! A request that no verb can begin with: it cannot be understood, or the connection is unavailable.

use std::error::Error;
use std::sync::Arc;

use lifeboat_model::{Act, DatabaseName, IncidentSubject};

use crate::announcement::Announcement;
use crate::error::EngineError;
use crate::run::Run;
use crate::{backup, drill, verify};

/// Announces that the verb of `run` could not begin, and why, like any other failure of the verb. Nothing else in the repository changes.
///
/// A database that is not configured (`is_known` is false) gets no separate incident, because no later backup would resolve it. It shares the
/// incident of requests that name no database.
///
/// # Errors
/// [`EngineError::Unannounced`] when the event or the alert could not be sent.
pub async fn refuse(
    run: &Run,
    database: Option<&DatabaseName>,
    is_known: bool,
    source: Arc<dyn Error + Send + Sync>,
    hint: String,
) -> Result<(), EngineError> {
    let error = EngineError::NotBegun { source, hint };
    let Some(mut announcement) = run.act.and_then(|act| failure(act, database, &error)) else { return Ok(()) };
    if !is_known {
        announcement.about = IncidentSubject::Unnamed;
    }
    announcement.announce(run).await
}

/// The announcement of an act that could not begin; `None` for one whose failure is announced by other means.
pub(crate) fn failure(act: Act, database: Option<&DatabaseName>, error: &EngineError) -> Option<Announcement> {
    match act {
        Act::Backup => Some(backup::failed(database, error)),
        Act::Verify => Some(verify::failed(database, None, error)),
        Act::TestRestore => Some(drill::failed(database, error)),
        // Only a person restores, and sees the answer. A cleanup updates the incident of what is left. A health check that fails is counted by Lambda, and a CloudWatch alarm fires when
        // none has succeeded.
        Act::Restore | Act::Clean | Act::Health | Act::BringOver | Act::Acknowledge | Act::Policy => None,
    }
}
