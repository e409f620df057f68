//! The inputs of the function `verify`.

use jiff::Timestamp;
use lifeboat_model::{Act, BackupId, DatabaseName, Event, Mandate, VerificationScope};
use lifeboat_runtime::{
    Input, RuntimeError, Settings, TickTime, Trigger, by_event, by_order, by_request, by_schedule, order,
};
use serde::Deserialize;

/// The function's parsed inputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// The schedule fired: every database has parts that are due.
    Tick {
        /// The tick's own time, the same when it is delivered again.
        at: Timestamp,
        /// Who asked, and why, for the ledger.
        mandate: Mandate,
    },
    /// One database is to be verified now.
    Verify {
        /// The database; absent: the only one.
        database: Option<DatabaseName>,
        /// The objects to verify.
        wanted: Wanted,
        /// Who asked, and why, for the ledger.
        mandate: Mandate,
    },
}

/// The objects to verify.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// The objects of this scope.
    Scope(VerificationScope),
    /// The parts of the rotation that are due.
    Due {
        /// Whether a person asks, who gets the part of today also when nothing is due.
        is_asked: bool,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    trigger: Option<String>,
    scheduled_time: Option<TickTime>,
    scope: Option<Scope>,
    database: Option<DatabaseName>,
    backup_id: Option<BackupId>,
    requested_by: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Scope {
    Backup,
    All,
    Rotation,
}

impl Input for Request {
    fn read(trigger: Trigger, _: &Settings) -> Result<Self, RuntimeError> {
        Self::of(trigger)
    }

    fn database(&self) -> Option<&DatabaseName> {
        match self {
            Self::Tick { .. } => None,
            Self::Verify { database, .. } => database.as_ref(),
        }
    }

    fn mandate(&self) -> &Mandate {
        match self {
            Self::Tick { mandate, .. } | Self::Verify { mandate, .. } => mandate,
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
                    Event::BackupCompleted { database, backup_id, .. } => {
                        let wanted = Wanted::Scope(VerificationScope::Backup { backup_id });
                        Ok(Self::Verify { database: Some(database), wanted, mandate: by_event(detail_type) })
                    }
                    Event::VerificationRequested { database, requested_at, ref trigger } => {
                        let mandate = by_request(detail_type, trigger, requested_at);
                        Ok(Self::Verify { database: Some(database), wanted: Wanted::Due { is_asked: false }, mandate })
                    }
                    other => Err(Trigger::Event(Box::new(other)).starts_no(Act::Verify)),
                }
            }
            other => Err(other.starts_no(Act::Verify)),
        }
    }

    fn ordered(order: Order) -> Result<Self, RuntimeError> {
        let Order { trigger, scheduled_time, scope, database, backup_id, requested_by, reason } = order;
        let wanted = match (scope, backup_id) {
            (Some(Scope::Rotation), None) => match (trigger, scheduled_time, &database) {
                (Some(_), Some(TickTime(at)), None) => return Ok(Self::Tick { at, mandate: by_schedule(at) }),
                _ => Wanted::Due { is_asked: true },
            },
            (None | Some(Scope::Backup), Some(backup_id)) if database.is_some() => {
                Wanted::Scope(VerificationScope::Backup { backup_id })
            }
            (Some(Scope::All), None) => Wanted::Scope(VerificationScope::All),
            _ => {
                let wanted = "give `database` with `backup_id`, or `scope` `all` or `rotation`";
                return Err(RuntimeError::Input(wanted.to_owned()));
            }
        };
        let mandate = by_order(scheduled_time, requested_by.as_deref(), reason.as_deref())?;
        Ok(Self::Verify { database, wanted, mandate })
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
    fn a_tick_is_for_every_database_and_its_event_for_one() {
        let tick = json!({"trigger": "schedule", "scheduled_time": "2026-11-21T03:00:00Z", "scope": "rotation"});
        assert!(matches!(read(tick), Ok(Request::Tick { .. })));
        let event = json!({"source": "lifeboat", "detail-type": "Verification Requested", "detail": {
            "database": "clinic", "requested_at": "2026-11-21T03:00:00Z", "trigger": "schedule"}});
        let request = read(event).unwrap();
        assert_eq!(request.database(), Some(&"clinic".parse().unwrap()));
        assert!(matches!(request, Request::Verify { wanted: Wanted::Due { is_asked: false }, .. }));
        let order = read(json!({"scope": "rotation", "database": "clinic"})).unwrap();
        assert!(matches!(order, Request::Verify { wanted: Wanted::Due { is_asked: true }, .. }));
    }

    #[test]
    fn an_input_that_names_no_scope_or_an_unknown_field_is_refused() {
        for payload in [json!({}), json!({"scope": "backup"}), json!({"scope": "all", "databse": "a"}), json!("x")] {
            assert!(matches!(read(payload.clone()), Err(RuntimeError::Input(_))), "{payload}");
        }
    }
}
