//! The name of an incident: its kind, and what it is about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::subject::IncidentSubject;
use crate::alert::AlertKind;
use crate::name_error::NameError;

/// The name of an incident: `backup-failed/clinic`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IncidentName {
    /// Its kind.
    pub kind: AlertKind,
    /// The thing that is affected.
    pub subject: IncidentSubject,
}

impl IncidentName {
    /// An incident of `kind` about `subject`.
    pub fn new(kind: AlertKind, subject: impl Into<IncidentSubject>) -> Self {
        Self { kind, subject: subject.into() }
    }
}

impl fmt::Display for IncidentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.subject)
    }
}

impl FromStr for IncidentName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Word {
            what: "the name of an incident, such as `backup-failed/clinic`",
            text: text.to_owned(),
        };
        let (kind, subject) = text.split_once('/').ok_or_else(wrong)?;
        let kind: AlertKind = kind.parse().map_err(|_| wrong())?;
        let subject: IncidentSubject = subject.parse().map_err(|_| wrong())?;
        if kind.is_notice() { Err(wrong()) } else { Ok(Self::new(kind, subject)) }
    }
}

impl TryFrom<String> for IncidentName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<IncidentName> for String {
    fn from(name: IncidentName) -> Self {
        name.to_string()
    }
}
