//! The core's rules of publishers, on a mock cluster.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "publishing/publisher_parts.rs"]
mod publisher_parts;
mod publishing;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ordered_consumer::{
    EventPublisher, EventSource, Index, Sharing, StreamName, testing::source::SourceFixture,
};
use ordered_consumer_kafka::{KafkaConfig, KafkaPublisher};
use publisher_parts::{Refused, RefusingPublisher};
use publishing::{mock::Mock, retry_reader::RetryReader};

const RETRY: &str = "g.retry";

struct Fixture {
    mock: Mock,
    config: KafkaConfig,
    publisher: Arc<KafkaPublisher>,
    refused: Refused,
    published: u64,
}

#[async_trait]
impl SourceFixture for Fixture {
    fn sharing(&self) -> Sharing {
        Sharing::Owned
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn quiet(&self) -> Duration {
        Duration::from_millis(800)
    }

    /// The rules of publishers need a place, and no event there.
    async fn publish(&mut self, entity: &str, _: &str) -> (StreamName, Index) {
        self.published += 1;
        let stream = if entity == "b" { "orders/1" } else { "orders/0" };
        (StreamName::new(stream).unwrap(), Index::from(self.published))
    }

    async fn open(&mut self) -> Box<dyn EventSource> {
        Box::new(RetryReader::open(&self.config, RETRY, 2).await)
    }

    async fn wait_for_redelivery(&mut self) {}

    fn publisher(&mut self) -> Box<dyn EventPublisher> {
        Box::new(RefusingPublisher {
            publisher: Arc::clone(&self.publisher),
            refused: Refused::clone(&self.refused),
        })
    }

    async fn refuse_copies_of(&mut self, index: Index) {
        self.refused.lock().unwrap().insert(index);
    }

    async fn take_publisher_away(&mut self, away: bool) {
        self.mock.away(away);
    }
}

async fn fixture() -> Box<dyn SourceFixture> {
    let mock = Mock::new(&[(RETRY, 2)]);
    let config = KafkaConfig::new(mock.servers(), "g")
        .set("message.timeout.ms", "1500")
        .set("fetch.wait.max.ms", "10")
        .set("reconnect.backoff.max.ms", "100");
    let publisher = Arc::new(KafkaPublisher::new(&config, RETRY).unwrap());
    Box::new(Fixture { mock, config, publisher, refused: Refused::default(), published: 0 })
}

mod mock_cluster {
    ordered_consumer::source_conformance!(real; publisher; super::fixture());
}
