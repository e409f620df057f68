//! The history: sums and recent runs from the ledger, updated entry by entry.

use jiff::Timestamp;
use lifeboat_model::History;
use lifeboat_vault::{Repository, State, States};

use super::request::HealthRequest;
use crate::error::EngineError;
use crate::run::Run;

/// The state's name.
const HISTORY: &str = "history";

/// Entries read at one time: two weeks of hourly backups with their verifications and drills. A lost history is rebuilt from so many entries.
const FOLDED_AT_ONCE: u64 = 1000;

/// The history up to the newest entry, in which every scheduled act is expected from now on. It is stored, so that the next check reads
/// only new entries. When another run stored its history first, that one stays.
pub(crate) async fn keep_history(
    run: &Run,
    repository: Option<&Repository>,
    request: &HealthRequest,
    now: Timestamp,
) -> Result<History, EngineError> {
    let (state, mut history) = read(run, repository).await?;
    for database in &request.databases {
        request.scheduled_acts().for_each(|(act, _)| history.wait_for(database, act, now));
        history.wait_for_sites(database, &run.ports.sites.names(), now);
    }
    if state.value.as_ref() != Some(&history) {
        States::new(&run.ports.sites).replace(HISTORY, state, &history).await?;
    }
    Ok(history)
}

/// The history up to the newest entry, without storing what is new.
pub(crate) async fn look_at_history(run: &Run, repository: Option<&Repository>) -> Result<History, EngineError> {
    Ok(read(run, repository).await?.1)
}

async fn read(run: &Run, repository: Option<&Repository>) -> Result<(State<History>, History), EngineError> {
    let state = States::new(&run.ports.sites).read::<History>(HISTORY).await?;
    let mut history = state.value.clone().unwrap_or_default();
    // Before the first backup there is no repository. The history then says only since when each act is expected.
    if let Some(repository) = repository {
        let entries = run.ledger(repository).after(history.folded, FOLDED_AT_ONCE).await?;
        let now = Timestamp::now();
        entries.iter().for_each(|entry| history.fold(entry, now));
    }
    Ok((state, history))
}
