//! Facts of a run that the ledger keeps in addition to actor, act and outcome.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::names::names;

/// The name of a fact. Writers and readers of the ledger use the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// The run's id, by which CloudTrail names the caller of a function.
    RunId,
    /// The database, if the act is about one.
    Database,
    /// The changed incidents, with what happened to each.
    Incident,
    /// The error, in one sentence.
    Error,
    /// A hint for a person.
    Hint,
    /// The backup.
    BackupId,
    /// The site that was read.
    Site,
    /// The scope of a verification: a [`VerificationScope`](crate::VerificationScope).
    Scope,
    /// The epoch of a backup.
    Epoch,
    /// Why that epoch began: an [`EpochCause`](crate::EpochCause).
    EpochCause,
    /// Relations of the catalog.
    Relations,
    /// Tables restored and compared.
    Tables,
    /// Rows copied or compared.
    Rows,
    /// Plaintext bytes.
    RawBytes,
    /// Bytes of new objects.
    StoredBytes,
    /// Bytes of reused objects.
    ReusedBytes,
    /// New chunks.
    NewChunks,
    /// Reused chunks.
    ReusedChunks,
    /// Objects read.
    Objects,
    /// Their bytes.
    ReadBytes,
    /// Findings.
    Findings,
    /// Findings of damage that was not healed.
    Damaged,
    /// The number of healed findings.
    Healed,
    /// How a restore ended: a [`RestoreOutcome`](crate::RestoreOutcome).
    RestoreOutcome,
    /// The number of objects that a restore set aside.
    SetAside,
    /// The database that a restore wrote: `host:port/name`.
    Target,
    /// The hash of the plan that was executed.
    Plan,
    /// Whether every proof of a drill held.
    Equal,
    /// Relations whose rows policy left out of the restored backup: `equal` does not cover them.
    LeftOut,
    /// The scratch database that still holds restored rows, with its server.
    Leftover,
    /// Scratch databases that a cleanup dropped.
    Dropped,
    /// Scratch databases on record that were found gone.
    Gone,
    /// Wall seconds.
    Seconds,
    /// Requests to S3 that write or list.
    Writes,
    /// Other requests to S3.
    Reads,
    /// Requests to KMS.
    KeyRequests,
    /// Gigabytes of memory times seconds.
    GbSeconds,
    /// The SHA-256 of a policy document.
    Sha256,
    /// The SHA-256 of the policy document that was in force before.
    BeforeSha256,
    /// When a policy document was put in its parameter.
    ModifiedAt,
    /// The damaged objects that a person accepted by name.
    Accepted,
}

names!(Fact, "a fact", [
    RunId => "run_id", Database => "database", Incident => "incident", Error => "error", Hint => "hint",
    BackupId => "backup_id", Site => "site", Scope => "scope", Epoch => "epoch", EpochCause => "epoch_cause",
    Relations => "relations", Tables => "tables",
    Rows => "rows", RawBytes => "raw_bytes", StoredBytes => "stored_bytes", ReusedBytes => "reused_bytes",
    NewChunks => "new_chunks", ReusedChunks => "reused_chunks", Objects => "objects", ReadBytes => "read_bytes",
    Findings => "findings", Damaged => "damaged", Healed => "healed", RestoreOutcome => "restore_outcome", SetAside => "set_aside", Target => "target",
    Plan => "plan", Equal => "equal", LeftOut => "left_out", Leftover => "leftover",
    Dropped => "dropped", Gone => "gone", Seconds => "seconds", Writes => "writes",
    Reads => "reads", KeyRequests => "key_requests", GbSeconds => "gb_seconds", Sha256 => "sha256",
    BeforeSha256 => "before_sha256", ModifiedAt => "modified_at", Accepted => "accepted",
]);

impl Fact {
    /// This fact of an entry's detail, where it is there and can be read.
    pub fn read<T: FromStr>(self, detail: &BTreeMap<String, String>) -> Option<T> {
        detail.get(self.as_str())?.parse().ok()
    }
}

/// Facts in the order in which a person reads them. Never a row value, key or connection string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(Vec<(Fact, String)>);

impl Facts {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// These and one more.
    #[must_use]
    pub fn with(mut self, fact: Fact, value: impl Display) -> Self {
        self.0.push((fact, value.to_string()));
        self
    }

    /// These, and one more where there is a value.
    #[must_use]
    pub fn with_some(self, fact: Fact, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(fact, value),
            None => self,
        }
    }

    /// Wall seconds, to the millisecond.
    #[must_use]
    pub fn with_seconds(self, seconds: f64) -> Self {
        self.with(Fact::Seconds, format_args!("{seconds:.3}"))
    }

    /// These and then `others`.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Each by its name.
    pub fn iter(&self) -> impl Iterator<Item = (Fact, &str)> {
        self.0.iter().map(|(fact, value)| (*fact, value.as_str()))
    }

    /// As the detail of an entry in the ledger.
    pub fn into_detail(self) -> BTreeMap<String, String> {
        self.0.into_iter().map(|(fact, value)| (fact.as_str().to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_read_back_as_it_was_written_and_nonsense_is_none() {
        let detail = Facts::new().with(Fact::Rows, 42_u64).with_seconds(1.25).with(Fact::Equal, "maybe").into_detail();
        assert_eq!(Fact::Rows.read(&detail), Some(42_u64));
        assert_eq!(Fact::Seconds.read(&detail), Some(1.25));
        assert_eq!(Fact::Equal.read::<bool>(&detail), None);
        assert_eq!(Fact::Site.read::<crate::Site>(&detail), None);
    }

    #[test]
    fn every_fact_has_a_unique_name() {
        for fact in Fact::ALL {
            assert_eq!(fact.as_str().parse(), Ok(*fact));
        }
    }
}
