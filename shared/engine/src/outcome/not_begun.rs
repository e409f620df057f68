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
    is_known: bool,
    error: &EngineError,
) -> Result<(), EngineError> {
    let facts = failure_facts(error);
    let mut telling = match verb {
        Verb::Backup => backup::failed(database, error),
        Verb::Verify => verification::failed(database, None, error.story(), error.hint(), 0, facts),
        Verb::TestRestore => drill::failed(database, None, None, error.story(), error.hint(), facts),
        // It has no end of its own to tell: Lambda counts the failure, and an alarm of CloudWatch's tells it.
        Verb::Health => return Ok(()),
    };
    telling.is_known &= is_known;
    telling.tell(lifeboat).await
}
