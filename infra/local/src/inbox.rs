//! A subscriber to alerts: an HTTP endpoint of this process that gets the messages that SNS sends to services such as PagerDuty.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_sdk_sns::Client;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// SNS messages are at most 256 KiB; the envelope's JSON may escape some of that.
const LONGEST_MESSAGE_BYTES: usize = 1 << 20;
/// A subscription is confirmed within a second.
const CONFIRM_WITHIN: Duration = Duration::from_secs(15);
/// The pause between two checks of the inbox.
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
    /// The message's fields; null if the message is not JSON.
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

    /// Subscribes with a complete filter policy. An empty one means all.
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

    /// The alerts so far, oldest first.
    pub fn alerts(&self) -> Vec<ReceivedAlert> {
        self.lock().alerts.clone()
    }

    /// Waits until `count` alerts have arrived.
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

    fn lock(&self) -> MutexGuard<'_, Received> {
        lock(&self.received)
    }
}

impl Drop for AlertInbox {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Takes one delivery after the other: SNS repeats a delivery that is not answered.
async fn listen(listener: TcpListener, received: Arc<Mutex<Received>>) {
    while let Ok((stream, _)) = listener.accept().await {
        // The sender repeats a broken delivery.
        let _ = take_delivery(stream, &received).await;
    }
}

/// Answers one delivery and closes the connection, because the next sender is waiting. SNS repeats a delivery that gets a 503.
async fn take_delivery(stream: TcpStream, received: &Mutex<Received>) -> Result<(), hyper::Error> {
    let answer = service_fn(async |request: Request<Incoming>| {
        let delivery = read(request).await.map(|body| file(&body, &mut lock(received)));
        let mut answer = Response::new(Empty::<Bytes>::new());
        *answer.status_mut() = if delivery.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Ok::<_, std::convert::Infallible>(answer)
    });
    http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer).await
}

async fn read(request: Request<Incoming>) -> Result<Value> {
    let body = Limited::new(request.into_body(), LONGEST_MESSAGE_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("cannot read a message: {error}"))?;
    Ok(serde_json::from_slice(&body.to_bytes())?)
}

fn lock(received: &Mutex<Received>) -> MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn deliver(address: std::net::SocketAddr, body: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn deliveries_are_filed_and_answered_and_a_broken_one_stops_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Received::default()));
        let listening = tokio::spawn(listen(listener, Arc::clone(&received)));
        assert!(deliver(address, "not JSON").await.starts_with("HTTP/1.1 503 "));
        drop(TcpStream::connect(address).await.unwrap());
        let confirmation = json!({ "Type": "SubscriptionConfirmation", "Token": "t" }).to_string();
        assert!(deliver(address, &confirmation).await.starts_with("HTTP/1.1 200 "));
        let attributes = json!({ "severity": { "Type": "String", "Value": "critical" } });
        let alert =
            json!({ "Type": "Notification", "Subject": "s", "Message": "{\"a\":1}", "MessageAttributes": attributes });
        assert!(deliver(address, &alert.to_string()).await.starts_with("HTTP/1.1 200 "));
        listening.abort();
        let received = lock(&received);
        assert_eq!(received.token.as_deref(), Some("t"));
        assert_eq!(received.alerts.len(), 1);
        assert_eq!(received.alerts[0].json(), json!({ "a": 1 }));
        assert_eq!(received.alerts[0].attributes["severity"], "critical");
    }
}
