//! A retry topic and its publisher on a real broker, which must be there: `KAFKA_BOOTSTRAP_SERVERS`. A mock cluster neither
//! creates topics nor tells their settings.

#![cfg(feature = "services")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use ordered_consumer::{Event, EventPublisher, Index, PublishError, Published, ReleasedEvent, StreamName};
use ordered_consumer_kafka::{
    KafkaConfig, KafkaPublisher, RetryTopic, TopicError,
    rdkafka::{
        ClientConfig,
        admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
        client::DefaultClientContext,
    },
};

fn config(test: &str) -> KafkaConfig {
    let servers = ordered_consumer_tests::postgres::variable("KAFKA_BOOTSTRAP_SERVERS");
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    KafkaConfig::new(servers, format!("{test}-{nanos}"))
}

fn admin(config: &KafkaConfig) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", config.bootstrap_servers()).create().unwrap()
}

async fn create(config: &KafkaConfig, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let made = admin(config).create_topics([&topic], &AdminOptions::new()).await.unwrap();
    made.into_iter().for_each(|topic| drop(topic.expect("it is created")));
}

async fn setting(config: &KafkaConfig, topic: &str, name: &str) -> String {
    let asked = [ResourceSpecifier::Topic(topic)];
    let told = admin(config).describe_configs(&asked, &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    told.get(name).and_then(|entry| entry.value.clone()).unwrap()
}

fn released(index: u64, entity: &str, payload: usize) -> ReleasedEvent {
    let stream = StreamName::new("orders/0").unwrap();
    let event = Event::builder(stream, Index::from(index), entity.to_owned()).payload(vec![b'x'; payload]);
    ReleasedEvent { event: event.build(), attempts: 1 }
}

fn assert_whole(published: &Published, count: usize) {
    assert!(published.count == count && published.failed.is_none(), "{published:?}");
}

/// Waits until the publisher has been told how large a record the topic takes, which a busy broker may do late.
async fn know(publisher: &KafkaPublisher, bytes_max: usize) {
    let mut said = String::new();
    let told = async {
        while !said.contains(&format!("and {bytes_max} are taken")) {
            let refused = publisher.publish(&[released(0, "e", bytes_max + 1)]).await;
            said = match refused.failed {
                Some(PublishError::Refused(why)) => why.to_string(),
                other => format!("{other:?}"),
            };
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("the broker tells");
}

#[tokio::test]
async fn a_missing_retry_topic_is_made_after_the_largest_main_topic() {
    let config = config("ensure");
    let (small, large) = (format!("{}-small", config.group()), format!("{}-large", config.group()));
    create(&config, &small, 2, &[]).await;
    create(&config, &large, 5, &[("max.message.bytes", "2000000")]).await;
    let retry = RetryTopic::of_group(config.group());
    let main = [small.as_str(), large.as_str()];
    let refused = retry.clone().may_create(false).ensure(&config, &main).await;
    assert!(matches!(refused, Err(TopicError::CreationNotAllowed { partitions: 5, .. })), "{refused:?}");
    let several = join_all((0..3).map(|_| retry.ensure(&config, &main))).await;
    for ensured in several {
        assert_eq!(ensured.unwrap().partitions, 5);
    }
    let again = retry.ensure(&config, &main).await.unwrap();
    assert!(!again.created, "{again:?}");
    assert_eq!(setting(&config, retry.name(), "cleanup.policy").await, "delete");
    assert_eq!(setting(&config, retry.name(), "retention.ms").await, "604800000");
    assert_eq!(setting(&config, retry.name(), "max.message.bytes").await, "2065536");
}

#[tokio::test]
async fn what_the_broker_does_not_create_is_an_error_that_says_so() {
    let config = config("refused");
    let retry = RetryTopic::of_group(config.group()).replication(7);
    let refused = retry.ensure(&config, &[]).await.unwrap_err();
    assert!(matches!(refused, TopicError::Refused { replication: 7, .. }), "{refused:?}");
    let unnameable = RetryTopic::named("a topic?").ensure(&config, &[]).await.unwrap_err();
    assert!(matches!(unnameable, TopicError::Name { .. }), "{unnameable:?}");
}

#[tokio::test]
async fn copies_up_to_the_topics_limit_go_out_together_and_larger_ones_are_refused() {
    let config = config("sizes");
    let retry = format!("{}.retry", config.group());
    create(&config, &retry, 1, &[("max.message.bytes", "5000")]).await;
    let publisher = KafkaPublisher::new(&config, retry).unwrap();
    know(&publisher, 5_000).await;
    let names: Vec<String> = (0..200).map(|number| format!("entity-{number}")).collect();
    let publish = async |name: &String| {
        let slice =
            [released(1, name, 4_000), released(2, name, 10), released(3, name, 5_000), released(4, name, 1)];
        let published = publisher.publish(&slice).await;
        assert!(published.count == 2, "{published:?}");
        assert!(matches!(published.failed, Some(PublishError::Refused(_))), "{published:?}");
    };
    join_all(names.iter().map(publish)).await;
}

#[tokio::test]
async fn a_topic_that_takes_more_than_the_clients_default_gets_it() {
    let config = config("large");
    let retry = format!("{}.retry", config.group());
    create(&config, &retry, 1, &[("max.message.bytes", "5000000")]).await;
    let publisher = KafkaPublisher::new(&config, retry).unwrap();
    know(&publisher, 5_000_000).await;
    assert_whole(&publisher.publish(&[released(1, "e", 4_000_000)]).await, 1);
}
