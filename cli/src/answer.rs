//! How a command answers: on standard output, and by its exit status.

use std::io::Write;
use std::process::ExitCode;

use lifeboat_runtime::RuntimeError;

/// The exit status for the shell.
pub fn exit(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One document on standard output: as JSON, or as text for a person.
pub fn print<T: serde::Serialize>(json: bool, document: &T, text: impl FnOnce() -> String) -> Result<(), RuntimeError> {
    let output = if json {
        serde_json::to_string(document).map_err(|error| RuntimeError::Input(error.to_string()))?
    } else {
        text()
    };
    // A reader that closes the pipe early (`| head`) has seen what it wanted.
    let _ = writeln!(std::io::stdout(), "{}", output.trim_end());
    Ok(())
}
