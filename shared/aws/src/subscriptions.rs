//! The confirmed subscriptions of an SNS topic.

use aws_sdk_sns::Client;
use aws_sdk_sns::error::SdkError;
use aws_sdk_sns::operation::get_subscription_attributes::GetSubscriptionAttributesError;
use futures_util::StreamExt as _;
use lifeboat_notify::SignalError;

use crate::filter::{Attributes, Filter};

/// Pages of a topic's subscriptions that are read, at most: a hundred go into a page, and the first listener is enough.
const PAGES_LIMIT: usize = 5;

/// Subscriptions whose filters are read at the same time.
const READ_AT_ONCE: usize = 8;

/// What each confirmed subscription of a topic lets through.
pub(crate) struct Subscriptions(Vec<Filter>);

impl Subscriptions {
    /// Reads those of `topic`: one request for each hundred, and one for each.
    pub(crate) async fn of(client: &Client, topic: &str) -> Result<Self, SignalError> {
        let mut confirmed = Vec::new();
        let mut pages = client.list_subscriptions_by_topic().topic_arn(topic).into_paginator().send();
        for _ in 0..PAGES_LIMIT {
            let Some(page) = pages.next().await.transpose().map_err(unread)? else { break };
            let listed = page.subscriptions.unwrap_or_default().into_iter();
            // One that nobody confirmed has the text `PendingConfirmation` in the place of its ARN, and one that was removed `Deleted`.
            confirmed.extend(listed.filter_map(|one| one.subscription_arn).filter(|arn| arn.starts_with("arn:")));
        }
        let mut reading = futures_util::stream::iter(confirmed).map(|arn| filter(client, arn)).buffered(READ_AT_ONCE);
        let mut filters = Vec::new();
        while let Some(filter) = reading.next().await {
            filters.extend(filter?);
        }
        Ok(Self(filters))
    }

    /// Whether one of them gets a message with these attributes.
    pub(crate) fn receive(&self, attributes: &Attributes) -> bool {
        self.0.iter().any(|filter| filter.passes(attributes))
    }
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
