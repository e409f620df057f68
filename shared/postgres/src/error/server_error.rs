//! An error that a PostgreSQL server reported.

use std::borrow::Cow;
use std::fmt;

use lifeboat_model::{Advice, Response};
use serde::{Deserialize, Serialize};

/// A server's error: its SQLSTATE and its primary message, unless that can quote a row. Never DETAIL, HINT or CONTEXT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerError {
    sqlstate: String,
    message: Option<String>,
}

/// Classes of SQLSTATE whose primary messages name objects, limits and settings but no values: connection, feature not
/// supported, integrity constraint, transaction state, authorization, catalog, rollback, syntax and access rule,
/// resources, limits, prerequisites, intervention, system. Others (22 data exception, P0 raised by user code) can quote rows.
const CLASSES_WITHOUT_VALUES: [&str; 16] =
    ["08", "0A", "0L", "23", "25", "28", "2B", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"];

/// Names of conditions whose messages are often withheld. Source: PostgreSQL documentation, "PostgreSQL Error Codes".
const CONDITIONS: [(&str, &str); 14] = [
    ("0A000", "feature not supported"),
    ("22001", "value too long for its type"),
    ("22003", "number out of range"),
    ("22007", "invalid date or time"),
    ("22021", "invalid bytes for the encoding"),
    ("22P02", "invalid text for its type"),
    ("22P03", "invalid binary form for its type"),
    ("42704", "undefined object"),
    ("42723", "duplicate function"),
    ("42725", "ambiguous function"),
    ("42803", "grouping error"),
    ("42883", "undefined function"),
    ("42P01", "undefined table"),
    ("P0001", "exception raised by user code"),
];

impl ServerError {
    pub(crate) fn of(error: &tokio_postgres::Error) -> Option<Self> {
        let db = error.as_db_error()?;
        let sqlstate = db.code().code();
        let is_withheld = is_raised_by_user_code(db.file(), db.where_()) || may_quote_an_input(sqlstate, db.file());
        Some(Self::new(sqlstate, if is_withheld { None } else { Some(db.message()) }))
    }

    /// The error of a statement that reads no row: only a user's code can quote one in its message.
    pub(crate) fn of_definition(error: &tokio_postgres::Error) -> Option<Self> {
        let db = error.as_db_error()?;
        let message = (!is_raised_by_user_code(db.file(), db.where_())).then(|| db.message().to_owned());
        Some(Self { sqlstate: db.code().code().to_owned(), message })
    }

    /// `message` is the server's own; absent when a user's code wrote it.
    pub(crate) fn new(sqlstate: &str, message: Option<&str>) -> Self {
        let safe = sqlstate.get(..2).is_some_and(|class| CLASSES_WITHOUT_VALUES.contains(&class));
        Self { sqlstate: sqlstate.to_owned(), message: message.filter(|_| safe).map(str::to_owned) }
    }

    /// Five characters, such as `42501`.
    pub fn sqlstate(&self) -> &str {
        &self.sqlstate
    }

    /// Whether it says nothing about the statement: a full disk, too little memory, an operator who ends the session. The next one fails, too.
    pub(crate) fn ends_a_restore(&self) -> bool {
        self.ends_the_session() || matches!(self.class(), "53" | "57") || self.sqlstate == "25006"
    }

    fn class(&self) -> &str {
        self.sqlstate.get(..2).unwrap_or_default()
    }

    /// Class 08, and `57P01` and related codes (administrator, crash, starting up), end the session.
    pub(super) fn ends_the_session(&self) -> bool {
        self.class() == "08"
            || matches!(self.sqlstate.as_str(), "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04")
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

/// Classes whose messages name an object that was looked for. An input function looks for objects too, by the text of a row: for the types
/// `regclass`, `regtype` and `regconfig` for example. `tsquery` reports what it cannot read as a syntax error.
const CLASSES_OF_LOOKUPS: [&str; 3] = ["0A", "3F", "42"];

/// Source files of the server whose messages of these classes name what a statement names: those of statements, of their analysis and of
/// rights. Not among them are `utils/adt`, and `namespace.c`, `parse_type.c`, `guc.c` and the scanner, which input functions and calls share.
const FILES_OF_STATEMENTS: [&str; 43] = [
    "aclchk.c",
    "alter.c",
    "analyze.c",
    "be-fsstubs.c",
    "collationcmds.c",
    "comment.c",
    "copy.c",
    "copyto.c",
    "dbcommands.c",
    "dependency.c",
    "event_trigger.c",
    "execMain.c",
    "extension.c",
    "foreigncmds.c",
    "functioncmds.c",
    "heap.c",
    "index.c",
    "indexcmds.c",
    "inv_api.c",
    "lockcmds.c",
    "matview.c",
    "miscinit.c",
    "parse_clause.c",
    "parse_relation.c",
    "parse_target.c",
    "parse_utilcmd.c",
    "pg_constraint.c",
    "pg_shdepend.c",
    "policy.c",
    "postinit.c",
    "publicationcmds.c",
    "relation.c",
    "rls.c",
    "schemacmds.c",
    "sequence.c",
    "statscmds.c",
    "subscriptioncmds.c",
    "table.c",
    "tablecmds.c",
    "tablespace.c",
    "trigger.c",
    "typecmds.c",
    "user.c",
];

fn may_quote_an_input(sqlstate: &str, file: Option<&str>) -> bool {
    sqlstate.get(..2).is_some_and(|class| CLASSES_OF_LOOKUPS.contains(&class))
        && file.is_none_or(|file| !FILES_OF_STATEMENTS.contains(&file))
}

/// Source files of the procedural languages that raise what a user's code tells them: PL/pgSQL, PL/Python, PL/Perl, PL/Tcl.
const RAISING_FILES: [&str; 5] = ["pl_exec.c", "plpy_elog.c", "plpy_plpymodule.c", "plperl.c", "pltcl.c"];

/// Whether a function of a user made the message. It can state any SQLSTATE, and quote a row.
///
/// The server's source file is known in every language of messages. The context of a function that an extension's language runs names a
/// function in most of them.
fn is_raised_by_user_code(file: Option<&str>, context: Option<&str>) -> bool {
    file.is_some_and(|file| RAISING_FILES.contains(&file))
        || context.is_some_and(|context| context.contains("PL/") || context.to_lowercase().contains("function"))
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message} (SQLSTATE {})", self.sqlstate),
            None => match CONDITIONS.iter().find(|(sqlstate, _)| *sqlstate == self.sqlstate) {
                Some((sqlstate, condition)) => write!(f, "{condition} (SQLSTATE {sqlstate})"),
                None => write!(f, "SQLSTATE {}", self.sqlstate),
            },
        }
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_code_is_known_by_its_language_or_by_its_context() {
        let context = Some("SQL function \"checked\" statement 1");
        for (file, context) in [(Some("pl_exec.c"), None), (Some("plperl.c"), None), (Some("tablecmds.c"), context)] {
            assert!(is_raised_by_user_code(file, context), "{file:?} {context:?}");
        }
        let own = Some("COPY t, line 1, column a");
        for (file, context) in [(Some("execMain.c"), own), (Some("tablecmds.c"), None), (None, None)] {
            assert!(!is_raised_by_user_code(file, context), "{file:?} {context:?}");
        }
    }

    #[test]
    fn a_message_that_can_quote_a_row_is_left_out() {
        let quoted = ServerError::new("22P02", Some("invalid input syntax for type integer: \"Jane Doe\""));
        assert_eq!(quoted.to_string(), "invalid text for its type (SQLSTATE 22P02)");
        let raised = ServerError::new("P0001", Some("patient Jane Doe is locked"));
        assert_eq!(raised.to_string(), "exception raised by user code (SQLSTATE P0001)");
        let named = ServerError::new("42501", Some("permission denied for table patient"));
        assert_eq!(named.to_string(), "permission denied for table patient (SQLSTATE 42501)");
    }
}
