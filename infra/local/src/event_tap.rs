//! A tap on the event bus: every event of Lifeboat, in the order of delivery.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::cloud::{Cloud, Deployment};

/// The tap's name, for its rule and its queue.
const NAME: &str = "lifeboat-event-tap";
/// How long one poll of the queue waits (long polling).
const LOOK_SECONDS: i32 = 1;

/// One event as EventBridge delivers it.
#[derive(Debug, Clone, PartialEq)]
pub struct TappedEvent {
    /// Its `detail-type`.
    pub kind: String,
    /// Its `detail`.
    pub detail: Value,
}

/// A separate rule on the deployed bus, with a queue behind it.
#[derive(Debug, Clone)]
pub struct EventTap {
    sqs: aws_sdk_sqs::Client,
    queue_url: String,
}

impl EventTap {
    /// Taps the bus of a deployment. Earlier events are not delivered.
    pub async fn open(cloud: &Cloud, deployment: &Deployment) -> Result<Self> {
        let sqs = cloud.sqs().await;
        let queue = sqs.create_queue().queue_name(NAME).send().await.context("cannot create the tap's queue")?;
        let queue_url = queue.queue_url().context("the tap's queue has no URL")?.to_owned();
        let attributes = sqs
            .get_queue_attributes()
            .queue_url(&queue_url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await?;
        let arn = attributes.attributes().and_then(|all| all.get(&QueueAttributeName::QueueArn));
        let events = cloud.events().await;
        let pattern = json!({"source": ["lifeboat"]}).to_string();
        events.put_rule().name(NAME).event_bus_name(&deployment.bus).event_pattern(pattern).send().await?;
        let target = Target::builder().id(NAME).arn(arn.context("the tap's queue has no ARN")?).build()?;
        events.put_targets().rule(NAME).event_bus_name(&deployment.bus).targets(target).send().await?;
        Ok(Self { sqs, queue_url })
    }

    /// The next event, or `None` when none comes within `within`.
    pub async fn next(&self, within: Duration) -> Result<Option<TappedEvent>> {
        let deadline = Instant::now() + within;
        loop {
            let look = self.sqs.receive_message().queue_url(&self.queue_url).wait_time_seconds(LOOK_SECONDS);
            let answer = look.max_number_of_messages(1).send().await.context("cannot read the tap's queue")?;
            if let Some(message) = answer.messages().first() {
                let receipt = message.receipt_handle().unwrap_or_default();
                self.sqs.delete_message().queue_url(&self.queue_url).receipt_handle(receipt).send().await?;
                let event: Value = serde_json::from_str(message.body().unwrap_or_default())?;
                let kind = event.get("detail-type").and_then(Value::as_str).unwrap_or_default().to_owned();
                return Ok(Some(TappedEvent { kind, detail: event.get("detail").cloned().unwrap_or_default() }));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    /// Waits for an event of `kind` and returns it. `seen` gets the events before it.
    ///
    /// A `… Failed` event of another kind is an error with its cause and hint.
    pub async fn wait_for(
        &self,
        kind: &str,
        within: Duration,
        mut seen: impl FnMut(&TappedEvent),
    ) -> Result<TappedEvent> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(event) = self.next(left).await? else {
                bail!("no event `{kind}` came within {} s", within.as_secs());
            };
            if event.kind == kind {
                return Ok(event);
            }
            if event.kind.ends_with(" Failed") {
                let fact = |name: &str| event.detail.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                bail!("{}: {} ({})", event.kind, fact("error"), fact("hint"));
            }
            seen(&event);
        }
    }
}
