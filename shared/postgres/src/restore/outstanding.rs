//! Statements that a server has refused so far.

use std::sync::Arc;

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
#[derive(Debug, Clone)]
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

    /// Whether the same statement can succeed once other objects are there. Rows stay as they are, and so do rights; an index that has
    /// duplicates must not be built again and again.
    pub(super) fn may_pass_later(&self) -> bool {
        !self.sqlstate().starts_with("23") && self.sqlstate() != "42501"
    }
}
