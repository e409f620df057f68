//! What can be asked of the function `backup`.

use jiff::Timestamp;
use lifeboat_model::DatabaseName;
use lifeboat_runtime::{Input, RuntimeError, Settings, TickTime, Trigger, order, quotable};
use serde::Deserialize;

/// The function's inputs, read.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// The schedule fired: every database is due.
    Tick {
        /// The tick's own time, the same when it is delivered again.
        at: Timestamp,
    },
    /// One database is to be backed up now.
    Backup {
        /// Which.
        database: DatabaseName,
        /// Since when that has been wanted; a person's order is always carried out.
        requested_at: Option<Timestamp>,
        /// Who asked, for the ledger.
        actor: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    trigger: Option<ScheduleTrigger>,
    scheduled_time: Option<TickTime>,
    database: Option<DatabaseName>,
    requested_by: Option<String>,
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
                Ok(Self::Backup { database, requested_at: Some(requested_at), actor: trigger })
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

    fn actor(&self) -> &str {
        match self {
            Self::Tick { .. } => "schedule",
            Self::Backup { actor, .. } => actor,
        }
    }
}

impl Request {
    fn ordered(order: Order) -> Result<Self, RuntimeError> {
        let Order { trigger, scheduled_time, database, requested_by } = order;
        match (trigger, scheduled_time, database) {
            (Some(ScheduleTrigger::Schedule), Some(tick), None) => Ok(Self::Tick { at: tick.0 }),
            (None, None, Some(database)) => {
                let actor = format!("stated by {}", requested_by.as_deref().unwrap_or("nobody"));
                Ok(Self::Backup { database, requested_at: None, actor })
            }
            _ => {
                let wanted = "give `database`, or `trigger` `schedule` with `scheduled_time`";
                Err(RuntimeError::Input(wanted.to_owned()))
            }
        }
    }
}
