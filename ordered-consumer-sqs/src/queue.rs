//! What is asked of a queue before it is used.

use std::{collections::HashMap, time::Duration};

use aws_sdk_sqs::{Client, types::QueueAttributeName};
use bytes::Bytes;

use crate::{
    SqsError,
    client_error::{Doing, explain},
};

/// What SQS allowed for a message before it allowed 1 MiB, and what a queue that does not say is believed to allow.
const MESSAGE_BYTES: usize = 262_144;

/// What is known of a queue.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) visibility: Duration,
    pub(crate) message_bytes_max: usize,
    /// What tells the queue from another one of the same name: its ARN and when it was made.
    pub(crate) identity: Bytes,
}

/// The last part of a queue's URL.
pub(crate) fn name_of(url: &str) -> &str {
    url.trim_end_matches('/').rsplit('/').next().unwrap_or(url)
}

/// Asks SQS what the queue is, and refuses one that cannot keep order.
pub(crate) async fn look_at(client: &Client, url: &str, allow_redrive: bool) -> Result<Queue, SqsError> {
    let doing = Doing { what: "reading the attributes of", queue: name_of(url) };
    let asked = client.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All).send();
    let answer = asked.await.map_err(|error| explain(doing, &error))?;
    judge(url, &answer.attributes.unwrap_or_default(), allow_redrive)
}

fn judge(
    url: &str,
    attributes: &HashMap<QueueAttributeName, String>,
    allow_redrive: bool,
) -> Result<Queue, SqsError> {
    let text = |name: QueueAttributeName| attributes.get(&name).map(String::as_str);
    let name = name_of(url).to_owned();
    if text(QueueAttributeName::FifoQueue) != Some("true") {
        return Err(SqsError::NotFifo { queue: name });
    }
    if text(QueueAttributeName::RedrivePolicy).is_some_and(|policy| !policy.is_empty()) {
        if !allow_redrive {
            return Err(SqsError::RedrivePolicy { queue: name });
        }
        tracing::warn!(
            queue = name,
            "the queue has a redrive policy: a message that SQS moves to the dead-letter queue lets the later ones of its group go on, out of order"
        );
    }
    let seconds =
        text(QueueAttributeName::VisibilityTimeout).and_then(|text| text.parse().ok()).unwrap_or(30);
    let bytes = text(QueueAttributeName::MaximumMessageSize).and_then(|text| text.parse().ok());
    let arn = text(QueueAttributeName::QueueArn).unwrap_or_default();
    let created = text(QueueAttributeName::CreatedTimestamp).unwrap_or_default();
    Ok(Queue {
        url: url.to_owned(),
        name,
        visibility: Duration::from_secs(seconds),
        message_bytes_max: bytes.unwrap_or(MESSAGE_BYTES),
        identity: Bytes::from(format!("{arn} {created}")),
        arn: arn.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(of: &[(QueueAttributeName, &str)]) -> HashMap<QueueAttributeName, String> {
        of.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect()
    }

    const URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo";

    #[test]
    fn a_standard_queue_is_refused_with_a_sentence_that_says_why() {
        let error = judge(URL, &attributes(&[]), true).unwrap_err();
        assert!(error.to_string().contains("orders.fifo is a standard queue"), "{error}");
        assert!(error.to_string().contains("fair queues"), "{error}");
    }

    #[test]
    fn a_redrive_policy_is_refused_unless_it_is_allowed() {
        let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:1:dead.fifo","maxReceiveCount":3}"#;
        let of = attributes(&[
            (QueueAttributeName::FifoQueue, "true"),
            (QueueAttributeName::RedrivePolicy, policy),
        ]);
        assert!(matches!(judge(URL, &of, false), Err(SqsError::RedrivePolicy { .. })));
        assert!(judge(URL, &of, true).is_ok());
    }

    #[test]
    fn what_a_queue_does_not_say_is_believed_to_be_the_least() {
        let queue = judge(URL, &attributes(&[(QueueAttributeName::FifoQueue, "true")]), false).unwrap();
        assert_eq!((queue.name.as_str(), queue.message_bytes_max), ("orders.fifo", 262_144));
        assert_eq!(queue.visibility, Duration::from_secs(30));
    }
}
