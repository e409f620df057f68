//! What is said of an order that no verb could begin with.

use lifeboat_model::DatabaseName;

use super::{backup, drill, failure_facts, verification};
use crate::error::EngineError;
use crate::lifeboat::Lifeboat;
use crate::refuse::Verb;

/// Tells of it like of the verb's own failures.
pub(crate) async fn of_not_begun(
    lifeboat: &Lifeboat,
    verb: Verb,
    database: Option<&DatabaseName>,
    error: &EngineError,
) -> Result<(), EngineError> {
    let facts = failure_facts(error);
    let telling = match verb {
        Verb::Backup => backup::failed(database, error),
        Verb::Verify => verification::failed(database, None, error.story(), error.hint(), 0, facts),
        Verb::TestRestore => drill::failed(database, None, error.story(), error.hint(), facts),
    };
    telling.tell(lifeboat).await
}
