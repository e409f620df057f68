//! How a command answers: on standard output, and by its exit status.

use std::io::Write;
use std::process::ExitCode;

use lifeboat_model::RestoreOutcome;
use lifeboat_runtime::RuntimeError;

/// The exit status for the shell.
pub fn exit(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The exit status of a restore, by its end: 0 whole, 3 all rows back and some objects not what they were, 1 rows missing.
pub fn exit_of_restore(outcome: RestoreOutcome) -> ExitCode {
    match outcome {
        RestoreOutcome::Whole => ExitCode::SUCCESS,
        RestoreOutcome::RowsWhole => ExitCode::from(3),
        RestoreOutcome::Failed => ExitCode::FAILURE,
    }
}

/// One document on standard output: as JSON, or as text for a person.
pub fn print<T: serde::Serialize>(json: bool, document: &T, text: impl FnOnce() -> String) -> Result<(), RuntimeError> {
    let output = if json {
        serde_json::to_string(document).map_err(|error| RuntimeError::Input(error.to_string()))?
    } else {
        without_controls(&text())
    };
    // A reader that closes the pipe early (`| head`) has seen what it wanted.
    let _ = writeln!(std::io::stdout(), "{}", output.trim_end());
    Ok(())
}

/// A text for a person beside the document, on standard error.
pub fn tell(text: &str) {
    eprintln!("{}", without_controls(text).trim_end());
}

/// A name in a text may hold any character. A terminal must not obey it.
fn without_controls(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_lines_and_no_control_characters() {
        assert_eq!(without_controls("a\u{1b}[2Jb\nzürich\t|"), "a\\u{1b}[2Jb\nzürich\\t|");
    }
}
