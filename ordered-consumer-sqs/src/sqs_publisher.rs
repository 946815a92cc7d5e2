//! The publishing half: copies of released events, on their way to the retry queue.

use std::{
    collections::hash_map::DefaultHasher,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    primitives::Blob,
    types::{MessageAttributeValue, SendMessageBatchRequestEntry as Entry},
};
use ordered_consumer::{EventPublisher, PublishError, Published, ReleasedEvent, error_text};
use tokio::sync::Mutex;

use crate::{
    SqsError,
    client_error::{Doing, EntryFault, code_of, entry_fault, explain, is_about_a_message},
    deduplication::DeduplicationIds,
    incoming::Attribute,
    outgoing::{Outgoing, message},
    queue::{self, Queue},
    tell::{BATCH_MAX, place_of},
};

/// What the messages of one request may have together, at the least.
const REQUEST_BYTES: usize = 262_144;
/// Publishes of different entities that can be under way at once.
const LANES: usize = 64;

/// Sends released events to a FIFO retry queue, or to the queue that they came from: which, is declared by its URL. Clones
/// are the same publisher.
///
/// A copy has its event's own group id, body and attributes, and **one** attribute more, `ordered-consumer`, by which it is
/// found in the failure log; nothing of it is believed. Each publish has a deduplication id of its own. What SQS will never
/// take is refused before it is sent, and goes back in-process: eleven attributes wanted, more bytes than the queue allows
/// with attributes counted, an empty or null payload, characters that a body must not have, an entity that is no group id.
///
/// Events go out in batches of ten, in order. SQS answers for each message of a batch on its own: if it fails to take one,
/// it may have taken later ones of the same request. They count as not published, and a copy that comes out of its turn
/// runs nothing.
///
/// A dropped call goes on in its own task, so that what is published later for the entity is behind it.
#[derive(Clone)]
pub struct SqsPublisher {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    queue: Queue,
    ids: DeduplicationIds,
    lanes: Vec<Mutex<()>>,
}

/// Puts an [`SqsPublisher`] together; begun by [`SqsPublisher::builder`].
///
/// [`Debug`](fmt::Debug) shows the queue, and nothing of the client, which knows its credentials.
#[must_use]
pub struct SqsPublisherBuilder {
    client: Client,
    url: String,
    allow_redrive_policy: bool,
    message_bytes_max: Option<usize>,
}

impl SqsPublisherBuilder {
    /// Takes a queue with a redrive policy, with a warning.
    pub fn allow_redrive_policy(mut self) -> Self {
        self.allow_redrive_policy = true;
        self
    }

    /// The most bytes a message may have with its attributes; the queue's `MaximumMessageSize` unless changed, and 256 KiB
    /// if it does not say.
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = Some(bytes);
        self
    }

    /// Reads the queue's attributes. Cancel safe: a dropped call has sent nothing.
    ///
    /// # Errors
    /// [`SqsError`], as for a source.
    pub async fn open(self) -> Result<SqsPublisher, SqsError> {
        let mut queue = queue::look_at(&self.client, &self.url, self.allow_redrive_policy).await?;
        queue.message_bytes_max = self.message_bytes_max.unwrap_or(queue.message_bytes_max);
        let ids =
            DeduplicationIds::new(queue.arn.clone()).map_err(|error| SqsError::Randomness(error.into()))?;
        let lanes = (0..LANES).map(|_| Mutex::new(())).collect();
        Ok(SqsPublisher { inner: Arc::new(Inner { client: self.client, queue, ids, lanes }) })
    }
}

impl SqsPublisher {
    /// A publisher to this queue, which must be a FIFO queue. Cancel safe, as [`SqsPublisherBuilder::open`].
    ///
    /// # Errors
    /// As [`SqsPublisherBuilder::open`].
    pub async fn open(client: Client, queue_url: impl Into<String>) -> Result<Self, SqsError> {
        Self::builder(client, queue_url).open().await
    }

    /// Begins a publisher to this queue.
    pub fn builder(client: Client, queue_url: impl Into<String>) -> SqsPublisherBuilder {
        let url = queue_url.into();
        SqsPublisherBuilder { client, url, allow_redrive_policy: false, message_bytes_max: None }
    }
}

#[async_trait]
impl EventPublisher for SqsPublisher {
    fn describe(&self) -> String {
        format!("SQS retry queue {}", self.inner.queue.name)
    }

    async fn publish(&self, events: &[ReleasedEvent]) -> Published {
        let Some(first) = events.first() else { return Published { count: 0, failed: None } };
        let mut hash = DefaultHasher::new();
        first.event.entity().hash(&mut hash);
        let lane = usize::try_from(hash.finish() % LANES as u64).unwrap_or_default();
        let (inner, events) = (Arc::clone(&self.inner), events.to_vec());
        let publishing = tokio::spawn(async move {
            let _alone = match inner.lanes.get(lane) {
                Some(lane) => Some(lane.lock().await),
                None => None,
            };
            inner.publish(&events).await
        });
        match publishing.await {
            Ok(published) => published,
            Err(gone) => Published { count: 0, failed: Some(PublishError::Unavailable(gone.into())) },
        }
    }
}

impl Inner {
    async fn publish(&self, events: &[ReleasedEvent]) -> Published {
        let mut count = 0;
        while count < events.len() {
            let (batch, refused) = self.batch(events.get(count..).unwrap_or_default());
            let sent = batch.len();
            if sent > 0 {
                let (went_out, failed) = self.send(batch).await;
                count += went_out;
                if failed.is_some() {
                    return Published { count, failed };
                }
            }
            if let Some(why) = refused {
                return Published { count, failed: Some(PublishError::Refused(why.into())) };
            }
        }
        Published { count, failed: None }
    }

    /// As many as one request takes, up to the first that SQS would refuse, with why.
    fn batch(&self, events: &[ReleasedEvent]) -> (Vec<Entry>, Option<String>) {
        let bytes_max = self.queue.message_bytes_max.max(REQUEST_BYTES);
        let (mut batch, mut bytes) = (Vec::new(), 0_usize);
        for event in events.iter().take(BATCH_MAX) {
            let made = message(event, self.queue.message_bytes_max).and_then(|message| {
                let size = message.bytes;
                entry(batch.len(), message, self.ids.next(event)).map(|entry| (entry, size))
            });
            match made {
                Ok((_, size)) if !batch.is_empty() && bytes.saturating_add(size) > bytes_max => break,
                Ok((entry, size)) => {
                    bytes = bytes.saturating_add(size);
                    batch.push(entry);
                }
                Err(why) => return (batch, Some(why)),
            }
        }
        (batch, None)
    }

    /// One request; says how many went out before the first that did not.
    ///
    /// What SQS refuses as a whole, because of a message that it does not say (the queue's limit was lowered, or SQS counts
    /// otherwise than is counted here), is sent message by message, until the one that it refuses is known.
    async fn send(&self, batch: Vec<Entry>) -> (usize, Option<PublishError>) {
        // One alone is not sent again, and need not be kept.
        let kept = (batch.len() > 1).then(|| batch.clone());
        match (self.ask(batch).await, kept) {
            (Asked::Answered { count, failed }, _) => (count, failed),
            (Asked::RefusedAsAWhole(error), None) => (0, Some(error)),
            (Asked::RefusedAsAWhole(_), Some(batch)) => self.send_singly(batch).await,
        }
    }

    async fn send_singly(&self, batch: Vec<Entry>) -> (usize, Option<PublishError>) {
        let mut went_out = 0;
        for entry in batch {
            let failed = match self.ask(vec![entry]).await {
                Asked::Answered { failed, .. } => failed,
                Asked::RefusedAsAWhole(error) => Some(error),
            };
            if failed.is_some() {
                return (went_out, failed);
            }
            went_out += 1;
        }
        (went_out, None)
    }

    async fn ask(&self, batch: Vec<Entry>) -> Asked {
        let sent = batch.len();
        let request = self.client.send_message_batch().queue_url(&self.queue.url).set_entries(Some(batch));
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let of_a_message = code_of(&error).is_some_and(is_about_a_message);
                let error = explain(Doing { what: "publishing to", queue: &self.queue.name }, &error);
                if of_a_message {
                    return Asked::RefusedAsAWhole(PublishError::Refused(error_text(&error).into()));
                }
                // No such queue, missing rights: nothing that one event could help.
                return Asked::Answered { count: 0, failed: Some(PublishError::Unavailable(error.into())) };
            }
        };
        let failed = answer.failed.iter().filter_map(|failed| Some((place_of(&failed.id)?, failed)));
        let Some((place, failed)) = failed.min_by_key(|(place, _)| *place) else {
            return Asked::Answered { count: sent, failed: None };
        };
        let why = format!("SQS has not taken the message ({})", failed.code());
        let error = match entry_fault(failed) {
            EntryFault::Refused => PublishError::Refused(why.into()),
            EntryFault::Lost | EntryFault::Transient => PublishError::Unavailable(why.into()),
        };
        Asked::Answered { count: place, failed: Some(error) }
    }
}

/// What came of one request.
enum Asked {
    /// So many went out before the first that did not.
    Answered { count: usize, failed: Option<PublishError> },
    /// Nothing went out, because of one of the messages.
    RefusedAsAWhole(PublishError),
}

fn entry(place: usize, message: Outgoing, id: String) -> Result<Entry, String> {
    let mut entry = Entry::builder()
        .id(place.to_string())
        .message_group_id(message.group)
        .message_deduplication_id(id)
        .message_body(message.body);
    for (name, attribute) in message.attributes {
        entry = entry.message_attributes(name, value(attribute)?);
    }
    entry.build().map_err(|error| error.to_string())
}

fn value(attribute: Attribute) -> Result<MessageAttributeValue, String> {
    let value = MessageAttributeValue::builder();
    let value = if attribute.data_type.starts_with("Binary") {
        value.binary_value(Blob::new(attribute.value.to_vec()))
    } else {
        value.string_value(String::from_utf8_lossy(&attribute.value))
    };
    value.data_type(attribute.data_type).build().map_err(|error| error.to_string())
}

impl fmt::Debug for SqsPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl fmt::Debug for SqsPublisherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsPublisherBuilder")
            .field("queue", &queue::name_of(&self.url))
            .finish_non_exhaustive()
    }
}
