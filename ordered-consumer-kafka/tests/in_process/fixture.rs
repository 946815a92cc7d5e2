//! The suite's fixture.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::Duration,
};

use async_trait::async_trait;
use ordered_consumer::{
    EventPublisher, EventSource, Index, Sharing, StreamName, testing::source::SourceFixture,
};
use ordered_consumer_kafka::{KafkaSource, KafkaSourceBuilder};
use rdkafka::producer::FutureProducer;

use super::{Broker, opened::Opened, publish, publisher::Publisher};

/// How long each answer of the broker takes. This one refuses a member that asks for its assignment after the group's leader has
/// handed all of them in (Kafka's gives it), and then has the whole group join again, for most of a session. A leader asks for the
/// topics before it hands in, so that it is later than the others by one answer: by long enough even on a busy machine.
const ANSWER_AFTER: Duration = Duration::from_millis(100);

pub(crate) struct Fixture {
    broker: Broker,
    strategy: &'static str,
    producer: FutureProducer,
    members: Arc<AtomicUsize>,
    refused: Arc<Mutex<BTreeSet<Index>>>,
}

impl Fixture {
    pub(crate) fn new(strategy: &'static str) -> Self {
        let broker = Broker::start();
        broker.order(|cluster| cluster.broker_round_trip_time(1, ANSWER_AFTER)).expect("a slower broker");
        broker.create_topic("t", 2);
        broker.create_topic("t-retry", 1);
        let producer = broker.producer();
        let (members, refused) = (Arc::default(), Arc::default());
        Self { broker, strategy, producer, members, refused }
    }

    fn builder(&self) -> KafkaSourceBuilder {
        KafkaSource::builder(self.broker.config(self.strategy), ["t"])
            .retry_topic("t-retry")
            .commit_interval(Duration::from_millis(100))
    }
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

    async fn publish(&mut self, entity: &str, payload: &str) -> (StreamName, Index) {
        let partition = i32::from(entity == "b");
        let offset = publish(&self.producer, ("t", partition), entity, payload).await;
        let stream = StreamName::new(format!("t/{partition}")).expect("a name");
        (stream, Index::from(u64::try_from(offset).expect("an offset")))
    }

    async fn open(&mut self) -> Box<dyn EventSource> {
        let source = self.builder().subscribe().expect("it is subscribed");
        Box::new(Opened::open(source, Arc::clone(&self.members)).await)
    }

    async fn wait_for_redelivery(&mut self) {}

    fn publisher(&mut self) -> Box<dyn EventPublisher> {
        let (producer, refused) = (self.producer.clone(), Arc::clone(&self.refused));
        Box::new(Publisher { producer, refused })
    }

    async fn refuse_copies_of(&mut self, index: Index) {
        self.refused.lock().expect("no panic").insert(index);
    }
}
