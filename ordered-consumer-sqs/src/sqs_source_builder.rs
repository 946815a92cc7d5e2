//! Puts a source together, and looks at its queues first.

use std::{fmt, time::Duration};

use aws_sdk_sqs::Client;
use ordered_consumer::{StreamName, Timeouts};

use crate::{
    SqsError, SqsMapping, SqsSource,
    giving_way::LONGEST,
    queue,
    shared::{DELETING_MAX, Shared},
    turns::Turns,
};

/// The shortest visibility with which heartbeats have time to come.
const VISIBILITY_MIN: Duration = Duration::from_secs(3);
/// As SQS allows.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Puts an [`SqsSource`] together; begun by [`SqsSource::builder`].
///
/// [`Debug`](fmt::Debug) shows the queues, and nothing of the client, which knows its credentials.
#[must_use]
pub struct SqsSourceBuilder {
    client: Client,
    url: String,
    retry_url: Option<String>,
    stream: Option<String>,
    mapping: SqsMapping,
    receivers: usize,
    retry_receivers: usize,
    wait: Duration,
    visibility: Option<Duration>,
    margin: Duration,
    delete_linger: Duration,
    deleting_max: usize,
    give_way_max: Duration,
    handler_timeout: Duration,
    allow_redrive_policy: bool,
}

impl SqsSourceBuilder {
    pub(crate) fn new(client: Client, url: String) -> Self {
        Self {
            client,
            url,
            retry_url: None,
            stream: None,
            mapping: SqsMapping::new(),
            receivers: 2,
            retry_receivers: 1,
            wait: Duration::from_secs(5),
            visibility: None,
            margin: Duration::from_secs(2),
            delete_linger: Duration::from_millis(5),
            deleting_max: DELETING_MAX,
            give_way_max: LONGEST,
            handler_timeout: Timeouts::default().handler,
            allow_redrive_policy: false,
        }
    }

    /// Takes copies in from this queue, which an [`SqsPublisher`](crate::SqsPublisher) publishes to. Without this call
    /// copies come back where the events come from, if the publisher publishes there. Each consumer has a retry queue of
    /// its own: a copy that another consumer receives is gone until the relay publishes it again.
    pub fn retry_queue(mut self, queue_url: impl Into<String>) -> Self {
        self.retry_url = Some(queue_url.into());
        self
    }

    /// The stream's name in the failure log; the queue's name unless changed. Give one if a consumer reads queues of the
    /// same name in several regions or accounts.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// How a message becomes an event.
    pub fn mapping(mut self, mapping: SqsMapping) -> Self {
        self.mapping = mapping;
        self
    }

    /// How many ask for events at once; 2 unless changed, at least 1. More of them need more requests when there is
    /// little to do, one each for every [`wait`](Self::wait).
    pub fn receivers(mut self, receivers: usize) -> Self {
        self.receivers = receivers.max(1);
        self
    }

    /// How many ask for copies at once, on a retry queue of their own; 1 unless changed, at least 1.
    pub fn retry_receivers(mut self, receivers: usize) -> Self {
        self.retry_receivers = receivers.max(1);
        self
    }

    /// How long a receive waits for a first message, in whole seconds from 1 to 20, SQS's own limit; 5 s unless changed. Longer
    /// waits need fewer requests when there is nothing to do, and closing takes as long.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait.clamp(Duration::from_secs(1), WAIT_MAX);
        self
    }

    /// For how long what is received is invisible to others, in whole seconds from 3 to 43,200 (a fraction is left out); the
    /// queue's own unless changed. It is extended while it is needed, so that it is how long others wait for what a crashed process had.
    pub fn visibility_timeout(mut self, visibility: Duration) -> Self {
        // SQS counts in seconds: a fraction would have leases outlast it.
        self.visibility = Some(Duration::from_secs(visibility.as_secs()));
        self
    }

    /// How much earlier than SQS a lease ends, for the way there and for clocks that do not run alike; 2 s unless changed, and
    /// never more than a third of the visibility timeout.
    pub fn lease_margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    /// How long a delete waits for others to share its request, while something else is being told to SQS, or for as long after
    /// a receive that brought as much as one can; 5 ms unless changed. Otherwise it goes at once.
    pub fn delete_linger(mut self, linger: Duration) -> Self {
        self.delete_linger = linger;
        self
    }

    /// With how many groups' receives being deleted, and nothing of them running, no more events are received until half of them
    /// are gone; 100 unless changed, at least 1. Receives under way count with them. A group's ten messages are deleted by ten
    /// requests one after another, which it shares with up to nine other groups: fewer than ten groups need more requests, and
    /// many more gain nothing but where requests take long. An endpoint to which groups in flight are costly, such as ElasticMQ
    /// with a thousand of them, is faster with twenty, and eight receivers.
    pub fn deleting_max(mut self, receives: usize) -> Self {
        self.deleting_max = receives.max(1);
        self
    }

    /// For how long at most a group whose messages are held gives way to others, while these are handled from full receives;
    /// 30 s unless changed, and zero for never. It does so until deleting what is held takes no more than a hundredth of the
    /// time: fifteen seconds, where ten deletes take 0.15 s. Meanwhile nothing more of the group is received, which is
    /// also how long an entity that has just recovered may wait for what is still in the queue.
    pub fn give_way_max(mut self, longest: Duration) -> Self {
        self.give_way_max = longest;
        self
    }

    /// The consumer's [`Timeouts::handler`], 60 s unless changed, as that is: a visibility timeout that is shorter is warned of
    /// at the start.
    pub fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.handler_timeout = timeout;
        self
    }

    /// Takes a queue with a redrive policy, with a warning, although SQS then breaks the order whenever it moves a message
    /// to the dead-letter queue.
    pub fn allow_redrive_policy(mut self) -> Self {
        self.allow_redrive_policy = true;
        self
    }

    /// Reads the queues' attributes, and begins to receive. To be called within a tokio runtime. Cancel safe: a dropped call
    /// has received nothing.
    ///
    /// # Errors
    /// [`SqsError`], whose [`is_transient`](SqsError::is_transient) says whether trying again may help.
    pub async fn open(self) -> Result<SqsSource, SqsError> {
        let mut queues = vec![queue::look_at(&self.client, &self.url, self.allow_redrive_policy).await?];
        if let Some(url) = &self.retry_url {
            if *url == self.url {
                let what = "the retry queue is the queue itself: leave `retry_queue` out".to_owned();
                return Err(SqsError::Misused { what });
            }
            queues.push(queue::look_at(&self.client, url, self.allow_redrive_policy).await?);
        }
        let visibility: Vec<Duration> =
            queues.iter().map(|queue| self.visibility.unwrap_or(queue.visibility)).collect();
        for (queue, visibility) in queues.iter().zip(&visibility) {
            self.check_visibility(&queue.name, *visibility)?;
        }
        let shortest = visibility.iter().min().copied().unwrap_or_default();
        let name = queues.first().map_or("", |queue| &queue.name);
        let stream = StreamName::new(self.stream.as_deref().unwrap_or(name))?;
        let receivers = [self.receivers, self.retry_receivers];
        let mut shared =
            Shared::new(self.client, queues, (stream, self.mapping), visibility, self.give_way_max);
        shared.margin = self.margin.min(shortest / 3);
        shared.wait = self.wait;
        shared.delete_linger = self.delete_linger;
        shared.turns = Turns::new(self.deleting_max);
        Ok(SqsSource::start(shared, receivers))
    }

    fn check_visibility(&self, queue: &str, visibility: Duration) -> Result<(), SqsError> {
        if visibility < VISIBILITY_MIN || visibility > crate::flight::INVISIBLE_MAX {
            let what = format!(
                "the visibility timeout of queue {queue} is {visibility:?}, which must be from 3 s to 12 h; set the \
                 queue's, or call `visibility_timeout`"
            );
            return Err(SqsError::Misused { what });
        }
        if visibility < self.handler_timeout {
            tracing::warn!(queue, ?visibility, handler_timeout = ?self.handler_timeout, heartbeat = ?(visibility / 3), "handlers may take longer than the visibility timeout: heartbeats extend it, and a process that stands still for longer than it loses what it runs to another");
        }
        Ok(())
    }
}

impl fmt::Debug for SqsSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsSourceBuilder")
            .field("queue", &queue::name_of(&self.url))
            .field("retry_queue", &self.retry_url.as_deref().map(queue::name_of))
            .field("stream", &self.stream)
            .field("mapping", &self.mapping)
            .finish_non_exhaustive()
    }
}
