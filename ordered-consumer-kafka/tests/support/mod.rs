<<<<<<< HEAD
//! What tests on a mock cluster share.

#![expect(dead_code, reason = "each test program uses a part of it")]

pub mod mock;
pub mod publisher_parts;
pub mod retry_reader;
=======
//! A broker in this process, and a fixture around it for the conformance suite.

use std::{sync::mpsc, thread, time::Duration};

use async_trait::async_trait;
use ordered_consumer::{EventSource, Index, Sharing, StreamName, testing::source::SourceFixture};
use ordered_consumer_kafka::{KafkaSource, KafkaSourceBuilder};
use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{DefaultProducerContext, FutureProducer, FutureRecord},
};

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Order = Box<dyn FnOnce(&Cluster) + Send>;

/// The cluster cannot leave its thread.
pub(crate) struct Broker {
    pub(crate) address: String,
    orders: mpsc::Sender<Order>,
}

impl Broker {
    pub(crate) fn start() -> Self {
        if std::env::var_os("KAFKA_TRACE").is_some() {
            drop(
                tracing_subscriber::fmt()
                    .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
                    .with_test_writer()
                    .try_init(),
            );
        }
        let (orders, ordered) = mpsc::channel::<Order>();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let cluster = MockCluster::new(1).expect("a cluster");
            tell.send(cluster.bootstrap_servers()).expect("somebody waits");
            while let Ok(order) = ordered.recv() {
                order(&cluster);
            }
        });
        Self { address: told.recv().expect("a cluster"), orders }
    }

    /// Has the cluster do something, and waits until it has.
    pub(crate) fn order<T: Send + 'static>(&self, order: impl FnOnce(&Cluster) -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        let order: Order = Box::new(move |cluster| tell.send(order(cluster)).expect("somebody waits"));
        self.orders.send(order).expect("the cluster lives");
        told.recv().expect("the cluster lives")
    }

    pub(crate) fn create_topic(&self, name: &'static str, partitions: i32) {
        self.order(move |cluster| cluster.create_topic(name, partitions, 1)).expect("a new topic");
    }

    pub(crate) fn producer(&self) -> FutureProducer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.address)
            .set("linger.ms", "0")
            .create()
            .expect("a producer")
    }

    /// Sessions are short, and yet longer than the pauses of the suite.
    pub(crate) fn config(&self, strategy: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.address)
            .set("group.id", "g")
            .set("session.timeout.ms", "12000")
            .set("max.poll.interval.ms", "12000")
            .set("heartbeat.interval.ms", "300")
            .set("fetch.wait.max.ms", "50")
            .set("partition.assignment.strategy", strategy);
        config
    }
}

pub(crate) async fn publish(
    producer: &FutureProducer,
    (topic, partition): (&str, i32),
    key: &str,
    payload: &str,
) -> i64 {
    let record = FutureRecord::to(topic).partition(partition).key(key).payload(payload);
    producer.send(record, Duration::from_secs(10)).await.expect("it is published").offset
}

pub(crate) struct Fixture {
    pub(crate) broker: Broker,
    strategy: &'static str,
    producer: FutureProducer,
}

impl Fixture {
    pub(crate) fn new(strategy: &'static str) -> Self {
        let broker = Broker::start();
        broker.create_topic("t", 2);
        let producer = broker.producer();
        Self { broker, strategy, producer }
    }

    pub(crate) fn builder(&self) -> KafkaSourceBuilder {
        KafkaSource::builder(self.broker.config(self.strategy), ["t"])
            .release_timeout(Duration::from_secs(8))
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
        Duration::from_secs(5)
    }

    async fn publish(&mut self, entity: &str, payload: &str) -> (StreamName, Index) {
        let partition = i32::from(entity == "b");
        let offset = publish(&self.producer, ("t", partition), entity, payload).await;
        let stream = StreamName::new(format!("t/{partition}")).expect("a name");
        (stream, Index::from(u64::try_from(offset).expect("an offset")))
    }

    async fn open(&mut self) -> Box<dyn EventSource> {
        Box::new(self.builder().subscribe().expect("it is subscribed"))
    }

    async fn wait_for_redelivery(&mut self) {}
}
>>>>>>> kafka-source-1
