//! What can be asked of the function `backup`.

use jiff::Timestamp;
use lifeboat_model::DatabaseName;
use lifeboat_runtime::{RuntimeError, TickTime, Trigger, order};
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
#[serde(untagged, deny_unknown_fields)]
enum Order {
    Tick { trigger: ScheduleTrigger, scheduled_time: TickTime },
    Person { database: DatabaseName, requested_by: Option<String> },
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

impl TryFrom<Trigger> for Request {
    type Error = RuntimeError;

    fn try_from(trigger: Trigger) -> Result<Self, RuntimeError> {
        match trigger {
            Trigger::Event { kind, detail } if kind == "Backup Requested" => {
                let Requested { database, requested_at, trigger } = order(detail)?;
                Ok(Self::Backup { database, requested_at: Some(requested_at), actor: trigger })
            }
            Trigger::Event { kind, .. } => Err(RuntimeError::Input(format!("the event `{kind}` starts no backup"))),
            Trigger::Order(value) => Ok(match order(value)? {
                Order::Tick { trigger: ScheduleTrigger::Schedule, scheduled_time } => {
                    Self::Tick { at: scheduled_time.0 }
                }
                Order::Person { database, requested_by } => Self::Backup {
                    database,
                    requested_at: None,
                    actor: format!("stated by {}", requested_by.as_deref().unwrap_or("nobody")),
                },
            }),
        }
    }
}
