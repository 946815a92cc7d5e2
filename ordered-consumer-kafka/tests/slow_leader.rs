//! A partition's leader that answers much later than the group's coordinator.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ordered_consumer::{Event, HandlerError, MemoryFailureLog, OrderedConsumer};
use ordered_consumer_kafka::{KafkaConfig, KafkaSource};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    mocking::{MockCluster, MockCoordinator},
    producer::{DefaultProducerContext, FutureProducer, FutureRecord},
};

/// librdkafka asks for a partition's end when it is assigned to begin there. A seek makes the answer outdated, whereupon the
/// client asks again, half a second later, and goes to the end: over everything that the group has not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_answers_late_does_not_have_events_passed_over() {
    let cluster = MockCluster::<'static, DefaultProducerContext>::new(2).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    cluster.partition_leader("t", 0, Some(1)).unwrap();
    cluster.coordinator(MockCoordinator::Group("g".to_owned()), 2).unwrap();
    let address = cluster.bootstrap_servers();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &address).set("group.id", "g");
    let producer: FutureProducer = client.create().unwrap();
    for _ in 0..5 {
        let event = FutureRecord::to("t").partition(0).key("a").payload("x");
        producer.send(event, Duration::from_secs(10)).await.unwrap();
    }
    let before: BaseConsumer = client.create().unwrap();
    let mut committed = TopicPartitionList::new();
    committed.add_partition_offset("t", 0, Offset::Offset(1)).unwrap();
    before.commit(&committed, CommitMode::Sync).unwrap();
    drop(before);
    cluster.broker_round_trip_time(1, Duration::from_millis(1_500)).unwrap();
    let config = KafkaConfig::new(address, "g").set("heartbeat.interval.ms", "300");
    let source = KafkaSource::builder(config, ["t"]).commit_interval(Duration::from_millis(100));
    let ran = Arc::new(Mutex::new(Vec::new()));
    let runs = Arc::clone(&ran);
    let handler = move |event: Event| {
        runs.lock().unwrap().push(event.index().get());
        std::future::ready(Ok::<(), HandlerError>(()))
    };
    let consumer = OrderedConsumer::new("g", handler, MemoryFailureLog::new());
    let all = async {
        for _ in 0..1_500 {
            if ran.lock().unwrap().len() >= 4 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    consumer.run_until(source.subscribe().unwrap(), all).await.unwrap();
    assert_eq!(*ran.lock().unwrap(), [1, 2, 3, 4]);
}
