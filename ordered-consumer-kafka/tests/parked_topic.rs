//! The mirror of parked events, on a mock cluster.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{collections::BTreeMap, time::Duration};

use ordered_consumer::{
    ConsumerName, Event, Index, ParkCause, ParkedEvent, ParkedPublisher, PublishError, StreamName, Timestamp,
    gate::Failure,
};
use ordered_consumer_kafka::{KafkaConfig, ParkedTopic, headers};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers as _,
};

#[path = "publishing/mock.rs"]
#[expect(dead_code, clippy::expect_used, reason = "other tests use the rest")]
mod mock;

const TOPIC: &str = "g.parked";

fn parked(payload: usize) -> ParkedEvent {
    let stream = StreamName::new("orders/3").unwrap();
    let event = Event::builder(stream, Index::from(42_u64), "customer-1")
        .header("theirs", "kept")
        .payload(vec![b'x'; payload])
        .build();
    let failure =
        Failure { at: Timestamp::from_micros(1_700_000_000_123_456), ..Failure::new("io::Error", "no é") };
    ParkedEvent {
        consumer: ConsumerName::new("billing").unwrap(),
        event,
        cause: ParkCause::Exhausted,
        attempts: 7,
        first_failure: None,
        last_failure: Some(failure),
        version: 99,
    }
}

async fn only_record(config: &KafkaConfig) -> (Vec<u8>, BTreeMap<String, Vec<u8>>) {
    let consumer: BaseConsumer = config.consumer_config().unwrap().create().unwrap();
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    consumer.assign(&all).unwrap();
    loop {
        if let Some(Ok(record)) = consumer.poll(Duration::ZERO) {
            let values = record.headers().unwrap().iter();
            let values =
                values.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()));
            return (record.key().unwrap().to_vec(), values.collect());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_mirrored_event_says_where_it_is_from_and_why_it_is_parked() {
    let mock = mock::Mock::new(&[(TOPIC, 1)]);
    let config = KafkaConfig::new(mock.servers(), "g");
    let mirror = ParkedTopic::new(&config, TOPIC).unwrap().with_dlt_headers();
    mirror.publish(&parked(3)).await.unwrap();
    let (key, values) = only_record(&config).await;
    assert_eq!(key, b"customer-1");
    let expected: [(&str, &[u8]); 16] = [
        ("theirs", b"kept"),
        (headers::TOPIC, b"orders"),
        (headers::PARTITION, b"3"),
        (headers::OFFSET, b"42"),
        (headers::ATTEMPTS, b"7"),
        (headers::CONSUMER, b"billing"),
        (headers::CAUSE, b"exhausted"),
        (headers::VERSION, b"99"),
        (headers::ERROR_CLASS, b"io::Error"),
        (headers::ERROR, "no é".as_bytes()),
        (headers::FAILED_AT, b"1700000000123"),
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-original-partition", &[0, 0, 0, 3]),
        ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 0, 42]),
        ("kafka_dlt-original-consumer-group", b"g"),
        ("kafka_dlt-exception-message", "no é".as_bytes()),
    ];
    for (name, value) in expected {
        assert_eq!(values.get(name).map(Vec::as_slice), Some(value), "{name}");
    }
}

#[tokio::test]
async fn an_event_that_the_mirror_does_not_take_for_its_size_is_refused() {
    let mock = mock::Mock::new(&[(TOPIC, 1)]);
    let mirror = ParkedTopic::new(&KafkaConfig::new(mock.servers(), "g"), TOPIC).unwrap();
    let refused = mirror.publish(&parked(2_000_000)).await;
    assert!(matches!(refused, Err(PublishError::Refused(_))), "{refused:?}");
}
