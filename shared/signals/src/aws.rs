//! EventBridge and SNS.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_sns::types::MessageAttributeValue;
use lifeboat_model::{Alert, Event};

use crate::error::SignalError;
use crate::outbox::Outbox;

/// Longest subject that SNS takes, in characters; longer ones are cut.
const SUBJECT_CHARACTERS: usize = 100;

/// Events to one bus, alerts to one topic. A bus or topic that is not configured takes nothing.
pub struct AwsOutbox {
    events: aws_sdk_eventbridge::Client,
    bus: Option<String>,
    notifications: aws_sdk_sns::Client,
    topic: Option<String>,
}

impl AwsOutbox {
    /// `bus` is a name or ARN, `topic` an ARN. Time limits and retries are those of `config`.
    pub fn new(config: &SdkConfig, bus: Option<String>, topic: Option<String>) -> Self {
        Self {
            events: aws_sdk_eventbridge::Client::new(config),
            bus,
            notifications: aws_sdk_sns::Client::new(config),
            topic,
        }
    }
}

#[async_trait]
impl Outbox for AwsOutbox {
    async fn publish(&self, event: &Event) -> Result<(), SignalError> {
        let Some(bus) = &self.bus else { return Ok(()) };
        let signal = event.detail_type();
        let detail = serde_json::to_string(event)
            .map_err(|source| SignalError::Unwritable { signal: signal.to_owned(), source })?;
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(bus)
            .source(Event::SOURCE)
            .detail_type(signal)
            .detail(detail)
            .build();
        let answer = self.events.put_events().entries(entry).send().await;
        let answer = answer.map_err(|source| not_sent(signal, "EventBridge", source))?;
        // PutEvents answers 200 with the refusal inside.
        match answer.entries().iter().find_map(|entry| entry.error_code()) {
            Some(code) => Err(SignalError::Refused { signal: signal.to_owned(), code: code.to_owned() }),
            None => Ok(()),
        }
    }

    async fn alert(&self, alert: &Alert) -> Result<(), SignalError> {
        let Some(topic) = &self.topic else { return Ok(()) };
        let subject: String = alert
            .subject
            .chars()
            .map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' })
            .take(SUBJECT_CHARACTERS)
            .collect();
        let mut request = self.notifications.publish().topic_arn(topic).subject(subject).message(&alert.text);
        let attributes = [
            ("severity", Some(alert.severity.as_str())),
            ("type", Some(alert.kind.as_str())),
            ("database", alert.database.as_ref().map(|database| database.as_str())),
        ];
        for (name, value) in attributes.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            let attribute = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            let attribute = attribute.map_err(|source| not_sent(alert.kind.as_str(), "SNS", source))?;
            request = request.message_attributes(name, attribute);
        }
        request.send().await.map(|_| ()).map_err(|source| not_sent(alert.kind.as_str(), "SNS", source))
    }
}

fn not_sent(
    signal: &str,
    service: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> SignalError {
    SignalError::NotSent { signal: signal.to_owned(), service, source: source.into() }
}
