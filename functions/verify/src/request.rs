//! The inputs of the function `verify`.

use jiff::Timestamp;
use lifeboat_model::{Act, BackupId, DatabaseName, Event, Mandate, VerificationScope};
use lifeboat_runtime::{Input, RuntimeError, Settings, TickTime, Trigger, by_event, by_order, order};
use serde::Deserialize;

/// The function's parsed inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The database; absent: every database.
    pub database: Option<DatabaseName>,
    /// The objects to verify.
    pub scope: Wanted,
    /// Who asked, and why, for the ledger.
    pub mandate: Mandate,
}

/// The objects to verify. Policy decides how many days a rotation takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// The objects of this scope.
    Scope(VerificationScope),
    /// The part of the rotation for this time.
    Rotation(Timestamp),
}

impl Wanted {
    /// The scope, with a rotation of so many days.
    pub fn scope(&self, rotation_days: u32) -> VerificationScope {
        match self {
            Self::Scope(scope) => scope.clone(),
            Self::Rotation(at) => {
                let days = rotation_days.max(1);
                let day = at.as_second().div_euclid(86_400).rem_euclid(i64::from(days));
                VerificationScope::Rotation { day: u32::try_from(day).unwrap_or(0), days }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(rename = "trigger")]
    _trigger: Option<String>,
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
        self.database.as_ref()
    }

    fn mandate(&self) -> &Mandate {
        &self.mandate
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
                        let scope = Wanted::Scope(VerificationScope::Backup { backup_id });
                        Ok(Self { database: Some(database), scope, mandate: by_event(detail_type) })
                    }
                    other => Err(Trigger::Event(Box::new(other)).starts_no(Act::Verify)),
                }
            }
            other => Err(other.starts_no(Act::Verify)),
        }
    }

    fn ordered(order: Order) -> Result<Self, RuntimeError> {
        let Order { scheduled_time, scope, database, backup_id, requested_by, reason, .. } = order;
        let scope = match (scope, backup_id) {
            (None | Some(Scope::Backup), Some(backup_id)) if database.is_some() => {
                Wanted::Scope(VerificationScope::Backup { backup_id })
            }
            (Some(Scope::All), None) => Wanted::Scope(VerificationScope::All),
            (Some(Scope::Rotation), None) => {
                Wanted::Rotation(scheduled_time.map_or_else(Timestamp::now, |tick| tick.0))
            }
            _ => {
                let wanted = "give `database` with `backup_id`, or `scope` `all` or `rotation`";
                return Err(RuntimeError::Input(wanted.to_owned()));
            }
        };
        let mandate = by_order(scheduled_time, requested_by.as_deref(), reason.as_deref())?;
        Ok(Self { database, scope, mandate })
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
    fn thirty_daily_ticks_cover_every_part_of_the_rotation() {
        let mut days: Vec<u32> = (1..=30)
            .map(|day| {
                let time = format!("2026-11-{day:02}T03:00:00Z");
                match read(json!({"trigger": "schedule", "scope": "rotation", "scheduled_time": time}))
                    .unwrap()
                    .scope
                    .scope(30)
                {
                    VerificationScope::Rotation { day, days: 30 } => day,
                    other => panic!("{other:?}"),
                }
            })
            .collect();
        days.sort_unstable();
        assert_eq!(days, (0..30).collect::<Vec<u32>>());
    }

    #[test]
    fn an_input_that_names_no_scope_or_an_unknown_field_is_refused() {
        for payload in [json!({}), json!({"scope": "backup"}), json!({"scope": "all", "databse": "a"}), json!("x")] {
            assert!(matches!(read(payload.clone()), Err(RuntimeError::Input(_))), "{payload}");
        }
    }
}
