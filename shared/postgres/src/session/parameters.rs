//! The server's configuration parameters: their values in our own sessions, and those that client programs are given.
//!
//! A role, a database and the server can each have values of their own (`ALTER ROLE … SET`). Our own sessions set every parameter that decides
//! what they read or how long they live. Client programs set some of them too, but not at once, and not all. They are given the others as startup
//! options, and only those that differ: a connection pooler may refuse startup options.

use std::fmt::Write;
use std::time::Duration;

/// Set before all others and in a statement of its own: a batch that is cancelled sets nothing.
pub(super) const FIRST: &str = "SET statement_timeout = 0";

/// Parameters that decide what a session reads or what it can do, with their values in our own sessions. A client program sets those that matter to
/// it. `docs/format/copy-chunks.md` gives the reason for those that a reader of the rows has to know.
///
/// `row_security=off` turns rows hidden by a policy into an error. Tables are read by ranges of blocks (`enable_tidscan`), and their checks are
/// not evaluated for it (`constraint_exclusion`). The keepalives are those of the client's side. A server builds an index to its end although a restore is
/// killed, unless it looks for its client meanwhile (`client_connection_check_interval`).
const OURS: [(&str, &str); 19] = [
    ("row_security", "off"),
    ("search_path", ""),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("max_parallel_workers_per_gather", "0"),
    ("client_encoding", "UTF8"),
    ("synchronize_seqscans", "off"),
    ("xmloption", "content"),
    ("constraint_exclusion", "off"),
    ("enable_tidscan", "on"),
    ("jit", "off"),
    ("client_connection_check_interval", "0"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    ("backslash_quote", "safe_encoding"),
];

/// Parameters that can make a client program fail or write something else, too. Everybody has PostgreSQL's built-in value of these. Lifeboat
/// limits its time itself.
const EVERYBODYS: [(&str, &str); 11] = [
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    ("quote_all_identifiers", "off"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("standard_conforming_strings", "on"),
    ("exit_on_error", "off"),
    (DATE_STYLE, "ISO"),
];

/// Its value has a second part, the order of day and month, which changes nothing that is written in ISO.
pub(super) const DATE_STYLE: &str = "DateStyle";

/// Parameters that are everybody's, and that our own sessions set by themselves. The last one exists from PostgreSQL 17 on.
const TIMEOUTS: [&str; 3] = ["statement_timeout", "lock_timeout", TRANSACTION_TIMEOUT];
const TRANSACTION_TIMEOUT: &str = "transaction_timeout";

/// The version that has it.
const TRANSACTION_TIMEOUT_FROM: u32 = 17;

/// Set where it exists. It reads, so it does not share a transaction with the others: that one may have another isolation, which a standby refuses.
pub(super) const LAST: &str =
    "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'";

/// Sets all others. A role that a setting assumes is left again, unless the connection's own `options` name one.
pub(super) fn set_all(lock_timeout: Duration, options: Option<&str>) -> String {
    let mut sql = String::new();
    for (name, value) in OURS.iter().chain(&EVERYBODYS) {
        let _ = writeln!(sql, "SET {name} = '{value}';");
    }
    let _ = writeln!(sql, "SET lock_timeout = {};", lock_timeout.as_millis());
    if !options.is_some_and(name_a_role) {
        sql.push_str("SET ROLE NONE;");
    }
    sql
}

/// Startup options for a session that a timeout ended before it could set its own.
pub(super) fn without_timeouts(major: Option<u32>) -> String {
    let mut names = vec!["statement_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout"];
    if major.is_some_and(|major| major >= TRANSACTION_TIMEOUT_FROM) {
        names.push(TRANSACTION_TIMEOUT);
    }
    names.iter().map(|name| option(name, "0")).collect::<Vec<_>>().join(" ")
}

/// Gives each parameter of `$1` that has another value than PostgreSQL's own for this role in this database, with that own value. `$2` is
/// [`DATE_STYLE`].
///
/// The value at the start of a session is in `reset_val`, whatever the session has set since. `role` is not in that view.
pub(super) const CHANGED: &str = "
    SELECT s.name, s.boot_val FROM pg_catalog.pg_settings s
    WHERE s.name = ANY ($1) AND s.reset_val IS DISTINCT FROM s.boot_val AND (s.name <> $2 OR s.reset_val NOT LIKE 'ISO%')
    UNION ALL
    SELECT 'role', 'none' WHERE EXISTS (
        SELECT FROM pg_catalog.pg_db_role_setting r, pg_catalog.unnest(r.setconfig) AS c (text)
        WHERE r.setrole IN (0, (SELECT u.oid FROM pg_catalog.pg_roles u WHERE u.rolname = SESSION_USER))
          AND r.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()))
          AND pg_catalog.starts_with(c.text, 'role='))
    ORDER BY 1";

/// The parameters of which a client program needs PostgreSQL's own value.
pub(super) fn everybodys() -> Vec<&'static str> {
    EVERYBODYS.iter().map(|(name, _)| *name).chain(TIMEOUTS).collect()
}

/// Startup options of two origins. A connection's own `options` come last, so that they win.
pub(crate) fn joined(ours: Option<&str>, own: Option<&str>) -> Option<String> {
    let given = [ours, own].into_iter().flatten().filter(|options| !options.is_empty());
    given.map(str::to_owned).reduce(|one, other| format!("{one} {other}"))
}

/// One option of a server process. White space and backslashes in a value are escaped by a backslash.
pub(super) fn option(name: &str, value: &str) -> String {
    let mut option = format!("-c {name}=");
    for letter in value.chars() {
        if letter.is_ascii_whitespace() || letter == '\\' {
            option.push('\\');
        }
        option.push(letter);
    }
    option
}

/// Whether startup options set `role`: `-c role=x`, `-crole=x` or `--role=x`.
fn name_a_role(options: &str) -> bool {
    let words: Vec<&str> = options.split_ascii_whitespace().collect();
    let is_role = |setting: &str| setting.split_once('=').is_some_and(|(name, _)| name.eq_ignore_ascii_case("role"));
    let of_one = |word: &&str| word.strip_prefix("--").or(word.strip_prefix("-c")).is_some_and(is_role);
    words.iter().any(of_one) || words.windows(2).any(|pair| matches!(pair, ["-c", setting] if is_role(setting)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_backslashes_of_a_value_are_escaped_in_an_option() {
        assert_eq!(option("a", "read committed"), "-c a=read\\ committed");
        assert_eq!(option("a", "x\\\ty"), "-c a=x\\\\\\\ty");
    }

    #[test]
    fn a_role_in_startup_options_is_found_in_each_form_and_no_other_parameter_is_taken_for_one() {
        for options in ["-c role=x", "-crole=x", "--role=x", "-c a=b -c Role=x"] {
            assert!(name_a_role(options) && !set_all(Duration::ZERO, Some(options)).contains("ROLE NONE"), "{options}");
        }
        for options in ["", "-c myrole=x", "-c search_path=role", "role=x"] {
            assert!(!name_a_role(options), "{options}");
        }
        assert!(set_all(Duration::ZERO, None).ends_with("SET ROLE NONE;"));
    }

    #[test]
    fn a_timeout_that_the_server_may_not_know_is_not_among_the_startup_options() {
        assert!(
            !without_timeouts(Some(16)).contains(TRANSACTION_TIMEOUT)
                && !without_timeouts(None).contains(TRANSACTION_TIMEOUT)
        );
        assert!(without_timeouts(Some(17)).ends_with("-c transaction_timeout=0"));
    }
}
