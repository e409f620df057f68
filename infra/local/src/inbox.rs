//! A subscriber to alerts: an HTTP endpoint of this process that gets what SNS sends to PagerDuty and its like.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_sdk_sns::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// SNS messages are at most 256 KiB; the envelope's JSON may escape some of that.
const LONGEST_MESSAGE_BYTES: usize = 1 << 20;
/// More header lines than any sender has.
const MOST_HEADERS: usize = 100;
/// A subscription is confirmed within a second.
const CONFIRM_WITHIN: Duration = Duration::from_secs(15);
/// Between two looks into the inbox.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// One alert as a subscriber gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedAlert {
    /// The subject line.
    pub subject: String,
    /// The message, as HTTPS endpoints get it: JSON.
    pub message: String,
    /// Message attributes, `severity` and `type` among them.
    pub attributes: BTreeMap<String, String>,
}

impl ReceivedAlert {
    /// The message's fields; null for one that is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.message).unwrap_or(Value::Null)
    }
}

/// An open subscription. Dropping it stops listening.
#[derive(Debug)]
pub struct AlertInbox {
    received: Arc<Mutex<Received>>,
    listening: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Received {
    token: Option<String>,
    alerts: Vec<ReceivedAlert>,
}

impl AlertInbox {
    /// Subscribes to `topic_arn` and confirms. `severities` become the filter policy; none means all.
    pub async fn open(sns: &Client, topic_arn: &str, severities: &[&str]) -> Result<Self> {
        let filter = if severities.is_empty() { json!({}) } else { json!({ "severity": severities }) };
        Self::filtered(sns, topic_arn, &filter).await
    }

    /// The same with a whole filter policy; an empty one means all.
    pub async fn filtered(sns: &Client, topic_arn: &str, filter: &Value) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let received = Arc::new(Mutex::new(Received::default()));
        let listening = tokio::spawn(listen(listener, Arc::clone(&received)));
        let inbox = Self { received, listening };
        let mut subscribe =
            sns.subscribe().topic_arn(topic_arn).protocol("http").endpoint(format!("http://{address}/"));
        if *filter != json!({}) {
            subscribe = subscribe.attributes("FilterPolicy", filter.to_string());
        }
        subscribe.send().await.context("cannot subscribe to alerts")?;
        let deadline = Instant::now() + CONFIRM_WITHIN;
        loop {
            let token = inbox.lock().token.take();
            if let Some(token) = token {
                sns.confirm_subscription().topic_arn(topic_arn).token(token).send().await?;
                return Ok(inbox);
            }
            if Instant::now() > deadline {
                bail!("no confirmation was asked for within {} s", CONFIRM_WITHIN.as_secs());
            }
            sleep(POLL_EVERY).await;
        }
    }

    /// What came so far, oldest first.
    pub fn alerts(&self) -> Vec<ReceivedAlert> {
        self.lock().alerts.clone()
    }

    /// Waits until `count` alerts have come.
    pub async fn wait_for(&self, count: usize, within: Duration) -> Result<Vec<ReceivedAlert>> {
        let deadline = Instant::now() + within;
        loop {
            let alerts = self.alerts();
            if alerts.len() >= count {
                return Ok(alerts);
            }
            if Instant::now() > deadline {
                bail!("{} of {count} alerts came within {} s", alerts.len(), within.as_secs());
            }
            sleep(POLL_EVERY).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AlertInbox {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Takes one delivery after the other: SNS repeats what is not answered.
async fn listen(listener: TcpListener, received: Arc<Mutex<Received>>) {
    while let Ok((stream, _)) = listener.accept().await {
        // A broken delivery is the sender's to repeat.
        if let Ok(body) = take_delivery(stream).await {
            file(&body, &mut received.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

async fn take_delivery(stream: TcpStream) -> Result<Value> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    for _ in 0..MOST_HEADERS {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() { break } else { continue }
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    anyhow::ensure!(length <= LONGEST_MESSAGE_BYTES, "a message of {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
    stream.shutdown().await?;
    Ok(serde_json::from_slice(&body)?)
}

fn file(body: &Value, received: &mut Received) {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    match body.get("Type").and_then(Value::as_str) {
        Some("SubscriptionConfirmation") => received.token = Some(text("Token")),
        Some("Notification") => {
            let attributes = body.get("MessageAttributes").and_then(Value::as_object).into_iter().flatten();
            let attributes = attributes
                .filter_map(|(name, attribute)| Some((name.clone(), attribute.get("Value")?.as_str()?.to_owned())))
                .collect();
            received.alerts.push(ReceivedAlert { subject: text("Subject"), message: text("Message"), attributes });
        }
        _ => {}
    }
}
