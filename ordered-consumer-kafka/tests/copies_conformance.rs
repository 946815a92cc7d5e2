//! The core's rules of the way back through the broker, with the source and the publisher together, on a mock cluster.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "publishing/mock.rs"]
mod mock;
#[path = "in_process/opened.rs"]
mod opened;
#[path = "publishing/publisher_parts.rs"]
mod publisher_parts;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use async_trait::async_trait;
use mock::Mock;
use opened::Opened;
use ordered_consumer::{
    EventPublisher, EventSource, Index, Sharing, StreamName, testing::source::SourceFixture,
};
use ordered_consumer_kafka::{KafkaConfig, KafkaPublisher, KafkaSource};
use publisher_parts::{Refused, RefusingPublisher};

const RETRY: &str = "g.retry";

struct Fixture {
    mock: Mock,
    config: KafkaConfig,
    publisher: Arc<KafkaPublisher>,
    refused: Refused,
    members: Arc<AtomicUsize>,
}

#[async_trait]
impl SourceFixture for Fixture {
    fn sharing(&self) -> Sharing {
        Sharing::Owned
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(40)
    }

    fn quiet(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// The rules of copies need a place, and no event there.
    async fn publish(&mut self, entity: &str, _: &str) -> (StreamName, Index) {
        let stream = if entity == "b" { "t/1" } else { "t/0" };
        (StreamName::new(stream).unwrap(), Index::MIN)
    }

    async fn open(&mut self) -> Box<dyn EventSource> {
        let builder = KafkaSource::builder(self.config.clone(), ["t"]).retry_topic(RETRY);
        let source = builder.commit_interval(Duration::from_millis(100)).subscribe().unwrap();
        Box::new(Opened::open(source, Arc::clone(&self.members)).await)
    }

    async fn wait_for_redelivery(&mut self) {}

    fn publisher(&mut self) -> Box<dyn EventPublisher> {
        let (publisher, refused) = (Arc::clone(&self.publisher), Refused::clone(&self.refused));
        Box::new(RefusingPublisher { publisher, refused })
    }

    async fn refuse_copies_of(&mut self, index: Index) {
        self.refused.lock().unwrap().insert(index);
    }

    async fn take_publisher_away(&mut self, away: bool) {
        self.mock.away(away);
    }
}

async fn fixture() -> Box<dyn SourceFixture> {
    let mock = Mock::new(&[("t", 2), (RETRY, 2)]);
    // Sessions are short, and yet longer than the pauses of the suite.
    let config = KafkaConfig::new(mock.servers(), "g").set_all([
        ("session.timeout.ms", "12000"),
        ("max.poll.interval.ms", "12000"),
        ("heartbeat.interval.ms", "300"),
        ("fetch.wait.max.ms", "50"),
    ]);
    let publisher = Arc::new(KafkaPublisher::new(&config, RETRY).unwrap());
    let (refused, members) = (Refused::default(), Arc::default());
    Box::new(Fixture { mock, config, publisher, refused, members })
}

mod mock_cluster {
    ordered_consumer::source_conformance!(real; copies; super::fixture());
}
