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
    /// How it is.
    pub verdict: Verdict,
    /// The observation, in one sentence without a full stop.
    pub seen: String,
    /// A hint for a person; absent when there is nothing to do.
    pub hint: Option<String>,
    /// How long the answer took, where that is meaningful.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Backups work, but somebody should know.
    Warn,
    /// No usable backup can be taken.
    Failed,
}

impl Diagnosis {
    /// A thing that is as it should be.
    pub fn ok(check: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { check: check.into(), site: None, verdict: Verdict::Ok, seen: seen.into(), hint: None, elapsed_ms: None }
    }

    /// A thing that somebody should know of.
    pub fn warn(check: impl Into<String>, seen: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, hint: Some(hint.into()), ..Self::ok(check, seen) }
    }

    /// A thing that keeps backups from being taken.
    pub fn failed(check: impl Into<String>, seen: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, ..Self::warn(check, seen, hint) }
    }

    /// The same, about one site alone.
    #[must_use]
    pub fn on(self, site: Site) -> Self {
        Self { site: Some(site), ..self }
    }

    /// The same, after so long.
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
