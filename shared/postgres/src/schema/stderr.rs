//! The standard error of a client program, without anything that can quote a row.
//!
//! `pg_restore` and `pg_dump` pass on the server's messages, which can quote users' data: a value out of range, an index
//! expression that raises an error. The messages have no SQLSTATE, so safe ones are recognized by their wording.

/// Bytes kept of one line. A statement or a user's code can make lines of any length.
const MOST_LINE_BYTES: usize = 4 * 1024;

/// Error lines that are kept. The first names the cause, and a log entry has room for these.
const MOST_ERRORS: usize = 8;

/// Replaces a server's message that is not among [`ABOUT_DEFINITIONS`].
pub(crate) const WITHHELD: &str = "message withheld because it may quote a row; the server's log has it";

/// The server's messages about definitions, privileges and limits, as PostgreSQL words them (`*` is any text). They name
/// objects and settings, never values. A message from a user's code can have this wording, too: its [`CONTEXT`] tells.
const ABOUT_DEFINITIONS: [&str; 54] = [
    "could not create unique index \"*\"",
    "check constraint \"*\" of relation \"*\" is violated by some row",
    "column \"*\" of relation \"*\" contains null values",
    "insert or update on table \"*\" violates foreign key constraint \"*\"",
    "partition constraint of relation \"*\" is violated by some row",
    "could not create exclusion constraint \"*\"",
    "permission denied for *",
    "permission denied to *",
    "permission denied: *",
    "must be owner of *",
    "must be member of role \"*\"",
    "must be able to SET ROLE \"*\"",
    "must be superuser to *",
    "must be a superuser to *",
    "must have *privilege*",
    "extension \"*\" is not available",
    "extension \"*\" has no installation script *",
    "extension \"*\" must be installed in schema \"*\"",
    "required extension \"*\" is not installed",
    "could not open extension control file \"*\"*",
    "could not access file \"*\"*",
    "could not load library \"*\"*",
    "* \"*\" does not exist",
    "* \"*\" already exists",
    "* \"*\" does not exist for *",
    "* \"*\" for relation \"*\" already exists",
    "column \"*\" of relation \"*\" does not exist",
    "* does not exist: *",
    "function * does not exist",
    "aggregate * does not exist",
    "operator does not exist: *",
    "function \"*\" already exists with same argument types",
    "security label provider \"*\" is not loaded",
    "collation \"*\" for encoding \"*\" does not exist",
    "type \"*\" is only a shell",
    "no schema has been selected to create in",
    "unrecognized *parameter \"*\"",
    "unrecognized configuration parameter \"*\"",
    "query would be affected by row-level security policy for table \"*\"",
    "cannot execute * in a read-only transaction",
    "canceling statement due to *",
    "terminating connection due to *",
    "deadlock detected",
    "out of shared memory",
    "could not extend file \"*\": No space left on device",
    "password authentication failed for user \"*\"",
    "no pg_hba.conf entry for host *",
    "sorry, too many clients already",
    "too many connections for *",
    "unsupported startup parameter*",
    "remaining connection slots are reserved for *",
    "the database system is *",
    "invalid snapshot identifier: \"*\"",
    "could not import the requested snapshot",
];

/// Messages of which only the beginning is kept. The rest quotes a statement, which a function may have built from a row.
const KEPT_UP_TO_HERE: [&str; 2] = ["syntax error", "unterminated quoted string"];

/// The beginning of the line that says where the server was: in a user's function, or in a statement that one executed.
const CONTEXT: &str = "CONTEXT:  ";

/// The only context that says nothing about whose message it is.
const PARALLEL_WORKER: &str = "parallel worker";

/// Separates the severity, in any language, from the message in libpq's output.
const SEVERITY_END: &str = ":  ";

/// The standard error of one run of a program, in constant memory.
///
/// Kept are the lines in which the program names an error and the archive's entry it belongs to, and the server's message as
/// far as it cannot quote a row. Nothing after that message is kept: DETAIL, CONTEXT, the command, and further lines of a
/// message from a user's code. A CONTEXT anywhere after it takes the message back.
#[derive(Debug)]
pub(crate) struct StandardError {
    tool: &'static str,
    line: Vec<u8>,
    /// The newest `from TOC entry 215; 1259 16390 TABLE t owner`: the one that is being restored.
    entry: Option<String>,
    kept: Vec<String>,
    /// The severity and the server's message. Nothing is kept after it.
    message: Option<(String, String)>,
}

impl StandardError {
    pub(crate) fn of(tool: &'static str) -> Self {
        Self { tool, line: Vec::new(), entry: None, kept: Vec::new(), message: None }
    }

    /// Takes the next bytes that the program wrote.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MOST_LINE_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(part.get(..part.len().min(room)).unwrap_or_default());
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if let (Some((_, message)), Some(context)) = (&mut self.message, line.trim_end().strip_prefix(CONTEXT))
            && context != PARALLEL_WORKER
        {
            WITHHELD.clone_into(message);
        }
        let Some(said) = line.trim_end().strip_prefix(self.tool).and_then(|rest| rest.strip_prefix(": ")) else {
            return;
        };
        if said.starts_with("from TOC entry ") {
            self.entry = Some(said.to_owned());
        } else if (said.starts_with("error: ") || said.starts_with("fatal: "))
            && self.message.is_none()
            && self.kept.len() < MOST_ERRORS
        {
            self.kept.extend(self.entry.take());
            match said.split_once(SEVERITY_END) {
                Some((severity, message)) => {
                    self.message = Some((severity.to_owned(), presentable(message).to_owned()));
                }
                None => self.kept.push(said.to_owned()),
            }
        }
    }

    /// The kept lines, with `password` masked.
    pub(crate) fn finish(mut self, password: Option<&str>) -> String {
        self.end_line();
        self.kept.extend(self.message.take().map(|(severity, message)| format!("{severity}: {message}")));
        let kept = self.kept.join("; ");
        match password.filter(|password| !password.is_empty()) {
            Some(password) => kept.replace(password, "***"),
            None => kept,
        }
    }
}

fn presentable(message: &str) -> &str {
    if let Some(beginning) = KEPT_UP_TO_HERE.iter().find(|beginning| message.starts_with(**beginning)) {
        return beginning;
    }
    if ABOUT_DEFINITIONS.iter().any(|pattern| matches(pattern, message)) { message } else { WITHHELD }
}

/// Whether `text` is `pattern` with some text for each `*`.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut ends_open = false;
    let mut last = "";
    for piece in pieces {
        // The shortest text for each: if any choice matches, this one does, but for the end.
        match rest.find(piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
        (last, ends_open) = (piece, piece.is_empty());
    }
    rest.is_empty() || ends_open || (!last.is_empty() && rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrub(stderr: &str, tool: &'static str, password: Option<&str>) -> String {
        let mut said = StandardError::of(tool);
        // In pieces as a pipe may give them.
        stderr.as_bytes().chunks(7).for_each(|piece| said.take(piece));
        said.finish(password)
    }

    #[test]
    fn a_message_that_can_quote_a_row_is_withheld_whatever_its_wording_and_language() {
        for message in [
            "ERROR:  value \"5551234567\" is out of range for type integer",
            "ERROR:  invalid input syntax for type integer: \"5551234567\"",
            "ERROR:  patient 5551234567 is locked",
            "ERROR:  relation 5551234567 is full",
            "FEHLER:  Wert »5551234567« ist außerhalb des gültigen Bereichs für Typ integer",
            "ERROR:  syntax error at or near \"5551234567\"",
            "WARNING:  5551234567",
        ] {
            for said in [format!("error: could not execute query: {message}"), format!("error: {message}")] {
                let stderr = format!(
                    "pg_restore: from TOC entry 3260; 1259 16411 INDEX by_number owner\npg_restore: {said}\n\
                     DETAIL:  Key (a)=(5551234567)\nCommand was: SELECT 5551234567\n5551234567\n\
                     pg_restore: detail: Query was: SELECT 5551234567\npg_restore: hint: 5551234567\npg_restore: error: 5551234567"
                );
                let kept = scrub(&stderr, "pg_restore", None);
                assert!(!kept.contains("555"), "{kept}");
                assert!(kept.contains("TOC entry 3260; 1259 16411 INDEX by_number owner"), "{kept}");
                assert!(kept.contains("the server's log") || kept.ends_with("syntax error"), "{kept}");
            }
        }
    }

    #[test]
    fn a_message_about_a_definition_is_kept_whole() {
        for message in [
            "could not create unique index \"patient_pkey\"",
            "extension \"postgis\" is not available",
            "could not open extension control file \"/usr/share/postgresql/15/extension/x.control\": No such file or directory",
            "role \"clinic owner\" does not exist",
            "schema \"auth\" does not exist",
            "relation \"public.t\" already exists",
            "function public.f(integer, text) does not exist",
            "type \"public.mood\" does not exist",
            "operator does not exist: public.point = public.point",
            "permission denied for schema public",
            "must be owner of table t",
            "unrecognized configuration parameter \"transaction_timeout\"",
            "language \"plperlu\" does not exist",
            "collation \"pg_catalog.en_US.utf8\" for encoding \"UTF8\" does not exist",
            "check constraint \"c\" of relation \"t\" is violated by some row",
        ] {
            let kept = scrub(&format!("pg_dump: error: query failed: ERROR:  {message}\n"), "pg_dump", None);
            assert_eq!(kept, format!("error: query failed: ERROR: {message}"));
        }
    }

    #[test]
    fn a_message_about_a_definition_that_a_function_made_is_withheld() {
        let message = "pg_restore: error: could not execute query: ERROR:  patient \"5551234567\" does not exist\n";
        let kept = |after: &str| scrub(&format!("{message}{after}"), "pg_restore", None);
        for after in [
            "CONTEXT:  PL/pgSQL function f(text) line 1 at RAISE\nCommand was: SELECT 1\n",
            "DETAIL:  x\nHINT:  y\nCONTEXT:  SQL statement \"SELECT 5551234567\"\nPL/pgSQL function f(text)\n",
            "pg_restore: error: no\nCommand was: SELECT 1\nCONTEXT:  SQL function \"f\" statement 1",
        ] {
            assert!(kept(after).ends_with(WITHHELD), "{}", kept(after));
        }
        for after in ["Command was: CREATE FUNCTION f()\n", "CONTEXT:  parallel worker\n"] {
            assert!(kept(after).ends_with("does not exist"), "{}", kept(after));
        }
    }

    #[test]
    fn what_a_tool_says_of_itself_is_kept_and_a_password_is_not() {
        let said = "pg_dump: error: password hunter2 is wrong\npg_dump: error: no such file\npg_other: error: x\n";
        let kept = scrub(said, "pg_dump", Some("hunter2"));
        assert_eq!(kept, "error: password *** is wrong; error: no such file");
    }

    #[test]
    fn the_last_entry_before_an_error_is_named_and_endless_output_is_bounded() {
        let mut said = StandardError::of("pg_restore");
        for i in 0..1000 {
            said.take(
                format!("pg_restore: creating TABLE t{i}\npg_restore: from TOC entry {i}; TABLE t{i} o\n").as_bytes(),
            );
        }
        for _ in 0..1000 {
            said.take("pg_restore: error: ".as_bytes());
            said.take(&[b'x'; 100_000]);
            said.take(b"\n");
        }
        let kept = said.finish(None);
        assert!(kept.starts_with("from TOC entry 999; TABLE t999 o; error: xxx"), "{}", &kept[..100]);
        assert!(kept.len() < 10 * MOST_LINE_BYTES);
    }

    #[test]
    fn a_pattern_matches_whole_messages_only() {
        assert!(matches("role \"*\" does not exist", "role \"a\" does not exist\" does not exist"));
        assert!(!matches("role \"*\" does not exist", "role \"a\" does not exist, but 5551234567 does"));
        assert!(!matches("role \"*\" does not exist", "no role \"a\" does not exist"));
        assert!(matches("deadlock detected", "deadlock detected"));
        assert!(!matches("deadlock detected", "deadlock detected by 5551234567"));
        assert!(matches("permission denied for *", "permission denied for table x"));
    }
}
