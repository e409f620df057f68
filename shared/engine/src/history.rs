//! The history: the ledger digested, entry by entry, as far as it has grown since the last look.

use jiff::Timestamp;
use lifeboat_model::History;
use lifeboat_vault::{Repository, State, States};

use crate::error::EngineError;
use crate::expected::HealthRequest;
use crate::lifeboat::Lifeboat;

/// The state's name.
const HISTORY: &str = "history";

/// Entries digested in one look: two weeks of hourly backups with all that follows them. A history that was lost begins there.
const FOLDED_AT_ONCE: u64 = 1000;

/// The history up to the newest entry, in which everything asked for is waited for from now on. What is new in it is stored, so that the
/// next look is short; when somebody else has, it is theirs that stays.
pub(crate) async fn keep_history(
    lifeboat: &Lifeboat,
    repository: Option<&Repository>,
    request: &HealthRequest,
    now: Timestamp,
) -> Result<History, EngineError> {
    let (state, mut history) = read(lifeboat, repository).await?;
    for database in &request.databases {
        request.actions().for_each(|action| history.wait_for(database, action, now));
    }
    if state.value.as_ref() != Some(&history) {
        States::new(&lifeboat.sites).replace(HISTORY, state, &history).await?;
    }
    Ok(history)
}

/// The history up to the newest entry, without storing what is new.
pub(crate) async fn look_at_history(
    lifeboat: &Lifeboat,
    repository: Option<&Repository>,
) -> Result<History, EngineError> {
    Ok(read(lifeboat, repository).await?.1)
}

async fn read(lifeboat: &Lifeboat, repository: Option<&Repository>) -> Result<(State<History>, History), EngineError> {
    let state = States::new(&lifeboat.sites).read::<History>(HISTORY).await?;
    let mut history = state.value.clone().unwrap_or_default();
    // Before the first backup there is no repository: then all that is known is since when somebody has looked.
    if let Some(repository) = repository {
        let entries = lifeboat.ledger(repository).after(history.folded, FOLDED_AT_ONCE).await?;
        entries.iter().for_each(|entry| history.fold(entry));
    }
    Ok((state, history))
}
