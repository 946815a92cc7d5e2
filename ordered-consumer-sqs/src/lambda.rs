//! AWS Lambda: batches of messages that somebody else has received.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    time::Duration,
};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use bytes::Bytes;
use ordered_consumer::{Delivery, Event, Handler, Lease, OrderedConsumer, StreamName};

use crate::{
    IncomingMessage, SqsMapping, copy_attribute,
    incoming::{Attribute, number},
};

/// Takes Lambda's batches of a FIFO queue through a consumer, without our receive loop.
///
/// Turn on `ReportBatchItemFailures` for the function's event source mapping. Lambda deletes what is not reported as failed;
/// a handler's failure is no such failure, because it is in the failure log. What is reported is what could not be made
/// durable, or cannot be mapped, and every later message of its group: the group stops there, and the rest of the batch goes
/// on.
///
/// Retries run where [`OrderedConsumer::run_retries_until`] runs: between two invocations nothing runs in a function, so
/// keep one small process elsewhere, with the same name and failure log, and a store that several processes share. Copies
/// that a publisher has sent to the function's own queue are acknowledged, and nothing runs by them.
///
/// ```
/// use aws_lambda_events::sqs::SqsEvent;
/// use ordered_consumer::{Event, MemoryFailureLog, OrderedConsumer};
/// use ordered_consumer_sqs::SqsBatches;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// async fn charge(_: Event) -> Result<(), std::io::Error> {
///     Ok(())
/// }
/// let batches = SqsBatches::new(OrderedConsumer::new("billing", charge, MemoryFailureLog::new()));
/// let response = batches.handle_batch(SqsEvent::default()).await;
/// assert!(response.batch_item_failures.is_empty());
/// # }
/// ```
pub struct SqsBatches<H> {
    consumer: OrderedConsumer<H>,
    mapping: SqsMapping,
}

/// A message that is an event: where it is in the batch, and its group.
struct Taken {
    place: usize,
    event: Event,
}

impl<H: Handler> SqsBatches<H> {
    /// Batches for this consumer, with the plain [`SqsMapping`].
    #[must_use]
    pub fn new(consumer: OrderedConsumer<H>) -> Self {
        Self { consumer, mapping: SqsMapping::new() }
    }

    /// How a message becomes an event.
    #[must_use]
    pub fn mapping(mut self, mapping: SqsMapping) -> Self {
        self.mapping = mapping;
        self
    }

    /// The consumer, for its retries and operators.
    #[must_use]
    pub fn consumer(&self) -> &OrderedConsumer<H> {
        &self.consumer
    }

    /// Processes a batch; says which of its messages Lambda must not delete. The stream is named as the queue.
    ///
    /// Cancel safe: what a dropped call has not recorded is not said to be done.
    pub async fn handle_batch(&self, event: SqsEvent) -> SqsBatchResponse {
        self.handle(event, None).await
    }

    /// As [`handle_batch`](Self::handle_batch), with the time that the invocation has left: nothing starts or is recorded
    /// later, so that a function that was frozen meanwhile does no harm. The queue's visibility timeout must be longer;
    /// AWS asks for six times the function's timeout.
    pub async fn handle_batch_within(&self, event: SqsEvent, left: Duration) -> SqsBatchResponse {
        self.handle(event, Some(Lease::new(left))).await
    }

    async fn handle(&self, event: SqsEvent, lease: Option<Lease>) -> SqsBatchResponse {
        let records = event.records;
        let ids: Vec<String> =
            records.iter().map(|record| record.message_id.clone().unwrap_or_default()).collect();
        let groups: Vec<Option<String>> =
            records.iter().map(|record| record.attributes.get("MessageGroupId").cloned()).collect();
        let (taken, mut failed) = self.take(records);
        let places: Vec<usize> = taken.iter().map(|taken| taken.place).collect();
        let deliver = |taken: Taken| Delivery { lease: lease.clone(), ..Delivery::from(taken.event) };
        let processed = self.consumer.process_batch(taken.into_iter().map(deliver).collect()).await;
        for (place, outcome) in places.into_iter().zip(processed) {
            if let Err(error) = outcome {
                tracing::warn!(%error, "a message is not done with, and stays in its queue");
                failed.insert(place);
            }
        }
        let mut stopped: HashSet<&Option<String>> = HashSet::new();
        let mut response = SqsBatchResponse::default();
        for (place, (id, group)) in ids.into_iter().zip(&groups).enumerate() {
            if failed.contains(&place) {
                stopped.insert(group);
            }
            if stopped.contains(group) {
                response.add_failure(id);
            }
        }
        response
    }

    /// The batch's events, and the places of what is none.
    fn take(&self, records: Vec<SqsMessage>) -> (Vec<Taken>, HashSet<usize>) {
        let (mut taken, mut failed) = (Vec::with_capacity(records.len()), HashSet::new());
        let mut streams: HashMap<String, Option<StreamName>> = HashMap::new();
        let mut stopped: HashSet<Option<String>> = HashSet::new();
        for (place, record) in records.into_iter().enumerate() {
            let arn = record.event_source_arn.clone().unwrap_or_default();
            let stream = streams
                .entry(arn.clone())
                .or_insert_with_key(|arn| StreamName::new(arn.rsplit(':').next().unwrap_or_default()).ok());
            let message = IncomingMessage::from(record);
            if stopped.contains(&message.group) {
                continue;
            }
            if copy_attribute::copied(&message, [arn.as_str()]).is_some() {
                continue;
            }
            let mapped = match stream {
                Some(stream) => self
                    .mapping
                    .event(stream, &message)
                    .map_err(|unmapped| (unmapped.index.map(|index| index.to_string()), unmapped.why)),
                None => Err((None, "it does not say which queue it is from")),
            };
            match mapped {
                Ok(event) => taken.push(Taken { place, event }),
                Err((index, why)) => {
                    tracing::error!(
                        stream = stream.as_ref().map(StreamName::as_str),
                        index,
                        why,
                        "a message cannot be handed over; its group stops there until the mapping is corrected or the message is deleted, and nothing of it is lost"
                    );
                    failed.insert(place);
                    stopped.insert(message.group);
                }
            }
        }
        (taken, failed)
    }
}

impl From<SqsMessage> for IncomingMessage {
    fn from(mut message: SqsMessage) -> Self {
        let mut attributes: Vec<_> = message
            .message_attributes
            .into_iter()
            .map(|(name, value)| {
                let bytes = match (value.string_value, value.binary_value) {
                    (Some(text), _) => Bytes::from(text),
                    (None, Some(blob)) => Bytes::from(blob.0),
                    (None, None) => Bytes::new(),
                };
                (name, Attribute { data_type: value.data_type.unwrap_or_default(), value: bytes })
            })
            .collect();
        attributes.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
        let mut system = |name: &str| message.attributes.remove(name);
        Self {
            group: system("MessageGroupId"),
            sequence: system("SequenceNumber"),
            deduplication: system("MessageDeduplicationId"),
            receives: number(system("ApproximateReceiveCount")).unwrap_or(1),
            sent: number(system("SentTimestamp")),
            body: message.body.map(Bytes::from),
            attributes,
        }
    }
}

impl<H> fmt::Debug for SqsBatches<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsBatches").field("mapping", &self.mapping).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
