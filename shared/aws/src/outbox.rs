//! EventBridge and SNS.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_sns::error::{BuildError, DisplayErrorContext};
use aws_sdk_sns::types::MessageAttributeValue;
use lifeboat_model::{Alert, Channel, Event};
use lifeboat_notify::{Message, Outbox, SignalError};
use serde_json::json;

use crate::filter::Attributes;
use crate::subscriptions;

/// Events to one bus, alerts to one topic, and those for chat to another one: AWS chat subscribes like any HTTPS endpoint, and wants
/// its own form. Without a bus or topic, nothing is sent there.
pub struct AwsOutbox {
    events: aws_sdk_eventbridge::Client,
    bus: Option<String>,
    notifications: aws_sdk_sns::Client,
    topic: Option<String>,
    chat_topic: Option<String>,
    alarms_topic: Option<String>,
}

impl AwsOutbox {
    /// `bus` is a name or ARN, the topics are ARNs. Time limits and retries are those of `config`.
    pub fn new(config: &SdkConfig, bus: Option<String>, topic: Option<String>, chat_topic: Option<String>) -> Self {
        Self {
            events: aws_sdk_eventbridge::Client::new(config),
            bus,
            notifications: aws_sdk_sns::Client::new(config),
            topic,
            chat_topic,
            alarms_topic: None,
        }
    }

    /// The same, which knows where CloudWatch sends its alarms. It only looks at that topic's subscriptions.
    #[must_use]
    pub fn with_alarms_topic(self, alarms_topic: Option<String>) -> Self {
        Self { alarms_topic, ..self }
    }
}

#[async_trait]
impl Outbox for AwsOutbox {
    async fn publish(&self, event: &Event) -> Result<(), SignalError> {
        let Some(bus) = &self.bus else { return Ok(()) };
        let signal = event.detail_type();
        let detail = event.detail().map_err(|source| SignalError::Unwritable { signal: signal.to_owned(), source })?;
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
        let message = Message::from(alert);
        let said = json!({
            "default": message.email,
            "email": message.email,
            "sms": message.sms,
            "http": message.json.to_string(),
            "https": message.json.to_string(),
            "sqs": message.json.to_string(),
            "lambda": message.json.to_string(),
        });
        let unsent = |source: BoxError| not_sent(alert.kind.as_str(), "SNS", source);
        let attributes = encoded(attributes(alert)).map_err(|source| unsent(source.into()))?;
        if let Some(topic) = &self.topic {
            let request = self.notifications.publish().topic_arn(topic).subject(&message.subject);
            let request = request.message_structure("json").message(said.to_string());
            let request = request.set_message_attributes(Some(attributes.clone()));
            request.send().await.map_err(|source| unsent(source.into()))?;
        }
        if let Some(topic) = self.chat_topic.as_ref().filter(|_| is_for_chat(alert)) {
            let request = self.notifications.publish().topic_arn(topic).message(message.chat.to_string());
            let request = request.set_message_attributes(Some(attributes));
            match request.send().await {
                Ok(_) => {}
                Err(error) if alert.channels == [Channel::Chat] => return Err(unsent(error.into())),
                // The others have it: they must not get it again because chat does not.
                Err(error) => {
                    let error = DisplayErrorContext(&error);
                    tracing::error!(kind = %alert.kind, %error, "an alert did not get to chat");
                }
            }
        }
        Ok(())
    }

    async fn unheard(&self, alerts: Vec<Alert>) -> Result<Vec<Alert>, SignalError> {
        let with_attributes = |alert: Alert| {
            let attributes = attributes(&alert);
            (alert, attributes)
        };
        let mut unheard: Vec<(Alert, Attributes)> = alerts.into_iter().map(with_attributes).collect();
        for (topic, wants) in [(&self.topic, is_for_all as fn(&Alert) -> bool), (&self.chat_topic, is_for_chat)] {
            let Some(topic) = topic else { continue };
            let (wanted, others) = unheard.into_iter().partition(|(alert, _)| wants(alert));
            unheard = others;
            unheard.extend(subscriptions::unheard(&self.notifications, topic, wanted).await?);
        }
        Ok(unheard.into_iter().map(|(alert, _)| alert).collect())
    }

    async fn alarms_are_unheard(&self) -> Result<bool, SignalError> {
        let Some(topic) = &self.alarms_topic else { return Ok(false) };
        // CloudWatch gives its messages no attributes.
        let alarm = vec![((), Attributes::new())];
        Ok(!subscriptions::unheard(&self.notifications, topic, alarm).await?.is_empty())
    }

    /// A process that knows one of the topics alone leaves incidents to those that know both.
    fn reaches_people(&self) -> bool {
        self.topic.is_some() && self.chat_topic.is_some()
    }
}

fn is_for_all(_: &Alert) -> bool {
    true
}

fn is_for_chat(alert: &Alert) -> bool {
    alert.channels.contains(&Channel::Chat)
}

/// The attribute that is a list.
const CHANNEL: &str = "channel";

/// The attributes that subscriptions filter by.
fn attributes(alert: &Alert) -> Attributes {
    let one = |name, value: &dyn ToString| (name, vec![value.to_string()]);
    let mut attributes = Attributes::from([
        one("severity", &alert.severity),
        one("type", &alert.kind),
        one("state", &alert.state),
        (CHANNEL, alert.channels.iter().map(ToString::to_string).collect()),
    ]);
    attributes.extend(alert.database.as_ref().map(|database| one("database", database)));
    attributes.extend(alert.incident.as_ref().map(|incident| one("incident", incident)));
    attributes
}

/// The attributes as SNS takes them.
fn encoded(attributes: Attributes) -> Result<HashMap<String, MessageAttributeValue>, BuildError> {
    let encoded = attributes.into_iter().map(|(name, values)| {
        let (kind, value) = match name {
            CHANNEL => ("String.Array", json!(values).to_string()),
            _ => ("String", values.concat()),
        };
        let value = MessageAttributeValue::builder().data_type(kind).string_value(value).build()?;
        Ok((name.to_owned(), value))
    });
    encoded.collect()
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn not_sent(
    signal: &str,
    service: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> SignalError {
    SignalError::NotSent { signal: signal.to_owned(), service, source: source.into() }
}
