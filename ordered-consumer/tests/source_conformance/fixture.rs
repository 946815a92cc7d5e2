//! The in-memory broker as the suite's fixture, with sources as they are or broken on purpose.

use std::time::Duration;

use async_trait::async_trait;
use ordered_consumer::{
    EventPublisher, EventSource, Index, Sharing, StreamName,
    in_memory_broker::{GroupOptions, InMemoryBroker, InMemoryPublisher, NewEvent, QueueOptions},
    testing::{FaultyPublisher, FaultySource, source::SourceFixture},
};

pub(super) const VISIBILITY: Duration = Duration::from_secs(30);

/// What makes a source of the fixture a broken one.
pub(super) type Breaks = fn(Box<dyn EventSource>, &InMemoryBroker) -> Box<dyn EventSource>;

pub(super) struct InMemoryFixture {
    broker: InMemoryBroker,
    publisher: InMemoryPublisher,
    sharing: Sharing,
    breaks: Option<Breaks>,
    /// What makes its publisher a broken one.
    pub(super) breaks_publisher: Option<BreaksPublisher>,
    /// Sources and publisher behind their wrappers, slow, and with every `next` dropped and made again.
    wrapped: bool,
}

/// What makes a publisher of the fixture a broken one.
pub(super) type BreaksPublisher = fn(InMemoryPublisher) -> Box<dyn EventPublisher>;

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
        Self { broker, publisher, sharing, breaks, breaks_publisher: None, wrapped: false }
    }

    /// A topic whose members are declared dead when they fall silent.
    pub(super) fn with_sessions(breaks: Option<Breaks>) -> Self {
        let fixture = Self::new(Sharing::Owned, breaks);
        let session_timeout = Some(Duration::from_secs(20));
        fixture.broker.create_group("g", GroupOptions { session_timeout, ..GroupOptions::default() });
        fixture
    }

    /// A queue whose sources extend what they have received.
    pub(super) fn with_heartbeats(breaks: Option<Breaks>) -> Self {
        let broker = InMemoryBroker::new();
        let heartbeat = Some(VISIBILITY / 3);
        let options = QueueOptions { visibility_timeout: VISIBILITY, heartbeat, ..Default::default() };
        broker.create_queue("t", options).unwrap();
        let publisher = broker.queue_retry_publisher("t");
        let sharing = Sharing::Shared;
        Self { broker, publisher, sharing, breaks, breaks_publisher: None, wrapped: false }
    }
}

pub(super) async fn topic_with_sessions() -> Box<dyn SourceFixture> {
    Box::new(InMemoryFixture::with_sessions(None))
}

pub(super) async fn queue_with_heartbeats() -> Box<dyn SourceFixture> {
    Box::new(InMemoryFixture::with_heartbeats(None))
}

pub(super) async fn wrapped_topic() -> Box<dyn SourceFixture> {
    Box::new(InMemoryFixture { wrapped: true, ..InMemoryFixture::with_sessions(None) })
}

pub(super) async fn wrapped_queue() -> Box<dyn SourceFixture> {
    Box::new(InMemoryFixture { wrapped: true, ..InMemoryFixture::with_heartbeats(None) })
}

/// A source that is slow, and whose every wait is cut once.
fn wrapped(source: impl EventSource + 'static) -> Box<dyn EventSource> {
    let source = FaultySource::new(source);
    source.faults().slow(2);
    source.faults().drop_each_next_at(Some(1));
    Box::new(source)
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
            Sharing::Owned => {
                let source = self.broker.subscribe("g", &["t"]).unwrap().with_retry();
                if self.wrapped { wrapped(source) } else { Box::new(source) }
            }
            Sharing::Shared => {
                let source = self.broker.subscribe_queue("t").unwrap().with_retry();
                if self.wrapped { wrapped(source) } else { Box::new(source) }
            }
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

    async fn add_streams(&mut self, streams: u32) {
        self.broker.add_partitions("t", streams).unwrap();
    }

    async fn publish_to(&mut self, number: u32, entity: &str, payload: &str) -> (StreamName, Index) {
        let event = NewEvent::new(entity.to_owned(), payload.to_owned());
        self.broker.publish_to("t", number, event).unwrap()
    }

    async fn refuse_next_delete(&mut self) {
        self.broker.refuse_deletes("t", 1).unwrap();
    }

    fn publisher(&mut self) -> Box<dyn EventPublisher> {
        let publisher = self.publisher.clone();
        if let Some(breaks) = self.breaks_publisher {
            return breaks(publisher);
        }
        if self.wrapped {
            let publisher = FaultyPublisher::new(publisher);
            publisher.slow(2);
            return Box::new(publisher);
        }
        Box::new(publisher)
    }

    async fn take_publisher_away(&mut self, away: bool) {
        self.publisher.unavailable_for(if away { u32::MAX } else { 0 });
    }

    async fn refuse_copies_of(&mut self, index: Index) {
        self.publisher.refuse(move |event| event.index() == index);
    }
}
