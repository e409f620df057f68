//! A mandate: who requested an act, and why.

use serde::{Deserialize, Serialize};

use crate::name_error::NameError;

/// The actor of a run that a schedule starts.
pub const SCHEDULE: &str = "schedule";

/// Longest name of a person, in characters.
pub const LONGEST_NAME: usize = 100;

/// Longest reason, in characters: a sentence or two.
pub const LONGEST_REASON: usize = 300;

/// Who requested an act, and why, as the ledger records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mandate {
    /// [`SCHEDULE`], `event`, an ARN that AWS vouched for, or `stated by` and a name that nobody vouched for.
    pub actor: String,
    /// The tick, the event, or a person's own words.
    pub reason: String,
}

/// A person's words for the ledger, which keeps them for years: short, in one line, and without a connection string.
///
/// # Errors
/// [`NameError::TooLong`], [`NameError::Unrecordable`]: the messages do not repeat the words.
pub fn recordable<'a>(name: &str, text: &'a str, longest: usize) -> Result<&'a str, NameError> {
    if text.chars().count() > longest {
        return Err(NameError::TooLong { name: name.to_owned(), longest });
    }
    let is_connection = text.contains("://") || text.to_ascii_lowercase().contains("password=");
    if text.trim().is_empty() || text.chars().any(char::is_control) || is_connection {
        return Err(NameError::Unrecordable(name.to_owned()));
    }
    Ok(text)
}
