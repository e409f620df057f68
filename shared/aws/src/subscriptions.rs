//! The confirmed subscriptions of an SNS topic.

use aws_sdk_sns::Client;
use aws_sdk_sns::error::SdkError;
use aws_sdk_sns::operation::get_subscription_attributes::GetSubscriptionAttributesError;
use futures_util::{Stream, StreamExt as _};
use lifeboat_notify::SignalError;

use crate::filter::{Attributes, Filter};

/// Pages of a topic's subscriptions that are read, at most: a hundred go into a page, and the first listener is enough.
const PAGES_LIMIT: usize = 5;

/// Subscriptions whose filters are read at the same time.
const READ_AT_ONCE: usize = 8;

/// Those of `messages`, each with its attributes, that no confirmed subscription of `topic` lets through.
///
/// It sends one request for each hundred subscriptions, and one for each filter. It reads no more filters when each message is let through.
pub(crate) async fn unheard<M>(
    client: &Client,
    topic: &str,
    mut messages: Vec<(M, Attributes)>,
) -> Result<Vec<(M, Attributes)>, SignalError> {
    let mut pages = client.list_subscriptions_by_topic().topic_arn(topic).into_paginator().send();
    for _ in 0..PAGES_LIMIT {
        if messages.is_empty() {
            break;
        }
        let Some(page) = pages.next().await.transpose().map_err(unread)? else { break };
        let listed = page.subscriptions.unwrap_or_default().into_iter();
        // One that nobody confirmed has the text `PendingConfirmation` in the place of its ARN, and one that was removed `Deleted`.
        let confirmed = listed.filter_map(|one| one.subscription_arn).filter(|arn| arn.starts_with("arn:"));
        let filters = futures_util::stream::iter(confirmed).map(|arn| filter(client, arn)).buffered(READ_AT_ONCE);
        messages = not_let_through(messages, filters).await?;
    }
    Ok(messages)
}

/// Takes the next filter only while a message is left.
async fn not_let_through<M>(
    mut messages: Vec<(M, Attributes)>,
    filters: impl Stream<Item = Result<Option<Filter>, SignalError>>,
) -> Result<Vec<(M, Attributes)>, SignalError> {
    let mut filters = std::pin::pin!(filters);
    while !messages.is_empty()
        && let Some(filter) = filters.next().await
    {
        if let Some(filter) = filter? {
            messages.retain(|(_, attributes)| !filter.passes(attributes));
        }
    }
    Ok(messages)
}

/// The filter of a subscription; `None` when it is gone or was never confirmed.
async fn filter(client: &Client, arn: String) -> Result<Option<Filter>, SignalError> {
    let answer = match client.get_subscription_attributes().subscription_arn(arn).send().await {
        Ok(answer) => answer,
        Err(error)
            if matches!(error.as_service_error(), Some(GetSubscriptionAttributesError::NotFoundException(_))) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(unread(error)),
    };
    let attributes = answer.attributes.unwrap_or_default();
    let attribute = |name: &str| attributes.get(name).map(String::as_str);
    if attribute("PendingConfirmation") == Some("true") {
        return Ok(None);
    }
    Ok(Some(Filter::read(attribute("FilterPolicy"), attribute("FilterPolicyScope"))))
}

fn unread<E: std::error::Error + Send + Sync + 'static>(error: SdkError<E>) -> SignalError {
    let status = error.raw_response().map(|response| response.status().as_u16());
    SignalError::SubscriptionsUnread { is_refused: matches!(status, Some(401 | 403 | 404)), source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_filter_is_read_after_each_message_is_let_through() {
        let filter = |policy| Ok(Some(Filter::read(Some(policy), None)));
        let unread = Err(SignalError::SubscriptionsUnread { is_refused: true, source: "not to be asked".into() });
        let filters = [Ok(None), filter(r#"{"severity":["critical"]}"#), filter(r#"{"severity":["info"]}"#), unread];
        let message = |severity: &'static str| (severity, Attributes::from([("severity", vec![severity.to_owned()])]));
        let messages = vec![message("info"), message("critical")];
        let left = not_let_through(messages, futures_util::stream::iter(filters)).await.unwrap();
        assert!(left.is_empty(), "{left:?}");

        let filters = [filter(r#"{"severity":["critical"]}"#)];
        let left = not_let_through(vec![message("info"), message("critical")], futures_util::stream::iter(filters));
        assert_eq!(left.await.unwrap(), [message("info")]);
    }
}
