//! What an invocation's input is: an event from the bus, or an order from a schedule or a person.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::RuntimeError;

/// The two kinds of input that functions get.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// An event from EventBridge.
    Event {
        /// Its `detail-type`.
        kind: String,
        /// Its `detail`.
        detail: Value,
    },
    /// JSON from a schedule, the console or the CLI.
    Order(Value),
}

impl From<Value> for Trigger {
    fn from(payload: Value) -> Self {
        match (payload.get("detail-type").and_then(Value::as_str), payload.get("detail")) {
            (Some(kind), Some(detail)) => Self::Event { kind: kind.to_owned(), detail: detail.clone() },
            _ => Self::Order(payload),
        }
    }
}

/// Reads a detail or an order as a document.
///
/// # Errors
/// [`RuntimeError::Input`] says what is wrong with it.
pub fn order<T: DeserializeOwned>(value: Value) -> Result<T, RuntimeError> {
    serde_json::from_value(value).map_err(|error| RuntimeError::Input(error.to_string()))
}

/// The time of a schedule's tick: what EventBridge Scheduler puts in place of `<aws.scheduler.scheduled-time>`, the same for a
/// repeated delivery. Where nobody replaces it (an emulator), a tick is of the moment it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickTime(pub Timestamp);

impl<'de> Deserialize<'de> for TickTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "<aws.scheduler.scheduled-time>" {
            return Ok(Self(Timestamp::now()));
        }
        let expected = "a time such as `2026-11-21T20:00:00Z`";
        let invalid = || serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), &expected);
        text.parse().map(Self).map_err(|_| invalid())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_envelope_with_detail_is_an_event_and_anything_else_is_an_order() {
        let event = json!({"source": "lifeboat", "detail-type": "Backup Requested", "detail": {"database": "a"}});
        assert!(matches!(Trigger::from(event), Trigger::Event { kind, .. } if kind == "Backup Requested"));
        assert!(matches!(Trigger::from(json!({"database": "a"})), Trigger::Order(_)));
        assert!(matches!(Trigger::from(json!([1])), Trigger::Order(_)));
    }

    #[test]
    fn a_tick_has_the_time_it_names_and_nonsense_is_refused() {
        let named: TickTime = order(json!("2026-11-21T20:49:33Z")).unwrap();
        assert_eq!(named.0.as_second(), 1_795_294_173);
        assert!(order::<TickTime>(json!("<aws.scheduler.scheduled-time>")).unwrap().0 > named.0);
        assert!(matches!(order::<TickTime>(json!("soon")), Err(RuntimeError::Input(_))));
    }
}
