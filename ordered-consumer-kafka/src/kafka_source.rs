//! Kafka topics as an event source.

use std::{
    collections::HashMap,
    future::ready,
    sync::{Arc, atomic::Ordering, mpsc},
    time::Duration,
};

use async_trait::async_trait;
use ordered_consumer::{
    Assignment, Confirming, EventSource, LastIndexes, Settlement, Sharing, SourceError, SourceMessage,
};
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};

use crate::{
    KafkaConfig, KafkaSourceBuilder,
    source_link::{Command, Link, Load, Said, Tag},
};

/// A member of a consumer group that reads Kafka topics: each partition is an owned stream, named `TOPIC/PARTITION`, and
/// an event's index is its offset.
///
/// A thread of its own polls the broker's client for as long as the source lives, so that no handler costs the membership.
///
/// Dropped without [`close`](EventSource::close), it is as if the process had died: the group is left, and what was settled
/// but not committed yet comes again. Dropping it does not block.
pub struct KafkaSource {
    pub(crate) describes: String,
    pub(crate) said: UnboundedReceiver<Said>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) link: Arc<Link>,
    pub(crate) limit: Load,
    /// What is assigned and not released, by epoch.
    pub(crate) tags: HashMap<u64, Arc<Tag>>,
    pub(crate) close_timeout: Duration,
    pub(crate) closed: bool,
    pub(crate) ended: bool,
}

impl KafkaSource {
    /// Joins the group that the configuration names, and reads these topics.
    ///
    /// # Errors
    /// [`SourceError::Fatal`] when the configuration is refused. A broker that cannot be reached is no error here: the source
    /// goes on trying.
    pub fn subscribe<T: AsRef<str>>(
        config: KafkaConfig,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<Self, SourceError> {
        Self::builder(config, topics).subscribe()
    }

    /// The same with options.
    pub fn builder<T: AsRef<str>>(
        config: KafkaConfig,
        topics: impl IntoIterator<Item = T>,
    ) -> KafkaSourceBuilder {
        KafkaSourceBuilder::new(config, topics)
    }

    /// A thread that is gone has said why, or is being closed.
    fn tell(&self, command: Command) {
        drop(self.commands.send(command));
        self.link.wake();
    }

    fn known(&self, assignment: &Assignment) -> Option<&Arc<Tag>> {
        self.tags.get(&assignment.epoch).filter(|tag| tag.assignment == *assignment)
    }

    fn lighten(&self, load: Load) {
        if self.link.take(load, self.limit) {
            self.link.wake();
        }
    }

    /// What is to be handed over of what the thread said, if anything.
    fn take(&mut self, said: Said) -> Option<Result<SourceMessage, SourceError>> {
        match said {
            Said::Message(message) => {
                if let SourceMessage::Revoked { assignments, lost: true } = &message {
                    // The engine releases these, too; there is nobody left to tell.
                    tracing::debug!(count = assignments.len(), "assignments are lost");
                }
                Some(Ok(message))
            }
            Said::Assigned(assigned) => {
                let mut streams = Vec::with_capacity(assigned.len());
                for (tag, stream) in assigned {
                    self.tags.insert(tag.assignment.epoch, tag);
                    streams.push(stream);
                }
                Some(Ok(SourceMessage::Assigned(streams)))
            }
            Said::Events { tag, beginning, message, load } => {
                self.lighten(load);
                tag.is_current(beginning).then_some(Ok(message))
            }
            Said::Copies { message, load } => {
                self.lighten(load);
                Some(Ok(message))
            }
            Said::Failed(error) => Some(Err(error)),
        }
    }
}

/// Tells the thread that the engine waits, for as long as it lives.
struct Asking<'a>(&'a Link);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.asks(false);
    }
}

#[async_trait]
impl EventSource for KafkaSource {
    fn describe(&self) -> String {
        self.describes.clone()
    }

    fn sharing(&self) -> Sharing {
        Sharing::Owned
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        let link = Arc::clone(&self.link);
        link.asks(true);
        let _asking = Asking(&link);
        loop {
            let Some(said) = self.said.recv().await else {
                if self.ended {
                    std::future::pending::<()>().await;
                }
                if !self.closed {
                    self.ended = true;
                    let why = "the thread that polls the broker has ended".to_owned();
                    return Err(SourceError::Fatal { why, source: None });
                }
                self.ended = true;
                return Ok(SourceMessage::Ended);
            };
            if let Some(message) = self.take(said) {
                return message;
            }
        }
    }

    fn confirm(&mut self, assignment: &Assignment) -> Confirming {
        let Some(tag) = self.known(assignment) else { return Box::pin(ready(Ok(None))) };
        let beginning = tag.beginning.fetch_add(1, Ordering::AcqRel) + 1;
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Confirm { epoch: assignment.epoch, beginning, reply });
        // Where nobody answers any more, the assignment is not this source's.
        Box::pin(async move { answer.await.unwrap_or(Ok(None)) })
    }

    fn last_indexes(&mut self, assignment: &Assignment, streams: u32) -> LastIndexes {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::LastOffsets { epoch: assignment.epoch, partitions: streams, reply });
        let gone = || SourceError::Unavailable("the assignment is not this source's any more".into());
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(gone())) })
    }

    fn pause(&mut self, assignment: &Assignment) {
        if self.known(assignment).is_some() {
            self.tell(Command::Pause { epoch: assignment.epoch, paused: true });
        }
    }

    fn resume(&mut self, assignment: &Assignment) {
        if self.known(assignment).is_some() {
            self.tell(Command::Pause { epoch: assignment.epoch, paused: false });
        }
    }

    fn settle(&mut self, settlement: Settlement) {
        if self.known(&settlement.assignment).is_some() {
            let offset = |index: ordered_consumer::Index| i64::try_from(index.get()).ok();
            let offsets = settlement.events.iter().filter_map(|(index, _)| offset(*index)).collect();
            self.tell(Command::Settle { epoch: settlement.assignment.epoch, offsets });
        }
    }

    fn pause_copies(&mut self) {
        self.tell(Command::PauseCopies(true));
    }

    fn resume_copies(&mut self) {
        self.tell(Command::PauseCopies(false));
    }

    fn settle_copies(&mut self, receipts: &[u64]) {
        self.tell(Command::SettleCopies(receipts.to_vec()));
    }

    fn release(&mut self, assignment: &Assignment) {
        if self.known(assignment).is_some() {
            self.tags.remove(&assignment.epoch);
            self.tell(Command::Release { epoch: assignment.epoch });
        }
    }

    async fn close(&mut self) -> Result<(), SourceError> {
        let (reply, closed) = oneshot::channel();
        self.tags.clear();
        self.closed = true;
        self.tell(Command::Close(reply));
        match tokio::time::timeout(self.close_timeout, closed).await {
            // A thread that is gone has nothing left to tell.
            Ok(Ok(()) | Err(_)) => Ok(()),
            Err(_) => {
                let text = "the broker's client did not close in time; what was not committed comes again";
                Err(SourceError::Unavailable(text.into()))
            }
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        // The thread finds that nobody listens any more, and leaves; it is not waited for.
        self.said.close();
        self.link.wake();
    }
}
