//! The in-memory broker as the suite's fixture, with sources as they are or broken on purpose.

use std::time::Duration;

use async_trait::async_trait;
use ordered_consumer::{
    EventPublisher, EventSource, Index, Sharing, StreamName,
    in_memory_broker::{InMemoryBroker, InMemoryPublisher, NewEvent, QueueOptions},
    testing::source::SourceFixture,
};

pub(super) const VISIBILITY: Duration = Duration::from_secs(30);

/// What makes a source of the fixture a broken one.
pub(super) type Breaks = fn(Box<dyn EventSource>, &InMemoryBroker) -> Box<dyn EventSource>;

pub(super) struct InMemoryFixture {
    broker: InMemoryBroker,
    publisher: InMemoryPublisher,
    sharing: Sharing,
    breaks: Option<Breaks>,
    /// Goes on publishing after a failure.
    pub(super) publishes_on: bool,
}

impl InMemoryFixture {
    pub(super) fn new(sharing: Sharing, breaks: Option<Breaks>) -> Self {
        let broker = InMemoryBroker::new();
        let publisher = match sharing {
            Sharing::Owned => {
                broker.create_topic("t", 2).unwrap();
                broker.retry_publisher("g")
            }
            Sharing::Shared => {
                let options = QueueOptions { visibility_timeout: VISIBILITY, ..Default::default() };
                broker.create_queue("t", options).unwrap();
                broker.queue_retry_publisher("t")
            }
        };
        broker.create_group("g", Default::default());
        Self { broker, publisher, sharing, breaks, publishes_on: false }
    }
}

pub(super) async fn topic() -> Box<dyn SourceFixture> {
    Box::new(InMemoryFixture::new(Sharing::Owned, None))
}

pub(super) async fn queue() -> Box<dyn SourceFixture> {
    Box::new(InMemoryFixture::new(Sharing::Shared, None))
}

#[async_trait]
impl SourceFixture for InMemoryFixture {
    fn sharing(&self) -> Sharing {
        self.sharing
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn quiet(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn publish(&mut self, entity: &str, payload: &str) -> (StreamName, Index) {
        let event = NewEvent::new(entity.to_owned(), payload.to_owned());
        match self.sharing {
            Sharing::Owned => self.broker.publish_to("t", u32::from(entity == "b"), event).unwrap(),
            Sharing::Shared => self.broker.publish_event("t", event).unwrap(),
        }
    }

    async fn open(&mut self) -> Box<dyn EventSource> {
        let source: Box<dyn EventSource> = match self.sharing {
            Sharing::Owned => Box::new(self.broker.subscribe("g", &["t"]).unwrap().with_retry()),
            Sharing::Shared => Box::new(self.broker.subscribe_queue("t").unwrap().with_retry()),
        };
        match self.breaks {
            Some(breaks) => breaks(source, &self.broker),
            None => source,
        }
    }

    async fn wait_for_redelivery(&mut self) {
        if self.sharing == Sharing::Shared {
            tokio::time::sleep(VISIBILITY).await;
        }
    }

    async fn refuse_next_delete(&mut self) {
        self.broker.refuse_deletes("t", 1).unwrap();
    }

    fn publisher(&mut self) -> Box<dyn EventPublisher> {
        let publisher = self.publisher.clone();
        if self.publishes_on {
            return Box::new(super::broken::PublishesOn(publisher));
        }
        Box::new(publisher)
    }

    async fn refuse_copies_of(&mut self, index: Index) {
        self.publisher.refuse(move |event| event.index() == index);
    }
}
