//! The kinds of alerts: how much each matters, whom it reaches, and what it means.

use serde::{Deserialize, Serialize};

use crate::names::names;

/// How much an alert matters; a message attribute that subscribers filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Someone should look in working hours.
    Warning,
    /// Someone must look now.
    Critical,
}

/// How a message reaches people; a message attribute that subscriptions filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A mail of several lines.
    Email,
    /// One short line.
    Sms,
    /// AWS chat: Slack, Teams, Chime.
    Chat,
    /// An HTTPS endpoint: PagerDuty or a similar service.
    Pager,
    /// The status page and the CloudWatch dashboard alone.
    Dashboard,
}

/// When the reminders of an incident are sent that nobody has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Escalation {
    /// At once at any hour, and again every so many minutes as policy says.
    Immediate,
    /// At once at any hour, and again each day.
    Daily,
    /// In business hours only, and again each day in these hours.
    BusinessHours,
}

/// The kind of an alert; a message attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// A backup completed.
    BackupCompleted,
    /// A verification completed.
    VerificationCompleted,
    /// A drill proved a backup.
    DrillCompleted,
    /// A restore brought all rows back.
    RestoreCompleted,
    /// A backup did not complete.
    BackupFailed,
    /// No backup completed in the time that policy allows.
    BackupOverdue,
    /// A verification found damage or could not run.
    VerificationFinding,
    /// No verification completed in the time that policy allows.
    VerificationOverdue,
    /// A drill could not prove a backup.
    DrillFailed,
    /// No drill proved a backup in the time that policy allows.
    DrillOverdue,
    /// A scratch database of a drill that has ended still holds restored rows.
    DrillLeftover,
    /// A restore ended without all rows, or did not come to an end.
    RestoreFailed,
    /// A backup claims to have begun in the future.
    BackupMisdated,
    /// Backups have not reached the off-site in the time that policy allows.
    OffsiteLag,
    /// A key of a site does not open what it sealed, or makes no MACs.
    KeyUnusable,
    /// A bucket does not keep what is stored for as long as backups need it.
    BucketUnprotected,
    /// An alert would reach nobody.
    AlertsUnheard,
    /// The audit trail is broken or cannot be written.
    LedgerBroken,
    /// A document that is no valid policy was put in the policy's parameter.
    PolicyRefused,
    /// Another policy is in force.
    PolicyChanged,
    /// A service did not answer several times in a row.
    ServiceOutage,
    /// A certificate expires soon.
    CertificateExpiry,
    /// A database is slow.
    DatabaseLatency,
    /// Too many requests fail.
    HighErrorRate,
}

names!(Severity, "a severity", [Info => "info", Warning => "warning", Critical => "critical"]);
names!(Channel, "a channel", [
    Email => "email", Sms => "sms", Chat => "chat", Pager => "pager", Dashboard => "dashboard",
]);
names!(Escalation, "an escalation", [Immediate => "immediate", Daily => "daily", BusinessHours => "business-hours"]);
names!(AlertKind, "a kind of alert", [
    BackupCompleted => "backup-completed",
    VerificationCompleted => "verification-completed",
    DrillCompleted => "drill-completed",
    RestoreCompleted => "restore-completed",
    BackupFailed => "backup-failed",
    BackupOverdue => "backup-overdue",
    VerificationFinding => "verification-finding",
    VerificationOverdue => "verification-overdue",
    DrillFailed => "drill-failed",
    DrillOverdue => "drill-overdue",
    DrillLeftover => "drill-leftover",
    RestoreFailed => "restore-failed",
    BackupMisdated => "backup-misdated",
    OffsiteLag => "offsite-lag",
    KeyUnusable => "key-unusable",
    BucketUnprotected => "bucket-unprotected",
    AlertsUnheard => "alerts-unheard",
    LedgerBroken => "ledger-broken",
    PolicyRefused => "policy-refused",
    PolicyChanged => "policy-changed",
    ServiceOutage => "service-outage",
    CertificateExpiry => "certificate-expiry",
    DatabaseLatency => "database-latency",
    HighErrorRate => "high-error-rate",
]);

impl AlertKind {
    /// Whether it is an event: sent once, and no incident.
    pub fn is_notice(self) -> bool {
        !self.has_rule() || self == Self::PolicyChanged
    }

    /// Whether policy has a rule for it, and `docs/runbooks` a page. Good news has neither.
    pub fn has_rule(self) -> bool {
        !matches!(
            self,
            Self::BackupCompleted | Self::VerificationCompleted | Self::DrillCompleted | Self::RestoreCompleted
        )
    }

    /// Whether something finds it today. Policy has rules for the others already.
    pub fn is_found(self) -> bool {
        use AlertKind::{CertificateExpiry, DatabaseLatency, HighErrorRate, ServiceOutage};
        !matches!(self, ServiceOutage | CertificateExpiry | DatabaseLatency | HighErrorRate)
    }

    /// Whether its alerts can be about one database; otherwise they are about a site or the repository.
    pub fn is_about_databases(self) -> bool {
        use AlertKind::{
            BackupCompleted, BackupFailed, BackupMisdated, BackupOverdue, DrillCompleted, DrillFailed, DrillOverdue,
            OffsiteLag, RestoreCompleted, RestoreFailed, VerificationCompleted, VerificationFinding,
            VerificationOverdue,
        };
        matches!(
            self,
            BackupCompleted
                | BackupFailed
                | BackupMisdated
                | BackupOverdue
                | DrillCompleted
                | DrillFailed
                | DrillOverdue
                | OffsiteLag
                | RestoreCompleted
                | RestoreFailed
                | VerificationCompleted
                | VerificationFinding
                | VerificationOverdue
        )
    }

    /// The beginning of a subject line.
    pub fn title(self) -> &'static str {
        match self {
            Self::BackupCompleted => "Backup completed",
            Self::VerificationCompleted => "Verification completed",
            Self::DrillCompleted => "Drill completed",
            Self::RestoreCompleted => "Restore completed",
            Self::BackupFailed => "Backup failed",
            Self::BackupOverdue => "Backup overdue",
            Self::VerificationFinding => "Verification found damage or failed",
            Self::VerificationOverdue => "Verification overdue",
            Self::DrillFailed => "Drill failed",
            Self::DrillOverdue => "Drill overdue",
            Self::DrillLeftover => "Drill left a database behind",
            Self::RestoreFailed => "Restore failed",
            Self::BackupMisdated => "Backup dated in the future",
            Self::OffsiteLag => "Off-site lags behind",
            Self::KeyUnusable => "Key unusable",
            Self::BucketUnprotected => "Bucket unprotected",
            Self::AlertsUnheard => "Alerts reach nobody",
            Self::LedgerBroken => "Audit trail broken",
            Self::PolicyRefused => "Policy refused",
            Self::PolicyChanged => "Policy changed",
            Self::ServiceOutage => "Service outage",
            Self::CertificateExpiry => "Certificate expires soon",
            Self::DatabaseLatency => "Database is slow",
            Self::HighErrorRate => "Many requests fail",
        }
    }

    /// The consequence for those who rely on the backups: one sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::BackupCompleted => "a new backup is available",
            Self::VerificationCompleted => "the stored bytes are the bytes that were written",
            Self::DrillCompleted => "the backup can be restored",
            Self::RestoreCompleted => "a copy of the data is in the database that was named, with all of its rows",
            Self::BackupFailed => "the new backup is not on every site; older backups are unchanged",
            Self::BackupOverdue => "changes since the last backup would be lost with the database",
            Self::VerificationFinding => "some stored bytes are damaged, or could not be checked",
            Self::VerificationOverdue => "nobody knows whether the stored bytes are still intact",
            Self::DrillFailed => "the backup may not be restorable",
            Self::DrillOverdue => "no restore has been proved recently",
            Self::DrillLeftover => "restored rows remain on the scratch server, although the drill has ended",
            Self::RestoreFailed => "the data is not back, or not all of it; the backup is unchanged",
            Self::BackupMisdated => "the backup counts as absent; somebody may have forged it, or a clock was wrong",
            Self::OffsiteLag => "the newest backups would be lost with the primary region",
            Self::KeyUnusable => {
                "backups cannot be opened with the key of that site, or audit entries cannot be authenticated"
            }
            Self::BucketUnprotected => "anyone with delete permission can destroy backups that are still needed",
            Self::AlertsUnheard => "nobody hears of a failed backup or of damage",
            Self::LedgerBroken => "actions are missing from the audit trail, or the audit trail was altered",
            Self::PolicyRefused => "the previous policy stays in force, and the change has no effect",
            Self::PolicyChanged => "backups, verifications, drills and alerts follow the new policy from now on",
            Self::ServiceOutage => "the service is unavailable to its users",
            Self::CertificateExpiry => "connections will fail when the certificate expires",
            Self::DatabaseLatency => "users of the database wait",
            Self::HighErrorRate => "users of the service get errors",
        }
    }
}

impl AlertKind {
    /// The command to run first. It runs with any number of configured databases: a command that works on one database names it, and where
    /// the alert is about none, another one shows what happened.
    pub fn command(self, database: Option<&str>) -> String {
        let listed = database.map(|name| format!(" --database {name}")).unwrap_or_default();
        let of_one = |command: &str, otherwise: &str| match database {
            Some(name) => format!("lifeboat {command}{name}"),
            None => format!("lifeboat {otherwise}"),
        };
        match self {
            Self::BackupCompleted | Self::BackupOverdue | Self::BackupMisdated | Self::OffsiteLag => {
                format!("lifeboat backups{listed}")
            }
            Self::BackupFailed => of_one("doctor ", "ledger list --action backup"),
            Self::ServiceOutage | Self::DatabaseLatency => of_one("doctor ", "incidents list"),
            Self::VerificationCompleted | Self::VerificationFinding | Self::VerificationOverdue => {
                format!("lifeboat verify{listed}")
            }
            Self::DrillCompleted | Self::DrillFailed | Self::DrillOverdue => {
                of_one("drill --database ", "ledger list --action test-restore")
            }
            Self::RestoreCompleted | Self::RestoreFailed => "lifeboat ledger list --action restore".to_owned(),
            Self::DrillLeftover => "lifeboat drill --clean".to_owned(),
            Self::KeyUnusable | Self::BucketUnprotected | Self::AlertsUnheard => "lifeboat health".to_owned(),
            Self::LedgerBroken => "lifeboat ledger verify".to_owned(),
            Self::PolicyRefused => "lifeboat policy diff".to_owned(),
            Self::PolicyChanged => "lifeboat ledger list --action policy".to_owned(),
            Self::CertificateExpiry | Self::HighErrorRate => "lifeboat incidents list".to_owned(),
        }
    }
}

/// How people are notified of one kind of incident.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRule {
    /// How much it matters.
    pub severity: Severity,
    /// The channels of its alerts.
    pub channels: Vec<Channel>,
    /// When reminders are sent.
    pub escalation: Escalation,
    /// How many times in a row it must be seen before it is an incident.
    pub after: u32,
    /// The measured value must exceed this: days, milliseconds or percent, depending on the kind.
    pub threshold: Option<f64>,
}

impl AlertRule {
    /// The default rule of a kind.
    pub fn of(kind: AlertKind) -> Self {
        use Channel::{Chat, Dashboard, Email, Pager, Sms};
        let rule = |severity, channels: &[Channel], escalation| Self {
            severity,
            channels: channels.to_vec(),
            escalation,
            after: 1,
            threshold: None,
        };
        let everywhere = &[Email, Sms, Chat, Pager, Dashboard];
        match kind {
            // Where people talk, good news by the hour would drown the bad.
            AlertKind::BackupCompleted | AlertKind::VerificationCompleted | AlertKind::DrillCompleted => {
                rule(Severity::Info, &[Email, Sms, Pager, Dashboard], Escalation::Immediate)
            }
            // Rows of patients have been copied somewhere: somebody may not have expected it.
            AlertKind::RestoreCompleted => rule(Severity::Warning, everywhere, Escalation::Immediate),
            AlertKind::BackupFailed
            | AlertKind::BackupOverdue
            | AlertKind::BackupMisdated
            | AlertKind::VerificationFinding
            | AlertKind::DrillFailed
            | AlertKind::DrillLeftover
            | AlertKind::RestoreFailed
            | AlertKind::KeyUnusable
            | AlertKind::BucketUnprotected
            | AlertKind::LedgerBroken
            | AlertKind::PolicyChanged => rule(Severity::Critical, everywhere, Escalation::Immediate),
            // A new stack waits for people to confirm their subscriptions.
            AlertKind::AlertsUnheard => {
                Self { after: 2, ..rule(Severity::Critical, everywhere, Escalation::Immediate) }
            }
            AlertKind::VerificationOverdue
            | AlertKind::DrillOverdue
            | AlertKind::OffsiteLag
            | AlertKind::PolicyRefused => rule(Severity::Warning, &[Email, Chat, Pager, Dashboard], Escalation::Daily),
            AlertKind::ServiceOutage => {
                Self { after: 2, ..rule(Severity::Critical, &[Sms, Email, Chat], Escalation::Immediate) }
            }
            AlertKind::CertificateExpiry => {
                Self { threshold: Some(14.0), ..rule(Severity::Warning, &[Email, Dashboard], Escalation::Daily) }
            }
            AlertKind::DatabaseLatency => {
                Self { threshold: Some(1000.0), ..rule(Severity::Warning, &[Chat, Email], Escalation::BusinessHours) }
            }
            AlertKind::HighErrorRate => {
                Self { threshold: Some(5.0), ..rule(Severity::Critical, &[Pager, Sms], Escalation::Immediate) }
            }
        }
    }

    /// The policy's name for the threshold of a kind that has one.
    pub fn threshold_name(kind: AlertKind) -> Option<&'static str> {
        match kind {
            AlertKind::CertificateExpiry => Some("days"),
            AlertKind::DatabaseLatency => Some("milliseconds"),
            AlertKind::HighErrorRate => Some("percent"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `doctor`, `drill` and `backup` refuse to choose among several databases.
    #[test]
    fn a_command_that_works_on_one_database_is_given_only_where_the_alert_names_one() {
        for kind in AlertKind::ALL {
            let command = kind.command(None);
            let needs_one = ["lifeboat doctor", "lifeboat backup", "lifeboat drill"].contains(&command.as_str());
            assert!(!needs_one, "{kind}: {command}");
            assert!(!command.ends_with(' '), "{kind}: `{command}`");
        }
        assert_eq!(AlertKind::BackupFailed.command(Some("clinic")), "lifeboat doctor clinic");
        assert_eq!(AlertKind::DrillFailed.command(Some("clinic")), "lifeboat drill --database clinic");
        assert_eq!(AlertKind::BucketUnprotected.command(None), "lifeboat health");
    }
}
