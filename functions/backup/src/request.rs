//! What can be asked of the function `backup`.

use jiff::Timestamp;
use lifeboat_model::{DatabaseName, Mandate};
use lifeboat_runtime::{
    Input, RuntimeError, Settings, TickTime, Trigger, by_event, by_order, by_schedule, order, quotable,
};
use serde::Deserialize;

/// The function's inputs, read.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// The schedule fired: every database is due.
    Tick {
        /// The tick's own time, the same when it is delivered again.
        at: Timestamp,
        /// Who asked, and why, for the ledger.
        mandate: Mandate,
    },
    /// One database is to be backed up now.
    Backup {
        /// Which.
        database: DatabaseName,
        /// Since when that has been wanted; a person's order is always carried out.
        requested_at: Option<Timestamp>,
        /// Who asked, and why, for the ledger.
        mandate: Mandate,
    },
}

/// What a tick's requests say of their trigger.
const SCHEDULE: &str = "schedule";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    trigger: Option<ScheduleTrigger>,
    scheduled_time: Option<TickTime>,
    database: Option<DatabaseName>,
    requested_by: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScheduleTrigger {
    Schedule,
}

#[derive(Deserialize)]
struct Requested {
    database: DatabaseName,
    requested_at: Timestamp,
    trigger: String,
}

impl Input for Request {
    fn read(trigger: Trigger, _: &Settings) -> Result<Self, RuntimeError> {
        match trigger {
            Trigger::Event { kind, detail } if kind == "Backup Requested" => {
                let Requested { database, requested_at, trigger } = order(detail)?;
                // Whoever may put events on the bus states the trigger; only a tick's own is taken at its word.
                let mandate = if trigger == SCHEDULE { by_schedule(requested_at) } else { by_event(&kind) };
                Ok(Self::Backup { database, requested_at: Some(requested_at), mandate })
            }
            Trigger::Event { kind, .. } => {
                Err(RuntimeError::Input(format!("the event `{}` starts no backup", quotable(&kind))))
            }
            Trigger::Order(value) => Self::ordered(order(value)?),
        }
    }

    fn database(&self) -> Option<&DatabaseName> {
        match self {
            Self::Tick { .. } => None,
            Self::Backup { database, .. } => Some(database),
        }
    }

    fn mandate(&self) -> &Mandate {
        match self {
            Self::Tick { mandate, .. } | Self::Backup { mandate, .. } => mandate,
        }
    }
}

impl Request {
    fn ordered(order: Order) -> Result<Self, RuntimeError> {
        let Order { trigger, scheduled_time, database, requested_by, reason } = order;
        match (trigger, scheduled_time, database) {
            (Some(ScheduleTrigger::Schedule), Some(TickTime(at)), None) => {
                Ok(Self::Tick { at, mandate: by_schedule(at) })
            }
            (None, None, Some(database)) => {
                let mandate = by_order(None, requested_by.as_deref(), reason.as_deref())?;
                Ok(Self::Backup { database, requested_at: None, mandate })
            }
            _ => {
                let wanted = "give `database`, or `trigger` `schedule` with `scheduled_time`";
                Err(RuntimeError::Input(wanted.to_owned()))
            }
        }
    }
}
