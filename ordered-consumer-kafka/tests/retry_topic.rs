//! What is found out about a retry topic, on a mock cluster, which cannot create topics.

use std::time::Duration;

use ordered_consumer_kafka::{KafkaConfig, RetryTopic, TopicError};
use rdkafka::types::RDKafkaRespErr;

#[path = "publishing/mock.rs"]
#[expect(clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]
mod mock;

#[tokio::test]
async fn a_retry_topic_that_is_there_is_taken_as_it_is() {
    let mock = mock::Mock::new(&[("orders", 4), ("g.retry", 2)]);
    let config = KafkaConfig::new(mock.servers(), "g");
    let retry = RetryTopic::of_group("g").may_create(false);
    assert_eq!(retry.name(), "g.retry");
    let ensured = retry.ensure(&config, &["orders"]).await.unwrap();
    assert_eq!((ensured.partitions, ensured.created), (2, false));
}

#[tokio::test]
async fn a_missing_retry_topic_that_must_not_be_created_is_an_error_that_says_how_to() {
    let mock = mock::Mock::new(&[("orders", 4), ("refunds", 6)]);
    let config = KafkaConfig::new(mock.servers(), "g");
    let retry = RetryTopic::of_group("g").may_create(false);
    let error = retry.ensure(&config, &["orders", "refunds"]).await.unwrap_err();
    assert!(matches!(error, TopicError::CreationNotAllowed { partitions: 6, .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("g.retry") && text.contains("6 partitions"), "{text}");
    let again = retry.ensure(&config, &["orders"]).await;
    assert!(again.is_err(), "asking for it has not made it");
}

#[tokio::test]
async fn a_missing_main_topic_is_an_error_of_its_own() {
    let mock = mock::Mock::new(&[("orders", 4)]);
    let config = KafkaConfig::new(mock.servers(), "g");
    let error = RetryTopic::of_group("g").ensure(&config, &["orders", "ordres"]).await.unwrap_err();
    assert!(matches!(&error, TopicError::Missing { topic } if topic == "ordres"), "{error:?}");
}

#[tokio::test]
async fn a_topic_that_may_not_be_seen_is_an_error_that_says_what_to_grant() {
    let mock = mock::Mock::new(&[("orders", 4), ("g.retry", 4)]);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    mock.run(move |cluster| cluster.topic_error("g.retry", refused).unwrap());
    let config = KafkaConfig::new(mock.servers(), "g");
    let error = RetryTopic::of_group("g").ensure(&config, &["orders"]).await.unwrap_err();
    assert!(matches!(error, TopicError::NotAuthorized { operation: "see", .. }), "{error:?}");
    assert!(error.to_string().contains("Describe"), "{error}");
}

#[tokio::test]
async fn brokers_that_are_away_or_cannot_are_told_from_a_missing_topic() {
    let mock = mock::Mock::new(&[("orders", 4)]);
    let config = KafkaConfig::new(mock.servers(), "g");
    let retry = RetryTopic::of_group("g").patience(Duration::from_secs(1));
    let cannot = retry.ensure(&config, &["orders"]).await.unwrap_err();
    assert!(matches!(cannot, TopicError::Unavailable { .. }), "a mock cluster creates nothing: {cannot:?}");
    mock.away(true);
    let away = retry.ensure(&config, &["orders"]).await.unwrap_err();
    assert!(matches!(away, TopicError::Unavailable { .. }), "{away:?}");
}
