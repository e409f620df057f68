//! The inputs of the function `backup`.

use jiff::Timestamp;
use lifeboat_engine::Asked;
use lifeboat_model::{Act, DatabaseName, Event, Mandate};
use lifeboat_runtime::{Input, RuntimeError, Settings, TickTime, Trigger, by_order, by_request, by_schedule, order};
use serde::Deserialize;

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
    /// One database is to be backed up now.
    Backup {
        /// The database.
        database: DatabaseName,
        /// When it was requested.
        asked: Asked,
        /// Who asked, and why, for the ledger.
        mandate: Mandate,
    },
}

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

impl Input for Request {
    fn read(trigger: Trigger, _: &Settings) -> Result<Self, RuntimeError> {
        match trigger {
            Trigger::Order(value) => Self::ordered(order(value)?),
            Trigger::Event(event) => {
                let detail_type = event.detail_type();
                match *event {
                    Event::BackupRequested { database, requested_at, ref trigger } => {
                        let mandate = by_request(detail_type, trigger, requested_at);
                        Ok(Self::Backup { database, asked: Asked::Since(requested_at), mandate })
                    }
                    other => Err(Trigger::Event(Box::new(other)).starts_no(Act::Backup)),
                }
            }
            other => Err(other.starts_no(Act::Backup)),
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
                Ok(Self::Backup { database, asked: Asked::Now, mandate })
            }
            _ => {
                let wanted = "give `database`, or `trigger` `schedule` with `scheduled_time`";
                Err(RuntimeError::Input(wanted.to_owned()))
            }
        }
    }
}
