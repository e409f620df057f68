//! What should happen regularly, and what an incident can still be about.

use lifeboat_model::{Act, AlertKind, DatabaseName, Incident, IncidentName, IncidentSubject, Site};

/// What is looked at.
#[derive(Debug, Clone)]
pub struct HealthRequest {
    /// Every database that should have backups.
    pub databases: Vec<DatabaseName>,
    /// Whether there is a server for drills.
    pub drills: bool,
}

impl HealthRequest {
    /// The acts that should happen regularly.
    pub(crate) fn scheduled_acts(&self) -> impl Iterator<Item = Act> {
        let scheduled = Act::ALL.iter().copied().filter(|act| act.profile().overdue.is_some());
        scheduled.filter(|act| *act != Act::TestRestore || self.drills)
    }

    /// Whether an incident is about something that is configured. A database or site that was taken out of the settings has no trouble any
    /// more.
    pub(super) fn concerns(&self, incident: &Incident, sites: &[Site]) -> bool {
        let IncidentName { kind, subject } = &incident.name;
        match (kind, subject) {
            (_, IncidentSubject::Repository) => true,
            (_, IncidentSubject::Site(site)) => sites.contains(site),
            (AlertKind::DrillOverdue, _) if !self.drills => false,
            (AlertKind::OffsiteLag, _) if !sites.contains(&Site::Offsite) => false,
            // The next request that is understood resolves it.
            (_, IncidentSubject::Unnamed) => true,
            (_, IncidentSubject::Database(database)) => self.databases.contains(database),
        }
    }
}
