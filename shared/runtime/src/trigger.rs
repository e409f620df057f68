//! The input of an invocation: an event from the bus, or an order from a schedule or a person.

use jiff::{Timestamp, Unit};
use lifeboat_model::{Act, Event, LONGEST_NAME, LONGEST_REASON, Mandate, NameError, SCHEDULE, recordable};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::RuntimeError;

/// The input that starts a function.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// One of our events, from the bus.
    Event(Box<Event>),
    /// Any other event from EventBridge, or one of ours that cannot be read.
    OtherEvent {
        /// Its `detail-type`.
        detail_type: String,
        /// Why it cannot be read, if it is one of ours.
        fault: Option<String>,
    },
    /// JSON from a schedule, the console or the CLI.
    Order(Value),
}

impl Trigger {
    /// Reads the payload of an invocation. A fault repeats nothing that is not [`quotable`].
    pub fn read(payload: Value) -> Self {
        let detail_type = payload.get("detail-type").and_then(Value::as_str).map(str::to_owned);
        let Some(detail_type) = detail_type.filter(|_| payload.get("detail").is_some()) else {
            return Self::Order(payload);
        };
        if !Event::is_ours(&detail_type) {
            return Self::OtherEvent { detail_type, fault: None };
        }
        match order(payload) {
            Ok(event) => Self::Event(Box::new(event)),
            Err(RuntimeError::Input(fault)) => Self::OtherEvent { detail_type, fault: Some(fault) },
            Err(error) => Self::OtherEvent { detail_type, fault: Some(error.story()) },
        }
    }

    /// The refusal of an event that does not start this act.
    pub fn starts_no(&self, act: Act) -> RuntimeError {
        let detail_type = match self {
            Self::Event(event) => event.detail_type(),
            Self::OtherEvent { detail_type, fault: Some(fault) } => {
                return RuntimeError::Input(format!("the event `{detail_type}` cannot be read: {fault}"));
            }
            Self::OtherEvent { detail_type, fault: None } => detail_type,
            Self::Order(_) => "",
        };
        let noun = act.profile().noun;
        RuntimeError::Input(format!("the event `{}` does not start a {noun}", quotable(detail_type)))
    }
}

/// Reads an event or an order as a document.
///
/// # Errors
/// [`RuntimeError::Input`] says what is wrong with it.
pub fn order<T: DeserializeOwned>(value: Value) -> Result<T, RuntimeError> {
    serde_json::from_value(value.clone()).map_err(|error| input_error(&error.to_string(), &value))
}

/// The mandate of a run that an event starts: no person asked for it.
pub fn by_event(kind: &str) -> Mandate {
    Mandate { actor: "event".to_owned(), reason: format!("the event `{}`", quotable(kind)) }
}

/// The mandate of a run that a `… Requested` event starts. Anyone who may put events on the bus can state a trigger, so only a tick's own is
/// taken over.
pub fn by_request(kind: &str, trigger: &str, requested_at: Timestamp) -> Mandate {
    if trigger == SCHEDULE { by_schedule(requested_at) } else { by_event(kind) }
}

/// The mandate of a run that a schedule starts.
pub fn by_schedule(tick: Timestamp) -> Mandate {
    Mandate { actor: SCHEDULE.to_owned(), reason: format!("due at {}", tick.round(Unit::Second).unwrap_or(tick)) }
}

/// The mandate of an order, as far as the order states it. Lambda does not name the caller, so a name is only a statement.
/// CloudTrail knows the caller by the run's id, which the ledger records.
///
/// # Errors
/// [`RuntimeError::Input`] for a text that is too long for the ledger, or looks like a connection.
pub fn by_order(
    tick: Option<TickTime>,
    requested_by: Option<&str>,
    reason: Option<&str>,
) -> Result<Mandate, RuntimeError> {
    if let (Some(TickTime(at)), None) = (tick, requested_by) {
        return Ok(by_schedule(at));
    }
    let name = recordable("requested_by", requested_by.unwrap_or("nobody"), LONGEST_NAME).map_err(unrecordable)?;
    let reason = recordable("reason", reason.unwrap_or("none was stated"), LONGEST_REASON).map_err(unrecordable)?;
    Ok(Mandate { actor: format!("stated by {name}"), reason: reason.to_owned() })
}

fn unrecordable(error: NameError) -> RuntimeError {
    RuntimeError::Input(error.to_string())
}

/// Longest text of an input that an error repeats: names, ids and times are shorter.
const LONGEST_QUOTE: usize = 40;

/// Replaces text that must not be repeated.
const UNQUOTED: &str = "…";

/// The text if an error may repeat it: a name, an id or a time. Errors go to people, to the bus and into the ledger, so a
/// connection in the wrong place must not be repeated.
pub fn quotable(text: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " -_.:".contains(c);
    if text.len() <= LONGEST_QUOTE && text.chars().all(is_plain) { text } else { UNQUOTED }
}

/// The refusal of an input, with `message` as its reason. Text of `input` is repeated only if it is [`quotable`].
pub fn input_error(message: &str, input: &Value) -> RuntimeError {
    let mut texts = Vec::new();
    collect_unquotable(input, &mut texts);
    // The longest first: one may be a part of another.
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    let message = texts.iter().fold(message.to_owned(), |message, text| message.replace(text.as_str(), UNQUOTED));
    RuntimeError::Input(message)
}

/// Every text of an input that an error must not repeat, as it is and as an error escapes it.
fn collect_unquotable(value: &Value, texts: &mut Vec<String>) {
    let mut add = |text: &str| {
        if !text.is_empty() && quotable(text) == UNQUOTED {
            texts.push(text.to_owned());
            let escaped = format!("{text:?}");
            texts.push(escaped.trim_start_matches('"').trim_end_matches('"').to_owned());
        }
    };
    match value {
        Value::String(text) => add(text),
        Value::Array(values) => values.iter().for_each(|value| collect_unquotable(value, texts)),
        Value::Object(fields) => {
            fields.keys().for_each(|name| add(name));
            fields.values().for_each(|value| collect_unquotable(value, texts));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The time of a schedule's tick. EventBridge Scheduler replaces `<aws.scheduler.scheduled-time>` with it, and with the same time
/// in a repeated delivery. An emulator may not replace it: then the tick has the time of its arrival.
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
    use lifeboat_model::DatabaseName;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_envelope_with_detail_is_an_event_and_anything_else_is_an_order() {
        let event = json!({"source": "lifeboat", "detail-type": "Backup Requested", "detail": {"database": "a"}});
        let refused = Trigger::read(event.clone()).starts_no(Act::Backup).story();
        assert!(refused.contains("the event `Backup Requested` cannot be read: missing field"), "{refused}");
        let mut whole = event;
        whole["detail"] = json!({"database": "a", "requested_at": "2026-11-21T20:00:00Z", "trigger": "schedule"});
        let Trigger::Event(event) = Trigger::read(whole) else { panic!("it is one of ours") };
        assert!(matches!(*event, Event::BackupRequested { .. }));
        let other = Trigger::read(json!({"detail-type": "Parameter Store Change", "detail": {}}));
        assert!(other.starts_no(Act::Backup).story().contains("`Parameter Store Change` does not start a backup"));
        for order in [json!({"database": "a"}), json!([1]), json!({"detail-type": "Backup Requested"})] {
            assert!(matches!(Trigger::read(order), Trigger::Order(_)));
        }
    }

    #[test]
    fn an_error_repeats_a_name_and_never_a_connection_that_stands_in_the_wrong_place() {
        let url = "postgres://backup:Wr0ng-\"Sesame@db/clinic";
        for input in
            [json!(url), json!([url]), json!({ url: 1 }), json!({"scheduled_time": url}), json!({"a": {"b": url}})]
        {
            let [as_time, as_name] =
                [order::<TickTime>(input.clone()).map(drop), order::<DatabaseName>(input.clone()).map(drop)];
            for refused in [as_time, as_name] {
                let Err(RuntimeError::Input(message)) = refused else { panic!("{input} was taken") };
                assert!(!message.contains("Sesame") && !message.contains("backup:"), "{input}: {message}");
            }
        }
        let message = order::<DatabaseName>(json!("Clinic")).unwrap_err().story();
        assert!(message.contains("`Clinic` is not a database name"), "{message}");
        assert_eq!(quotable("Backup Completed"), "Backup Completed");
        assert_eq!(quotable(url), "…");
    }

    #[test]
    fn what_a_person_states_is_on_record_as_stated_and_never_a_connection() {
        let at: TickTime = order(json!("2026-11-21T20:49:33.25Z")).unwrap();
        let scheduled = by_order(Some(at), None, None).unwrap();
        assert_eq!((scheduled.actor.as_str(), scheduled.reason.as_str()), ("schedule", "due at 2026-11-21T20:49:33Z"));
        let stated = by_order(None, Some("schedule"), Some("before release 7")).unwrap();
        assert_eq!((stated.actor.as_str(), stated.reason.as_str()), ("stated by schedule", "before release 7"));
        assert_eq!(by_order(None, None, None).unwrap().actor, "stated by nobody");
        for text in ["", " ", "a\nb", "postgres://backup:Sesame@db", "host=db Password=Sesame", &"x".repeat(301)] {
            for refused in [by_order(None, Some(text), None), by_order(None, Some("anna"), Some(text))] {
                let Err(RuntimeError::Input(message)) = refused else { panic!("{text:?} was taken") };
                assert!(!message.contains("Sesame"), "{message}");
            }
        }
    }

    #[test]
    fn a_tick_has_the_time_it_names_and_nonsense_is_refused() {
        let named: TickTime = order(json!("2026-11-21T20:49:33Z")).unwrap();
        assert_eq!(named.0.as_second(), 1_795_294_173);
        assert!(order::<TickTime>(json!("<aws.scheduler.scheduled-time>")).unwrap().0 > named.0);
        assert!(matches!(order::<TickTime>(json!("soon")), Err(RuntimeError::Input(_))));
    }
}
