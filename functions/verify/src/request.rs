//! What can be asked of the function `verify`.

use jiff::Timestamp;
use lifeboat_model::{BackupId, DatabaseName, Mandate, VerificationScope};
use lifeboat_runtime::{Input, RuntimeError, Settings, TickTime, Trigger, by_event, by_order, order, quotable};
use serde::Deserialize;

/// The function's inputs, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Which database; absent: every one.
    pub database: Option<DatabaseName>,
    /// Which objects.
    pub scope: VerificationScope,
    /// Who asked, and why, for the ledger.
    pub mandate: Mandate,
}

#[derive(Deserialize)]
struct Completed {
    database: DatabaseName,
    backup_id: BackupId,
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
    fn read(trigger: Trigger, settings: &Settings) -> Result<Self, RuntimeError> {
        Self::of(trigger, settings.verify_days)
    }

    fn database(&self) -> Option<&DatabaseName> {
        self.database.as_ref()
    }

    fn mandate(&self) -> &Mandate {
        &self.mandate
    }
}

impl Request {
    /// A rotation reads the part of `verify_days` that the tick's day falls on.
    fn of(trigger: Trigger, verify_days: u32) -> Result<Self, RuntimeError> {
        match trigger {
            Trigger::Event { kind, detail } if kind == "Backup Completed" => {
                let Completed { database, backup_id } = order(detail)?;
                let scope = VerificationScope::Backup { backup_id };
                Ok(Self { database: Some(database), scope, mandate: by_event(&kind) })
            }
            Trigger::Event { kind, .. } => {
                Err(RuntimeError::Input(format!("the event `{}` starts no verification", quotable(&kind))))
            }
            Trigger::Order(value) => Self::ordered(order(value)?, verify_days),
        }
    }

    fn ordered(order: Order, verify_days: u32) -> Result<Self, RuntimeError> {
        let Order { scheduled_time, scope, database, backup_id, requested_by, reason, .. } = order;
        let scope = match (scope, backup_id) {
            (None | Some(Scope::Backup), Some(backup_id)) if database.is_some() => {
                VerificationScope::Backup { backup_id }
            }
            (Some(Scope::All), None) => VerificationScope::All,
            (Some(Scope::Rotation), None) => {
                let day = scheduled_time.map_or_else(Timestamp::now, |tick| tick.0).as_second().div_euclid(86_400);
                let days = verify_days.max(1);
                VerificationScope::Rotation { day: day.rem_euclid(i64::from(days)) as u32, days }
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
        Request::of(Trigger::from(payload), 30)
    }

    #[test]
    fn thirty_daily_ticks_cover_every_part_of_the_rotation() {
        let mut days: Vec<u32> = (1..=30)
            .map(|day| {
                let time = format!("2026-11-{day:02}T03:00:00Z");
                match read(json!({"trigger": "schedule", "scope": "rotation", "scheduled_time": time})).unwrap().scope {
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
