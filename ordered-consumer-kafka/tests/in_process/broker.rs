//! A broker in this process.

use std::{sync::mpsc, thread, time::Duration};

use ordered_consumer_kafka::KafkaConfig;
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
            let level = tracing_subscriber::filter::LevelFilter::TRACE;
            let _ = tracing_subscriber::fmt().with_max_level(level).with_test_writer().try_init();
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

    /// Sessions are short, and yet longer than the pauses of the suite: this broker waits for members that are to rejoin a
    /// second less than a session.
    pub(crate) fn config(&self, strategy: &str) -> KafkaConfig {
        KafkaConfig::new(&self.address, "g")
            .set("session.timeout.ms", "8000")
            .set("max.poll.interval.ms", "8000")
            .set("heartbeat.interval.ms", "300")
            .set("fetch.wait.max.ms", "50")
            .set("partition.assignment.strategy", strategy)
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
