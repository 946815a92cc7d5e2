//! What the publisher promises beyond the core's rules, on a mock cluster.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod publishing;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ordered_consumer::{Event, EventPublisher, Index, PublishError, Published, ReleasedEvent, StreamName};
use ordered_consumer_kafka::{KEYLESS_PREFIX, KafkaConfig, KafkaPublisher, headers};
use publishing::{mock::Mock, retry_reader::RetryReader};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

const RETRY: &str = "g.retry";

fn world(partitions: i32) -> (Mock, KafkaConfig) {
    let mock = Mock::new(&[(RETRY, partitions)]);
    let config = KafkaConfig::new(mock.servers(), "g")
        .set("message.timeout.ms", "3000")
        .set("fetch.wait.max.ms", "10")
        .set("reconnect.backoff.max.ms", "100");
    (mock, config)
}

fn released(index: u64, entity: &[u8], payload: usize) -> ReleasedEvent {
    let stream = StreamName::new("orders/3").unwrap();
    let event = Event::builder(stream, Index::from(index), Bytes::copy_from_slice(entity));
    ReleasedEvent { event: event.payload(vec![b'x'; payload]).build(), attempts: 2 }
}

fn assert_whole(published: &Published, count: usize) {
    assert!(published.count == count && published.failed.is_none(), "{published:?}");
}

fn is_refused(published: &Published) -> bool {
    matches!(published.failed, Some(PublishError::Refused(_)))
}

/// Kafka's own `UtilsTest.testMurmur2`, as unsigned numbers, and what `BuiltInPartitioner` makes of them.
#[tokio::test]
async fn a_key_lands_where_javas_producer_puts_it() {
    const PARTITIONS: u32 = 12;
    let vectors: [(&[u8], i32); 9] = [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        (b"abc", 479_470_107),
        (b"kafka", 0xd067_cf64_u32.cast_signed()),
        (b"giberish123456789", 0x8f55_2b0c_u32.cast_signed()),
        (b"1234", 0x9fc9_7b14_u32.cast_signed()),
    ];
    let (_mock, config) = world(12);
    let mut reader = RetryReader::open(&config, RETRY, 12).await;
    let publisher = KafkaPublisher::new(&config, RETRY).unwrap();
    for (key, hash) in vectors {
        assert_whole(&publisher.publish(&[released(1, key, 1)]).await, 1);
        let (partition, came, _) = reader.record().await;
        assert_eq!(came.as_deref(), Some(key));
        let expected = (hash.cast_unsigned() & 0x7fff_ffff) % PARTITIONS;
        assert_eq!(u32::try_from(partition), Ok(expected), "{}", key.escape_ascii());
    }
}

#[tokio::test]
async fn a_copy_without_a_key_has_its_entity_in_a_header() {
    let (_mock, config) = world(2);
    let mut reader = RetryReader::open(&config, RETRY, 2).await;
    let publisher = KafkaPublisher::new(&config, RETRY).unwrap().with_dlt_headers();
    let entity = [KEYLESS_PREFIX, b"7"].concat();
    assert_whole(&publisher.publish(&[released(7, &entity, 1)]).await, 1);
    let (_, key, copy) = reader.record().await;
    assert_eq!(key, None);
    assert_eq!((copy.entity.as_ref(), copy.index, copy.attempts), (&entity[..], Index::from(7_u64), 2));
}

/// The copy of such an event is larger than the event: by the names and values of our headers.
#[tokio::test]
async fn an_event_that_fits_until_our_headers_are_added_is_refused() {
    let (_mock, config) = world(1);
    let config = config.set("message.max.bytes", "10000");
    let publisher = KafkaPublisher::new(&config, RETRY).unwrap();
    let (mut fits, mut too_large) = (0, 10_000);
    while too_large - fits > 1 {
        let middle = usize::midpoint(fits, too_large);
        let published = publisher.publish(&[released(1, b"e", middle)]).await;
        match &published.failed {
            None => fits = middle,
            Some(PublishError::Refused(_)) => too_large = middle,
            Some(other) => panic!("a size is refused for good, and never {other}"),
        }
    }
    let ours = [headers::TOPIC, headers::PARTITION, headers::OFFSET, headers::ATTEMPTS];
    let names: usize = ours.iter().map(|name| name.len()).sum();
    assert!(fits < 10_000 - names, "{fits} bytes fit beside names of {names}");
    assert!(fits > 10_000 - names - 200, "{fits} bytes and our headers are far from the limit");
}

#[tokio::test]
async fn nothing_of_an_entity_goes_out_after_a_copy_that_is_too_large() {
    let (_mock, config) = world(1);
    let mut reader = RetryReader::open(&config, RETRY, 1).await;
    let publisher = KafkaPublisher::new(&config, RETRY).unwrap();
    let slice = [released(1, b"e", 1), released(2, b"e", 2_000_000), released(3, b"e", 1)];
    let published = publisher.publish(&slice).await;
    assert!(published.count == 1 && is_refused(&published), "{published:?}");
    assert_whole(&publisher.publish(&[released(4, b"e", 1)]).await, 1);
    for index in [1_u64, 4] {
        assert_eq!(reader.record().await.2.index, Index::from(index));
    }
}

#[tokio::test]
async fn what_the_broker_refuses_for_good_is_told_from_what_may_pass() {
    use RDKafkaRespErr as Answer;
    let (mock, config) = world(1);
    let publisher = KafkaPublisher::new(&config, RETRY).unwrap();
    let answers = [
        (Answer::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, true),
        (Answer::RD_KAFKA_RESP_ERR_INVALID_RECORD, true),
        (Answer::RD_KAFKA_RESP_ERR_POLICY_VIOLATION, true),
        (Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, false),
    ];
    for (answer, for_good) in answers {
        mock.run(move |cluster| cluster.request_errors(RDKafkaApiKey::Produce, &[answer]));
        let published = publisher.publish(&[released(1, b"e", 1), released(2, b"e", 1)]).await;
        assert!(published.count == 0 && published.failed.is_some(), "{answer:?}: {published:?}");
        assert_eq!(is_refused(&published), for_good, "{answer:?}: {published:?}");
    }
    // What an authorisation lacks may be given it: the same publisher goes on.
    let again = async { while publisher.publish(&[released(3, b"e", 1)]).await.failed.is_some() {} };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("it goes on");
}

#[tokio::test]
async fn what_passes_by_itself_is_not_even_seen() {
    use RDKafkaRespErr as Answer;
    let (mock, config) = world(1);
    let mut reader = RetryReader::open(&config, RETRY, 1).await;
    let publisher = KafkaPublisher::new(&config, RETRY).unwrap();
    let passing = [
        Answer::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Answer::RD_KAFKA_RESP_ERR__TRANSPORT,
    ];
    mock.run(move |cluster| cluster.request_errors(RDKafkaApiKey::Produce, &passing));
    let slice: Vec<_> = (0..5).map(|index| released(index, b"e", 1)).collect();
    assert_whole(&publisher.publish(&slice).await, 5);
    for index in 0..5_u64 {
        assert_eq!(reader.record().await.2.index, Index::from(index));
    }
}

#[tokio::test]
async fn an_outage_is_no_refusal_and_passes() {
    let (mock, config) = world(1);
    let mut reader = RetryReader::open(&config, RETRY, 1).await;
    let publisher = KafkaPublisher::new(&config, RETRY).unwrap();
    assert_whole(&publisher.publish(&[released(1, b"e", 1)]).await, 1);
    mock.away(true);
    let published = publisher.publish(&[released(2, b"e", 1), released(3, b"e", 1)]).await;
    assert!(matches!(published.failed, Some(PublishError::Unavailable(_))), "{published:?}");
    mock.away(false);
    let again = async { while publisher.publish(&[released(2, b"e", 1)]).await.failed.is_some() {} };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("it goes on");
    assert_eq!(reader.record().await.2.index, Index::from(1_u64));
    assert_eq!(reader.record().await.2.index, Index::from(2_u64), "what failed did not go out beside");
}

#[tokio::test]
async fn a_topic_that_is_missing_is_no_refusal_and_is_not_made() {
    let (_mock, config) = world(1);
    let publisher = KafkaPublisher::new(&config, "missing.retry").unwrap();
    let published = publisher.publish(&[released(1, b"e", 1)]).await;
    let Some(PublishError::Unavailable(error)) = &published.failed else { panic!("{published:?}") };
    assert!(error.to_string().contains("missing.retry"), "{error}");
}

#[tokio::test]
async fn a_producer_with_a_fatal_error_is_made_anew() {
    let (mock, config) = world(1);
    // The only fatal error that a mock cluster can bring about: a gap that is not allowed.
    let config = config.set("enable.gapless.guarantee", "true");
    let publisher = KafkaPublisher::new(&config, RETRY).unwrap();
    let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD;
    mock.run(move |cluster| cluster.request_errors(RDKafkaApiKey::Produce, &[refusal]));
    let failed = publisher.publish(&[released(1, b"e", 1)]).await;
    assert!(failed.count == 0 && failed.failed.is_some(), "{failed:?}");
    let mut published = publisher.publish(&[released(2, b"e", 1)]).await;
    if published.failed.is_some() {
        published = publisher.publish(&[released(2, b"e", 1)]).await;
    }
    assert_whole(&published, 1);
}

#[tokio::test]
async fn a_full_queue_is_waited_for() {
    let (_mock, config) = world(1);
    let config = config.set("queue.buffering.max.messages", "1").set("message.timeout.ms", "20000");
    let mut reader = RetryReader::open(&config, RETRY, 1).await;
    let publisher = Arc::new(KafkaPublisher::new(&config, RETRY).unwrap());
    let publishes = (0..20_u64).map(|entity| {
        let publisher = Arc::clone(&publisher);
        tokio::spawn(async move { publisher.publish(&[released(entity, &entity.to_be_bytes(), 1)]).await })
    });
    for published in publishes.collect::<Vec<_>>() {
        assert_whole(&published.await.unwrap(), 1);
    }
    for _ in 0..20 {
        reader.record().await;
    }
}

#[tokio::test]
async fn a_header_that_kafka_cannot_carry_sends_its_event_back_in_process() {
    let (_mock, config) = world(1);
    let publisher = KafkaPublisher::new(&config, RETRY).unwrap();
    let stream = StreamName::new("orders/0").unwrap();
    let event = Event::builder(stream, Index::MIN, "e").header(&b"\xff"[..], "v").build();
    assert!(is_refused(&publisher.publish(&[ReleasedEvent { event, attempts: 1 }]).await));
}

#[tokio::test]
async fn a_publisher_says_where_to_and_no_secret() {
    let config = KafkaConfig::new("127.0.0.1:1", "g").set("sasl.password", "hush");
    let publisher = KafkaPublisher::new(&config, RETRY).unwrap();
    assert_eq!(publisher.describe(), "Kafka topic g.retry");
    assert!(!format!("{publisher:?}").contains("hush"));
    let started = tokio::time::timeout(Duration::from_secs(60), publisher.publish(&[])).await;
    assert_whole(&started.unwrap(), 0);
}
