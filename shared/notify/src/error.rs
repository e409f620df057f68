//! Errors of sending a signal.

use lifeboat_model::Advice;

/// A signal that could not be sent. Receivers must accept a signal twice, so a retry is safe.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// The request did not reach the service or was refused by it.
    #[error("could not send `{signal}` to {service}")]
    NotSent {
        /// The event's detail type or the alert's kind.
        signal: String,
        /// `EventBridge` or `SNS`.
        service: &'static str,
        /// The error of the service's client.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// EventBridge accepted the request and refused the entry.
    #[error("EventBridge refused `{signal}`: `{code}`")]
    Refused {
        /// The event's detail type.
        signal: String,
        /// EventBridge's error code.
        code: String,
    },
    /// It is unknown who receives alerts.
    #[error("could not read the subscriptions of the topics")]
    SubscriptionsUnread {
        /// Whether the service refused. Otherwise it did not answer.
        is_refused: bool,
        /// The error of the service's client.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The signal could not be written as JSON.
    #[error("could not write `{signal}` as JSON")]
    Unwritable {
        /// The event's detail type.
        signal: String,
        /// The serializer's reason.
        #[source]
        source: serde_json::Error,
    },
}

impl SignalError {
    /// What to do about it. Handing a signal over again is safe.
    pub fn advice(&self) -> Advice {
        match self {
            Self::NotSent { service: "SNS", .. } => {
                Advice::retry("check that the topic exists and that the function may publish to it")
            }
            Self::NotSent { .. } | Self::Refused { .. } => {
                Advice::retry("check that the event bus exists and that the function may put events on it")
            }
            Self::SubscriptionsUnread { is_refused: true, .. } => Advice::fail(
                "check that the topics exist, and allow the role of `health` `sns:ListSubscriptionsByTopic` and \
                 `sns:GetSubscriptionAttributes`",
            ),
            Self::SubscriptionsUnread { .. } => {
                Advice::retry("check that SNS is reachable; the next health check reads again")
            }
            Self::Unwritable { .. } => Advice::defect(),
        }
    }
}
