//! Which acts should happen regularly, and which incidents concern the current configuration.

use lifeboat_model::{Act, AlertKind, DatabaseName, Incident, IncidentName, IncidentSubject, Site};

/// A request for a health check.
#[derive(Debug, Clone)]
pub struct HealthRequest {
    /// Every database that should have backups.
    pub databases: Vec<DatabaseName>,
    /// Whether there is a server for drills.
    pub drills: bool,
}

impl HealthRequest {
    /// The acts that have a schedule.
    pub(crate) fn scheduled_acts(&self) -> impl Iterator<Item = Act> {
        let scheduled = Act::ALL.iter().copied().filter(|act| act.profile().overdue.is_some());
        scheduled.filter(|act| *act != Act::TestRestore || self.drills)
    }

    /// Whether an incident is about a database or site that is still configured. Other incidents are resolved.
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
