//! What a queue must be, what is said of one that is not, and what becomes of one that is gone.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use ordered_consumer::{
    Event, EventPublisher, EventSource, Index, PublishError, ReleasedEvent, SourceError, SourceMessage,
    StreamName,
};
use ordered_consumer_sqs::{SqsError, SqsPublisher, SqsSource};

use crate::endpoint::{Emulator, Endpoint};

const VISIBILITY: Duration = Duration::from_secs(6);

async fn refused(endpoint: &Endpoint, url: &str) -> (SqsError, SqsError) {
    let source = SqsSource::builder(endpoint.client.clone(), url).open().await;
    let publisher = SqsPublisher::open(endpoint.client.clone(), url).await;
    (source.expect_err("it is refused"), publisher.expect_err("it is refused"))
}

#[tokio::test]
async fn a_standard_queue_is_refused_in_plain_words() {
    for emulator in [Emulator::Main, Emulator::Moto] {
        let endpoint = Endpoint::new(emulator).await;
        let url = endpoint.queue("standard", false, VISIBILITY, &[]).await;
        let (source, publisher) = refused(&endpoint, &url).await;
        assert!(matches!(source, SqsError::NotFifo { .. }), "{source}");
        assert!(matches!(publisher, SqsError::NotFifo { .. }), "{publisher}");
        assert!(source.to_string().contains("standard queue"), "{source}");
    }
}

#[tokio::test]
async fn a_queue_with_a_redrive_policy_is_refused_unless_it_is_allowed() {
    for emulator in [Emulator::Main, Emulator::Moto] {
        let endpoint = Endpoint::new(emulator).await;
        let dead = endpoint.queue("dead", true, VISIBILITY, &[]).await;
        let asked = endpoint.client.get_queue_attributes().queue_url(&dead);
        let answer = asked.attribute_names(QueueAttributeName::QueueArn).send().await.unwrap();
        let arn = &answer.attributes.unwrap()[&QueueAttributeName::QueueArn];
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":3}}"#);
        let with = [(QueueAttributeName::RedrivePolicy, policy.as_str())];
        let url = endpoint.queue("main", true, VISIBILITY, &with).await;
        let (source, publisher) = refused(&endpoint, &url).await;
        assert!(matches!(source, SqsError::RedrivePolicy { .. }), "{source}");
        assert!(matches!(publisher, SqsError::RedrivePolicy { .. }), "{publisher}");
        let allowed = SqsSource::builder(endpoint.client.clone(), &url).allow_redrive_policy().open().await;
        assert!(allowed.is_ok(), "{allowed:?}");
    }
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_refused_for_good() {
    for emulator in [Emulator::Main, Emulator::Moto] {
        let endpoint = Endpoint::new(emulator).await;
        let url = endpoint.queue("main", true, VISIBILITY, &[]).await.replace("main", "missing");
        let (source, publisher) = refused(&endpoint, &url).await;
        for error in [source, publisher] {
            assert!(!error.is_transient(), "{error}");
            assert!(error.to_string().contains("no such queue"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_queue_that_is_deleted_while_it_is_read_ends_the_run_without_a_hot_loop() {
    let endpoint = Endpoint::new(Emulator::Main).await;
    let url = endpoint.queue("main", true, VISIBILITY, &[]).await;
    let builder = SqsSource::builder(endpoint.client.clone(), &url).receivers(2).wait(Duration::from_secs(1));
    let mut source = builder.open().await.unwrap();
    assert!(matches!(source.next().await, Ok(SourceMessage::Assigned(_))));
    endpoint.client.delete_queue().queue_url(&url).send().await.unwrap();
    // ElasticMQ answers a receive that is under way only after 21 s, which may be too late, and the next one at once.
    let fatal = async {
        loop {
            match source.next().await {
                Err(SourceError::Unavailable(_)) => {}
                said => return said,
            }
        }
    };
    let said = tokio::time::timeout(Duration::from_secs(60), fatal).await.expect("it says so");
    assert!(matches!(said, Err(SourceError::Fatal { .. })), "{said:?}");
    let asked = endpoint.faults.count("ReceiveMessage");
    let more = tokio::time::timeout(Duration::from_secs(2), source.next()).await;
    drop(more);
    assert!(endpoint.faults.count("ReceiveMessage") <= asked + 1, "the other receiver stops, too");
    source.close().await.unwrap();
}

#[tokio::test]
async fn what_the_adapter_takes_for_the_limits_the_endpoint_takes_and_refuses_too() {
    let endpoint = Endpoint::new(Emulator::Main).await;
    let url = endpoint.queue("main", true, VISIBILITY, &[]).await;
    let publisher = SqsPublisher::open(endpoint.client.clone(), &url).await.unwrap();
    let publish = async |event: Event| publisher.publish(&[ReleasedEvent { event, attempts: 1 }]).await;
    let event = |index: u64| Event::builder(StreamName::new("main.fifo").unwrap(), Index::from(index), "g");
    let nine = (0..9).fold(event(1).payload("p"), |event, n| event.header(format!("h{n}"), "v"));
    let went_out = publish(nine.clone().build()).await;
    assert!(went_out.failed.is_none(), "ten attributes with ours: {went_out:?}");
    let refused = publish(nine.header("h9", "v").build()).await;
    assert!(matches!(refused.failed, Some(PublishError::Refused(_))), "eleven: {refused:?}");
    // 256 KiB in all: what is not the body is found by the first that goes out.
    let mut bytes = 262_144_usize;
    while publish(event(2).payload("x".repeat(bytes)).build()).await.failed.is_some() {
        bytes -= 1;
        assert!(bytes > 261_000, "a message of nearly the limit goes out");
    }
    let unprintable = publish(event(3).payload("\u{1b}[2J").build()).await;
    assert!(matches!(unprintable.failed, Some(PublishError::Refused(_))), "{unprintable:?}");
}
