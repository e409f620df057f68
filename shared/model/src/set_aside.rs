//! What a restore could not bring back as it was.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An object that the server refused as it was, while everything else was restored. It is missing, or weaker than on the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// The kind in the words of `pg_restore --list`, in lower case: `index`, `fk constraint`, `acl`; or `rows`.
    pub kind: String,
    /// Its name, as an inventory has it: `purchase_customer on public.purchase`.
    pub object: String,
    /// Why, with the server's message where that cannot quote a row.
    pub reason: String,
    /// What a person can do about it.
    pub what_to_do: String,
    /// The statement that was refused. Absent where it can hold a password, and for what has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
}

impl SetAside {
    /// Whether it is about this object of an inventory. Quotes do not count: a server decides which names it prints in quotes.
    pub fn is_about(&self, identity: &str) -> bool {
        let letters = |text: &str| text.chars().filter(|letter| *letter != '"').collect::<String>();
        letters(&self.object) == letters(identity)
    }
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`: {}", self.kind, self.object, self.reason)
    }
}

/// How a restore ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreOutcome {
    /// Everything is back.
    Whole,
    /// All rows are back, and some objects were set aside.
    RowsWhole,
    /// Rows are missing.
    Failed,
}

impl RestoreOutcome {
    /// The word in events, entries of the ledger and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::RowsWhole => "rows-whole",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for RestoreOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
