//! The acts that the ledger records, each described in one place.

use serde::{Deserialize, Serialize};

use crate::alert::AlertKind;
use crate::names::names;

/// An act of Lifeboat that the ledger records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Takes a backup, or requests one for each database.
    Backup,
    /// Re-reads stored objects and heals what one site lost.
    Verify,
    /// Restores a backup into a scratch database, proves it equal, and drops that database: the drill.
    TestRestore,
    /// Restores a backup into a database that stays.
    Restore,
    /// Drops scratch databases that a drill left behind.
    Clean,
    /// Looks for what should have happened and did not.
    Health,
    /// Copies an older backup to the off-site.
    BringOver,
    /// Acknowledges an incident, in the name of a person.
    Acknowledge,
    /// Puts a version of the policy in force, or refuses it.
    Policy,
}

names!(Act, "an act", [
    Backup => "backup",
    Verify => "verify",
    TestRestore => "test-restore",
    Restore => "restore",
    Clean => "clean",
    Health => "health",
    BringOver => "bring-over",
    Acknowledge => "acknowledge",
    Policy => "policy",
]);

/// The facts of an act that code outside its folder needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActProfile {
    /// The noun for one run: `backup`, `verification`, `drill`.
    pub noun: &'static str,
    /// The notice of a success.
    pub completed: Option<AlertKind>,
    /// The incident that a failure opens.
    pub failed: Option<AlertKind>,
    /// The incident that opens when no run succeeds in the time that policy allows. Absent: the act has no schedule.
    pub overdue: Option<AlertKind>,
}

impl Act {
    /// Its profile. A new act gets its row here.
    pub fn profile(self) -> ActProfile {
        let unscheduled = |noun| ActProfile { noun, completed: None, failed: None, overdue: None };
        match self {
            Self::Backup => ActProfile {
                noun: "backup",
                completed: Some(AlertKind::BackupCompleted),
                failed: Some(AlertKind::BackupFailed),
                overdue: Some(AlertKind::BackupOverdue),
            },
            Self::Verify => ActProfile {
                noun: "verification",
                completed: Some(AlertKind::VerificationCompleted),
                failed: Some(AlertKind::VerificationFinding),
                overdue: Some(AlertKind::VerificationOverdue),
            },
            Self::TestRestore => ActProfile {
                noun: "drill",
                completed: Some(AlertKind::DrillCompleted),
                failed: Some(AlertKind::DrillFailed),
                overdue: Some(AlertKind::DrillOverdue),
            },
            Self::Restore => ActProfile {
                noun: "restore",
                completed: Some(AlertKind::RestoreCompleted),
                failed: Some(AlertKind::RestoreFailed),
                overdue: None,
            },
            Self::Clean => unscheduled("cleanup"),
            Self::Health => unscheduled("health check"),
            Self::BringOver => unscheduled("copy to the off-site"),
            Self::Acknowledge => unscheduled("acknowledgement"),
            Self::Policy => unscheduled("change of the policy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_stored_under_the_name_that_the_ledger_shows() {
        for act in Act::ALL {
            assert_eq!(serde_json::to_value(act).unwrap(), act.as_str());
            assert_eq!(act.as_str().parse(), Ok(*act));
        }
    }

    #[test]
    fn no_two_acts_share_a_kind_of_alert() {
        let kinds = |act: &Act| {
            let profile = act.profile();
            [profile.completed, profile.failed, profile.overdue].into_iter().flatten()
        };
        let all: Vec<AlertKind> = Act::ALL.iter().flat_map(kinds).collect();
        let unique: std::collections::BTreeSet<&AlertKind> = all.iter().collect();
        assert_eq!(all.len(), unique.len());
    }
}
