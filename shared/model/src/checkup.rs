//! The doctor's checks.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::identity::Site;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The check, in a word or two: `reachable`, `offsite writable`.
    pub check: String,
    /// The site, if it is about one site only.
    #[serde(skip)]
    pub site: Option<Site>,
    /// The verdict.
    pub verdict: Verdict,
    /// The observation, in one sentence without a full stop.
    pub seen: String,
    /// A hint for a person; absent when there is nothing to do.
    pub hint: Option<String>,
    /// How long the answer took, where that is meaningful.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
}

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All is well.
    Ok,
    /// Backups work, but somebody should know.
    Warn,
    /// No usable backup can be taken.
    Failed,
}

impl Diagnosis {
    /// A check that passed.
    pub fn ok(check: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { check: check.into(), site: None, verdict: Verdict::Ok, seen: seen.into(), hint: None, elapsed_ms: None }
    }

    /// A check that passed with a warning.
    pub fn warn(check: impl Into<String>, seen: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, hint: Some(hint.into()), ..Self::ok(check, seen) }
    }

    /// A failed check: no backup can be taken.
    pub fn failed(check: impl Into<String>, seen: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, ..Self::warn(check, seen, hint) }
    }

    /// The same check, about one site only.
    #[must_use]
    pub fn on(self, site: Site) -> Self {
        Self { site: Some(site), ..self }
    }

    /// The same check, with the time that the answer took.
    #[must_use]
    pub fn after(self, elapsed: Duration) -> Self {
        Self { elapsed_ms: u64::try_from(elapsed.as_millis()).ok(), ..self }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "WARN",
            Self::Failed => "FAILED",
        })
    }
}
