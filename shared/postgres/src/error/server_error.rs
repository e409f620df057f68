//! An error that a PostgreSQL server reported.

use std::borrow::Cow;
use std::fmt;

use lifeboat_model::{Advice, Response};

/// A server's error: its SQLSTATE and its primary message, unless that can quote a row. Never DETAIL, HINT or CONTEXT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    sqlstate: String,
    message: Option<String>,
}

/// Classes of SQLSTATE whose primary messages name objects, limits and settings but no values: connection, feature not
/// supported, integrity constraint, transaction state, authorization, catalog, rollback, syntax and access rule,
/// resources, limits, prerequisites, intervention, system. Others (22 data exception, P0 raised by user code) can quote rows.
const CLASSES_WITHOUT_VALUES: [&str; 16] =
    ["08", "0A", "0L", "23", "25", "28", "2B", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"];

impl ServerError {
    pub(crate) fn of(error: &tokio_postgres::Error) -> Option<Self> {
        error.as_db_error().map(|db| Self::new(db.code().code(), db.message()))
    }

    pub(crate) fn new(sqlstate: &str, message: &str) -> Self {
        let safe = sqlstate.get(..2).is_some_and(|class| CLASSES_WITHOUT_VALUES.contains(&class));
        Self { sqlstate: sqlstate.to_owned(), message: safe.then(|| message.to_owned()) }
    }

    /// Five characters, such as `42501`.
    pub fn sqlstate(&self) -> &str {
        &self.sqlstate
    }

    fn class(&self) -> &str {
        self.sqlstate.get(..2).unwrap_or_default()
    }

    /// Class 08, and `57P01` and related codes (administrator, crash, starting up), end the session.
    pub(super) fn ends_the_session(&self) -> bool {
        self.class() == "08" || matches!(self.sqlstate.as_str(), "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
    }

    pub(super) fn advice(&self) -> Advice {
        let passes = matches!(self.class(), "08" | "40" | "53" | "57" | "58") || self.sqlstate == "55P03";
        Advice { response: if passes { Response::Retry } else { Response::Fail }, hint: self.hint() }
    }

    fn hint(&self) -> Cow<'static, str> {
        match self.sqlstate.as_str() {
            "42501" => "grant the missing privilege to the role that connects".into(),
            "53300" => "raise `max_connections` on the server, or lower the number of sessions per backup".into(),
            "53200" => "raise `max_locks_per_transaction` or the server's memory".into(),
            "53100" => "free space on the server's disk, which is full".into(),
            "3D000" => "check the database's name in the secret, or create the database".into(),
            "55P03" => "another session holds the lock: find it in `pg_stat_activity`; the next run tries again".into(),
            "22021" => "rename the object whose name is not UTF-8; the database's encoding is SQL_ASCII".into(),
            "57014" => "look in the server's log for who or which timeout cancelled the statement".into(),
            _ => self.hint_of_class(),
        }
    }

    /// Source of the classes: PostgreSQL documentation, "PostgreSQL Error Codes".
    fn hint_of_class(&self) -> Cow<'static, str> {
        match self.class() {
            "0A" => "use a server of the source's major version or a newer one: this one lacks a feature".into(),
            "23" => "compare the constraint in the message with the source's: the rows violate it".into(),
            "40" => "the server rolled the transaction back; the next run tries again".into(),
            "53" | "57" | "58" => "check the server's memory, disk and log; the next run tries again".into(),
            state => format!("look in the server's log for the whole message of SQLSTATE class `{state}`").into(),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message} (SQLSTATE {})", self.sqlstate),
            None => write!(f, "SQLSTATE {}", self.sqlstate),
        }
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_can_quote_a_row_is_left_out() {
        let quoted = ServerError::new("22P02", "invalid input syntax for type integer: \"Jane Doe\"");
        assert_eq!(quoted.to_string(), "SQLSTATE 22P02");
        let raised = ServerError::new("P0001", "patient Jane Doe is locked");
        assert_eq!(raised.to_string(), "SQLSTATE P0001");
        let named = ServerError::new("42501", "permission denied for table patient");
        assert_eq!(named.to_string(), "permission denied for table patient (SQLSTATE 42501)");
    }
}
