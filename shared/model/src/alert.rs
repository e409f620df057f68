//! What people are told, and how much it matters.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::identity::{DatabaseName, NameError};

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

/// By which way a message reaches people; a message attribute that subscriptions filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A readable letter.
    Email,
    /// One short line.
    Sms,
    /// AWS chat: Slack, Teams, Chime.
    Chat,
    /// An HTTPS endpoint: PagerDuty and its kin.
    Pager,
    /// The status page and the CloudWatch dashboard alone.
    Dashboard,
}

/// When an incident is told again that nobody has acknowledged.
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

/// What an alert is about; a message attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// A backup completed.
    BackupCompleted,
    /// A verification completed.
    VerificationCompleted,
    /// A drill proved a backup.
    DrillCompleted,
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
    /// Backups have not reached the off-site in the time that policy allows.
    OffsiteLag,
    /// A key of a site does not open, or does not vouch.
    KeyUnusable,
    /// The audit trail is broken or cannot be written.
    LedgerBroken,
    /// A policy that is none was put in the place of the one in force.
    PolicyRefused,
    /// A service did not answer several times in a row.
    ServiceOutage,
    /// A certificate ends soon.
    CertificateExpiry,
    /// A database answers slowly.
    DatabaseLatency,
    /// Too many requests fail.
    HighErrorRate,
}

/// A name that is none of a list.
macro_rules! names {
    ($type:ty, $what:literal, [$($variant:ident => $name:literal),+ $(,)?]) => {
        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As documents and message attributes have it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let found = Self::ALL.iter().copied().find(|one| one.as_str() == text);
                found.ok_or_else(|| NameError::Word { what: $what, text: text.to_owned() })
            }
        }
    };
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
    BackupFailed => "backup-failed",
    BackupOverdue => "backup-overdue",
    VerificationFinding => "verification-finding",
    VerificationOverdue => "verification-overdue",
    DrillFailed => "drill-failed",
    DrillOverdue => "drill-overdue",
    OffsiteLag => "offsite-lag",
    KeyUnusable => "key-unusable",
    LedgerBroken => "ledger-broken",
    PolicyRefused => "policy-refused",
    ServiceOutage => "service-outage",
    CertificateExpiry => "certificate-expiry",
    DatabaseLatency => "database-latency",
    HighErrorRate => "high-error-rate",
]);

impl AlertKind {
    /// Whether it is good news: told once, and no incident.
    pub fn is_notice(self) -> bool {
        matches!(self, Self::BackupCompleted | Self::VerificationCompleted | Self::DrillCompleted)
    }

    /// In a person's words, to begin a subject line with.
    pub fn title(self) -> &'static str {
        match self {
            Self::BackupCompleted => "Backup completed",
            Self::VerificationCompleted => "Verification completed",
            Self::DrillCompleted => "Drill completed",
            Self::BackupFailed => "Backup failed",
            Self::BackupOverdue => "Backup overdue",
            Self::VerificationFinding => "Verification found damage or failed",
            Self::VerificationOverdue => "Verification overdue",
            Self::DrillFailed => "Drill failed",
            Self::DrillOverdue => "Drill overdue",
            Self::OffsiteLag => "Off-site lags behind",
            Self::KeyUnusable => "Key unusable",
            Self::LedgerBroken => "Audit trail broken",
            Self::PolicyRefused => "Policy refused",
            Self::ServiceOutage => "Service outage",
            Self::CertificateExpiry => "Certificate ends soon",
            Self::DatabaseLatency => "Database answers slowly",
            Self::HighErrorRate => "Many requests fail",
        }
    }

    /// What it means for whoever relies on the backups, in one sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::BackupCompleted => "there is a new backup",
            Self::VerificationCompleted => "what is stored is what was written",
            Self::DrillCompleted => "the backup can be restored",
            Self::BackupFailed => "there is no new backup on every site; the older ones are as they were",
            Self::BackupOverdue => "what was written to the database since the last backup would be lost with it",
            Self::VerificationFinding => {
                "some stored bytes are not what was written, or it is not known whether they are"
            }
            Self::VerificationOverdue => "it is not known whether what is stored is still what was written",
            Self::DrillFailed => "it is not proved that the backup can be restored",
            Self::DrillOverdue => "it is long since a restore was proved",
            Self::OffsiteLag => "with the primary region lost, the newest backups would be lost as well",
            Self::KeyUnusable => {
                "what is stored on that site cannot be opened there, or nobody vouches for the audit trail"
            }
            Self::LedgerBroken => "what is done is not on record, or the record was altered",
            Self::PolicyRefused => "the last good policy stays in force, and the change that was wanted is not made",
            Self::ServiceOutage => "whoever needs the service does not get it",
            Self::CertificateExpiry => "connections will be refused once it has ended",
            Self::DatabaseLatency => "users of the database wait",
            Self::HighErrorRate => "users of the service get errors",
        }
    }
}

impl AlertKind {
    /// The command that shows a person what is the matter.
    pub fn command(self, database: Option<&str>) -> String {
        let database = |option: &str| database.map(|name| format!(" {option}{name}")).unwrap_or_default();
        match self {
            Self::BackupCompleted | Self::BackupOverdue | Self::OffsiteLag => {
                format!("lifeboat backups{}", database("--database "))
            }
            Self::BackupFailed | Self::ServiceOutage | Self::DatabaseLatency => {
                format!("lifeboat doctor{}", database(""))
            }
            Self::VerificationCompleted | Self::VerificationFinding | Self::VerificationOverdue => {
                format!("lifeboat verify{}", database("--database "))
            }
            Self::DrillCompleted | Self::DrillFailed | Self::DrillOverdue => {
                format!("lifeboat drill{}", database("--database "))
            }
            Self::KeyUnusable => "lifeboat health".to_owned(),
            Self::LedgerBroken => "lifeboat ledger verify".to_owned(),
            Self::PolicyRefused => "lifeboat policy diff".to_owned(),
            Self::CertificateExpiry | Self::HighErrorRate => "lifeboat incidents list".to_owned(),
        }
    }
}

/// Where a message stands in an incident's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Good news, or something that is over already: no incident.
    Notice,
    /// The incident begins.
    Opened,
    /// It goes on, and nobody has acknowledged it.
    Reminder,
    /// It is over.
    Resolved,
}

names!(AlertState, "a state of an alert", [
    Notice => "notice", Opened => "opened", Reminder => "reminder", Resolved => "resolved",
]);

/// A message to people, before it is put into words for a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is about.
    pub kind: AlertKind,
    /// How much it matters.
    pub severity: Severity,
    /// Where it stands.
    pub state: AlertState,
    /// By which ways it goes.
    pub channels: Vec<Channel>,
    /// The database, where there is one.
    pub database: Option<DatabaseName>,
    /// The incident's name, such as `backup-failed/clinic`; absent for a notice.
    pub incident: Option<String>,
    /// Since when: the first time it was seen, or the event itself.
    pub since: Timestamp,
    /// What happened: one sentence.
    pub what: String,
    /// What to do: one sentence; absent when nothing is to be done.
    pub hint: Option<String>,
    /// Facts by name.
    pub facts: Vec<(String, String)>,
}
