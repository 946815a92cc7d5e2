//! `KafkaSource` keeps the adapters' suite on a real broker, too; that of every publisher, and copies, run against the one in
//! the client's own process (`ordered-consumer-kafka/tests`).
#![cfg(feature = "services")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use ordered_consumer::{EventSource, Index, Sharing, StreamName, testing::source::SourceFixture};
use ordered_consumer_kafka::{KafkaConfig, KafkaSource};
use ordered_consumer_tests::postgres::variable;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord},
};

struct Fixture {
    address: String,
    topic: String,
    strategy: &'static str,
    producer: FutureProducer,
    admin: AdminClient<DefaultClientContext>,
}

async fn fixture(strategy: &'static str) -> Box<dyn SourceFixture> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let address = variable("KAFKA_BOOTSTRAP_SERVERS");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    let topic = format!("suite-{now}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &address).set("topic.metadata.refresh.interval.ms", "500");
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let new = NewTopic::new(&topic, 2, TopicReplication::Fixed(1));
    let made = admin.create_topics([&new], &AdminOptions::new()).await.unwrap().remove(0);
    assert!(made.is_ok(), "{made:?}");
    let producer = config.set("linger.ms", "0").create().unwrap();
    Box::new(Fixture { address, topic, strategy, producer, admin })
}

#[async_trait]
impl SourceFixture for Fixture {
    fn sharing(&self) -> Sharing {
        Sharing::Owned
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn quiet(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn publish(&mut self, entity: &str, payload: &str) -> (StreamName, Index) {
        self.publish_to(u32::from(entity == "b"), entity, payload).await
    }

    async fn publish_to(&mut self, number: u32, entity: &str, payload: &str) -> (StreamName, Index) {
        let number = i32::try_from(number).unwrap();
        let sent = loop {
            let record = FutureRecord::to(&self.topic).partition(number).key(entity).payload(payload);
            match self.producer.send(record, Duration::from_secs(60)).await {
                // Of a partition that was just added a producer hears with its next look.
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::UnknownPartition), _)) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                sent => break sent.unwrap(),
            }
        };
        let stream = StreamName::new(format!("{}/{number}", self.topic)).unwrap();
        (stream, Index::from(u64::try_from(sent.offset).unwrap()))
    }

    async fn add_streams(&mut self, streams: u32) {
        let new = NewPartitions::new(&self.topic, usize::try_from(streams).unwrap());
        let grown = self.admin.create_partitions([&new], &AdminOptions::new()).await.unwrap().remove(0);
        assert!(grown.is_ok(), "{grown:?}");
    }

    async fn open(&mut self) -> Box<dyn EventSource> {
        let config = KafkaConfig::new(&self.address, format!("{}-group", self.topic))
            .set("session.timeout.ms", "8000")
            .set("max.poll.interval.ms", "8000")
            .set("heartbeat.interval.ms", "300")
            .set("fetch.wait.max.ms", "50")
            .set("topic.metadata.refresh.interval.ms", "1000")
            .set("partition.assignment.strategy", self.strategy);
        let builder = KafkaSource::builder(config, [&self.topic]);
        Box::new(builder.commit_interval(Duration::from_millis(100)).subscribe().unwrap())
    }

    async fn wait_for_redelivery(&mut self) {}
}

mod cooperative {
    ordered_consumer::source_conformance!(
        real; any, owned, sessions, layouts; super::fixture("cooperative-sticky")
    );
}

mod eager {
    ordered_consumer::source_conformance!(real; owned, layouts; super::fixture("range"));
}
