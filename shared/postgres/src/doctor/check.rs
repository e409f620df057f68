//! One check of the doctor and how it ended.

use crate::error::{PostgresError, PostgresResult as Result};

/// The result of checking one condition.
#[derive(Debug)]
pub struct Check {
    /// The condition, in one to three words.
    pub name: &'static str,
    /// The result.
    pub outcome: Checked,
}

/// How a check ended.
#[derive(Debug)]
pub enum Checked {
    /// The condition holds; the text says what was seen.
    Ok(String),
    /// Backups work, but a person should know.
    Warn {
        /// What was seen.
        seen: String,
        /// What a person can do.
        hint: &'static str,
    },
    /// The condition does not hold.
    Failed(PostgresError),
}

impl Check {
    /// Whether the condition holds.
    pub fn is_ok(&self) -> bool {
        matches!(self.outcome, Checked::Ok(_))
    }

    pub(super) fn new(name: &'static str, outcome: Result<String>) -> Self {
        Self::of(name, outcome.map(Checked::Ok))
    }

    pub(super) fn of(name: &'static str, outcome: Result<Checked>) -> Self {
        Self { name, outcome: outcome.unwrap_or_else(Checked::Failed) }
    }
}
