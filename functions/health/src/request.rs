//! The inputs of the function `health`.

use lifeboat_model::{DatabaseName, Mandate};
use lifeboat_runtime::{Input, RuntimeError, Settings, TickTime, Trigger, by_event, by_order, order};
use serde::Deserialize;

/// The function's parsed input. Every input asks for the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Who asked, and why, for the ledger.
    pub mandate: Mandate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(rename = "trigger")]
    _trigger: Option<String>,
    scheduled_time: Option<TickTime>,
    requested_by: Option<String>,
    reason: Option<String>,
}

impl Input for Request {
    fn read(trigger: Trigger, _: &Settings) -> Result<Self, RuntimeError> {
        match trigger {
            Trigger::Event(event) => Ok(Self { mandate: by_event(event.detail_type()) }),
            Trigger::OtherEvent { detail_type, .. } => Ok(Self { mandate: by_event(&detail_type) }),
            Trigger::Order(value) => {
                let Order { scheduled_time, requested_by, reason, .. } = order(value)?;
                Ok(Self { mandate: by_order(scheduled_time, requested_by.as_deref(), reason.as_deref())? })
            }
        }
    }

    fn database(&self) -> Option<&DatabaseName> {
        None
    }

    fn mandate(&self) -> &Mandate {
        &self.mandate
    }
}
