//! Statements that a server has refused so far.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::server_error::ServerError;
use crate::restore::entry::Entry;

/// A statement that the server has refused so far.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) entry: Arc<Entry>,
    /// The statement; `None` for a whole entry that only `pg_restore` can send.
    pub(super) statement: Option<String>,
    pub(super) why: Refused,
}

/// Why a statement was refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Refused {
    Server(ServerError),
    /// What `pg_restore` said.
    Tool(String),
}

impl Refused {
    pub(super) fn sqlstate(&self) -> &str {
        match self {
            Self::Server(error) => error.sqlstate(),
            Self::Tool(_) => "",
        }
    }

    /// Whether the same statement can succeed once other objects are there. Rows stay as they are, and so do rights.
    fn may_pass_later(&self) -> bool {
        !self.sqlstate().starts_with("23") && self.sqlstate() != "42501"
    }

    /// Whether it names something that is not there. Such a statement ends at once, and not after hours with the rows of a large table.
    fn is_about_names(&self) -> bool {
        ["0A", "3F", "40", "42", "55"].iter().any(|class| self.sqlstate().starts_with(class))
    }
}

impl Outstanding {
    /// Whether it may pass once the grants are made.
    pub(super) fn lacked_a_right(&self) -> bool {
        self.why.sqlstate() == "42501"
    }

    /// Whether it is worth another attempt.
    pub(super) fn may_pass_later(&self) -> bool {
        let reads_rows = self.statement.as_ref().is_some_and(|statement| self.entry.reads_rows(statement));
        // What was stored without a setting stays so.
        let is_setting = self.statement.as_ref().is_some_and(|statement| statement.starts_with("SET default_"));
        !is_setting && self.why.may_pass_later() && (!reads_rows || self.why.is_about_names())
    }
}
