//! The inputs of the function `test-restore`.

use jiff::Timestamp;
use lifeboat_engine::BackupChoice;
use lifeboat_model::{Act, DatabaseName, Event, Mandate, NameError, Site};
use lifeboat_runtime::{
    Input, RuntimeError, Settings, TickTime, Trigger, by_event, by_order, by_request, by_schedule, input_error, order,
};
use serde::Deserialize;
use serde_json::Value;

/// The function's parsed inputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// The schedule fired: every database is due.
    Tick {
        /// The tick's own time, the same when it is delivered again.
        at: Timestamp,
        /// Who asked, and why, for the ledger.
        mandate: Mandate,
    },
    /// The scratch server is to be cleaned now.
    Clean {
        /// Who asked, and why, for the ledger.
        mandate: Mandate,
    },
    /// One database is to be drilled now.
    Drill {
        /// The database; absent: the only one.
        database: Option<DatabaseName>,
        /// What is restored.
        wanted: Wanted,
        /// Who asked, and why, for the ledger.
        mandate: Mandate,
    },
}

/// What a drill restores.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// What is next by schedule: each site in turn.
    Turn,
    /// This backup, from this site.
    Backup {
        /// The backup.
        backup: BackupChoice,
        /// The only site that is read.
        site: Site,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    trigger: Option<String>,
    scheduled_time: Option<TickTime>,
    database: Option<DatabaseName>,
    backup: Option<String>,
    site: Option<Site>,
    clean: Option<bool>,
    requested_by: Option<String>,
    reason: Option<String>,
}

impl Input for Request {
    fn read(trigger: Trigger, _: &Settings) -> Result<Self, RuntimeError> {
        Self::of(trigger)
    }

    fn database(&self) -> Option<&DatabaseName> {
        match self {
            Self::Tick { .. } | Self::Clean { .. } => None,
            Self::Drill { database, .. } => database.as_ref(),
        }
    }

    fn mandate(&self) -> &Mandate {
        match self {
            Self::Tick { mandate, .. } | Self::Clean { mandate } | Self::Drill { mandate, .. } => mandate,
        }
    }
}

impl Request {
    fn of(trigger: Trigger) -> Result<Self, RuntimeError> {
        match trigger {
            Trigger::Order(value) => Self::ordered(order(value)?),
            Trigger::Event(event) => {
                let detail_type = event.detail_type();
                match *event {
                    Event::VerificationCompleted { database, backup_id: Some(backup_id), .. } => {
                        let wanted = Wanted::Backup { backup: BackupChoice::Id(backup_id), site: Site::Primary };
                        Ok(Self::Drill { database: Some(database), wanted, mandate: by_event(detail_type) })
                    }
                    Event::VerificationCompleted { backup_id: None, .. } => {
                        let fault = "the event `Verification Completed` names no `backup_id`, and so starts no drill";
                        Err(RuntimeError::Input(fault.to_owned()))
                    }
                    Event::RestoreTestRequested { database, requested_at, ref trigger } => {
                        let mandate = by_request(detail_type, trigger, requested_at);
                        Ok(Self::Drill { database: Some(database), wanted: Wanted::Turn, mandate })
                    }
                    Event::ScratchCleanupRequested { .. } => Ok(Self::Clean { mandate: by_event(detail_type) }),
                    other => Err(Trigger::Event(Box::new(other)).starts_no(Act::TestRestore)),
                }
            }
            other => Err(other.starts_no(Act::TestRestore)),
        }
    }

    fn ordered(order: Order) -> Result<Self, RuntimeError> {
        let Order { trigger, scheduled_time, database, backup, site, clean, requested_by, reason } = order;
        if let (Some(true), None, None, None, None) = (clean, &trigger, &database, &backup, site) {
            return Ok(Self::Clean { mandate: by_order(scheduled_time, requested_by.as_deref(), reason.as_deref())? });
        }
        if let (Some(_), Some(TickTime(at)), None, None, None) = (&trigger, scheduled_time, &database, &backup, site) {
            return Ok(Self::Tick { at, mandate: by_schedule(at) });
        }
        // A drill takes long, so an empty input must not start one.
        if clean.is_some() || database.is_none() && backup.is_none() {
            return Err(RuntimeError::Input("give `database`, `backup` or both, or `clean` alone".to_owned()));
        }
        let backup = backup.unwrap_or_else(|| "newest".to_owned());
        let backup: BackupChoice =
            backup.parse().map_err(|error: NameError| input_error(&error.to_string(), &Value::String(backup)))?;
        if database.is_none() && matches!(backup, BackupChoice::Id(_)) {
            return Err(RuntimeError::Input("a backup id needs its `database`".to_owned()));
        }
        let mandate = by_order(scheduled_time, requested_by.as_deref(), reason.as_deref())?;
        let wanted = Wanted::Backup { backup, site: site.unwrap_or(Site::Primary) };
        Ok(Self::Drill { database, wanted, mandate })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(payload: Value) -> Result<Request, RuntimeError> {
        Request::of(Trigger::read(payload))
    }

    #[test]
    fn a_tick_is_for_every_database_and_its_event_for_the_turn_of_one() {
        let tick = json!({"trigger": "schedule", "scheduled_time": "2026-11-22T04:00:00Z"});
        assert!(matches!(read(tick), Ok(Request::Tick { .. })));
        let event = json!({"source": "lifeboat", "detail-type": "Restore Test Requested", "detail": {
            "database": "clinic", "requested_at": "2026-11-22T04:00:00Z", "trigger": "schedule"}});
        let request = read(event).unwrap();
        assert_eq!(request.database(), Some(&"clinic".parse().unwrap()));
        assert!(matches!(request, Request::Drill { wanted: Wanted::Turn, .. }));
    }

    #[test]
    fn a_cleanup_is_asked_for_by_the_health_check_or_by_a_person_and_by_nothing_else() {
        let event = json!({"source": "lifeboat", "detail-type": "Scratch Cleanup Requested", "detail": {
            "requested_at": "2026-11-22T04:00:00Z", "trigger": "schedule"}});
        for payload in [event, json!({"clean": true, "reason": "the drill was killed"})] {
            assert!(matches!(read(payload.clone()), Ok(Request::Clean { .. })), "{payload}");
        }
        for payload in [json!({"clean": false}), json!({"clean": true, "database": "clinic"}), json!({"clean": "yes"})]
        {
            assert!(matches!(read(payload.clone()), Err(RuntimeError::Input(_))), "{payload}");
        }
    }

    #[test]
    fn a_person_names_what_is_drilled() {
        let request = read(json!({"database": "clinic", "backup": "random", "site": "offsite"})).unwrap();
        let Request::Drill { wanted, .. } = request else { panic!("{request:?}") };
        assert_eq!(wanted, Wanted::Backup { backup: BackupChoice::Random, site: Site::Offsite });
        for payload in [json!({}), json!({"trigger": "schedule"}), json!({"backup": "2026-11-21T20-49-33Z-k3f9"})] {
            assert!(matches!(read(payload.clone()), Err(RuntimeError::Input(_))), "{payload}");
        }
    }
}
