//! Objects that a server refused to restore. They are reported, and the restore continues.

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;

/// Refusals that are listed. A role that lacks a privilege may be refused the same thing a thousand times.
const MOST_NAMED: usize = 50;

/// Refusals, a sentence each.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    named: Vec<String>,
    more: u64,
}

impl Refusals {
    /// Runs a statement; a refusal is kept as `what: why`, and any other error is one.
    pub(crate) async fn attempt(&mut self, session: &Session, what: &str, sql: &str) -> Result<()> {
        match session.run(what, sql).await {
            Err(PostgresError::Query { source, .. }) => self.add(format!("{what}: {source}")),
            other => other?,
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, sentence: String) {
        if self.named.len() < MOST_NAMED {
            self.named.push(sentence);
        } else {
            self.more += 1;
        }
    }

    /// One note per listed refusal, and a last one with the number of the others.
    pub(crate) fn notes(mut self) -> Vec<String> {
        if self.more > 0 {
            self.named.push(format!("and {} more were refused", self.more));
        }
        self.named
    }
}
