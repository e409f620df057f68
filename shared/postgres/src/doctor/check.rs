//! One check of the doctor and how it ended.

use crate::error::{PostgresError, Result};

/// One thing that was looked at.
#[derive(Debug)]
pub struct Check {
    /// What, in a word or two.
    pub name: &'static str,
    /// How it is.
    pub outcome: Checked,
}

/// How a check ended.
#[derive(Debug)]
pub enum Checked {
    /// As it should be; the text says what was seen.
    Ok(String),
    /// Backups work, but somebody should know.
    Warn {
        /// What was seen.
        seen: String,
        /// What a person can do about it.
        hint: &'static str,
    },
    /// Not as it should be.
    Failed(PostgresError),
}

impl Check {
    /// Whether it is as it should be.
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
