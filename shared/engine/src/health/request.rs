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
    pub(crate) fn scheduled_acts(&self) -> impl Iterator<Item = (Act, AlertKind)> {
        let scheduled = Act::ALL.iter().filter_map(|act| Some((*act, act.profile().overdue?)));
        scheduled.filter(|(act, _)| *act != Act::TestRestore || self.drills)
    }

    /// Whether an incident is about a database or site that is still configured. Other incidents are resolved.
    pub(super) fn concerns(&self, incident: &Incident, sites: &[Site]) -> bool {
        let IncidentName { kind, subject } = &incident.name;
        match (kind, subject) {
            (
                AlertKind::AlertsUnheard
                | AlertKind::DrillLeftover
                | AlertKind::KeyUnusable
                | AlertKind::LedgerBroken
                | AlertKind::PolicyRefused,
                IncidentSubject::Repository,
            ) => true,
            (AlertKind::KeyUnusable | AlertKind::BucketUnprotected, IncidentSubject::Site(site)) => {
                sites.contains(site)
            }
            // An earlier version named the incidents of a database so that was called like a site or the repository.
            (_, IncidentSubject::Repository | IncidentSubject::Site(_)) => false,
            (AlertKind::DrillOverdue, _) if !self.drills => false,
            (AlertKind::OffsiteLag, _) if !sites.contains(&Site::Offsite) => false,
            // The next request that is understood resolves it.
            (_, IncidentSubject::Unnamed) => true,
            (_, IncidentSubject::Database(database)) => self.databases.contains(database),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;
    use lifeboat_model::{IncidentState, Severity};

    use super::*;

    fn concerns(name: &str) -> bool {
        let request = HealthRequest { databases: vec!["clinic".parse().unwrap()], drills: true };
        let at = Timestamp::UNIX_EPOCH;
        let incident = Incident {
            name: name.parse().unwrap(),
            state: IncidentState::Open,
            severity: Severity::Warning,
            since: at,
            opened_at: None,
            seen_at: at,
            sightings: 1,
            resolved_at: None,
            acknowledged: None,
            accepted: None,
            what: String::new(),
            hint: String::new(),
            database: None,
            parts: BTreeSet::new(),
            objects: lifeboat_model::DamagedObjects::default(),
            found_in: std::collections::BTreeMap::new(),
            facts: Vec::new(),
            channels: Vec::new(),
            owed: None,
            sent: 0,
            sent_at: None,
        };
        request.concerns(&incident, &[Site::Primary])
    }

    #[test]
    fn an_old_incident_of_a_database_called_like_a_site_or_the_repository_is_resolved() {
        for lasting in
            ["backup-failed/clinic", "key-unusable/primary", "bucket-unprotected/primary", "ledger-broken/repository"]
        {
            assert!(concerns(lasting), "{lasting}");
        }
        for past in
            ["backup-failed/ward", "backup-failed/primary", "verification-overdue/repository", "key-unusable/offsite"]
        {
            assert!(!concerns(past), "{past}");
        }
    }
}
