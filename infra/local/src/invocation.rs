//! Calls functions, and reads their logs and failure queues.

use anyhow::{Context, Result};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_lambda::types::InvocationType;
use serde_json::Value;

use crate::cloud::{Cloud, DeployedFunction, Deployment};

/// The most log events that are read, far more than a test writes.
const MOST_LOG_PAGES: usize = 100;
/// SQS returns at most ten messages at a time.
const MESSAGES_AT_ONCE: i32 = 10;

/// The outcome of a synchronous invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// The function's answer, or Lambda's error document (`errorType`, `errorMessage`).
    pub payload: Value,
    /// Whether the payload is an error document.
    pub failed: bool,
}

impl Cloud {
    /// Invokes a function and waits for its answer. A function's failure is an [`Invocation`], not an error.
    pub async fn invoke(&self, function: &DeployedFunction, payload: &Value) -> Result<Invocation> {
        let call =
            self.lambda().await.invoke().function_name(&function.name).payload(payload.to_string().into_bytes().into());
        let answer = call.send().await.with_context(|| format!("cannot invoke `{}`", function.name))?;
        let bytes = answer.payload().map(|blob| blob.as_ref().to_vec()).unwrap_or_default();
        let payload = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok(Invocation { payload, failed: answer.function_error().is_some() })
    }

    /// Invokes a function asynchronously, with the retries and the failure queue of the template.
    pub async fn invoke_later(&self, function: &DeployedFunction, payload: &Value) -> Result<()> {
        let call = self.lambda().await.invoke().function_name(&function.name).invocation_type(InvocationType::Event);
        call.payload(payload.to_string().into_bytes().into())
            .send()
            .await
            .with_context(|| format!("cannot invoke `{}`", function.name))?;
        Ok(())
    }

    /// Sends one event of the given source to the stack's bus.
    pub async fn put_event(&self, at: &Deployment, source: &str, detail_type: &str, detail: &Value) -> Result<()> {
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&at.bus)
            .source(source)
            .detail_type(detail_type)
            .detail(detail.to_string())
            .build();
        let put = self.events().await.put_events().entries(entry).send().await.context("cannot put an event")?;
        anyhow::ensure!(put.failed_entry_count() == 0, "the bus refused the event: {:?}", put.entries());
        Ok(())
    }

    /// All lines that a function wrote, oldest first, with Lambda's START, END and REPORT. A line is available when its
    /// invocation has ended.
    pub async fn log_lines(&self, function: &DeployedFunction) -> Result<Vec<String>> {
        let logs = self.logs().await;
        let mut lines = Vec::new();
        let mut next = None;
        for _ in 0..MOST_LOG_PAGES {
            let filter = logs.filter_log_events().log_group_name(&function.logs);
            let page = filter
                .set_next_token(next)
                .send()
                .await
                .with_context(|| format!("cannot read the logs of `{}`", function.name))?;
            lines.extend(page.events().iter().filter_map(|event| event.message().map(str::to_owned)));
            next = page.next_token().map(str::to_owned);
            if next.is_none() {
                return Ok(lines);
            }
        }
        anyhow::bail!("`{}` has more than {MOST_LOG_PAGES} pages of logs", function.name)
    }

    /// Takes up to ten failures from a function's queue: the request and its result, as Lambda wraps them.
    pub async fn take_failures(&self, function: &DeployedFunction) -> Result<Vec<Value>> {
        let sqs = self.sqs().await;
        let receive =
            sqs.receive_message().queue_url(&function.failures_queue_url).max_number_of_messages(MESSAGES_AT_ONCE);
        let mut failures = Vec::new();
        for message in receive.send().await.context("cannot read the failure queue")?.messages() {
            failures.push(serde_json::from_str(message.body().unwrap_or_default())?);
            if let Some(receipt) = message.receipt_handle() {
                sqs.delete_message().queue_url(&function.failures_queue_url).receipt_handle(receipt).send().await?;
            }
        }
        Ok(failures)
    }
}
