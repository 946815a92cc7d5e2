//! What is said when a source or a publisher is made.

use std::time::Duration;

use ordered_consumer_sqs::{SqsError, SqsPublisher, SqsSource};

use crate::{
    fake_sqs::{FakeSqs, Fault, SECRETS},
    rig::{Told, VISIBILITY, builder},
};

const QUEUE: &str = "orders.fifo";

#[tokio::test(start_paused = true)]
async fn a_visibility_timeout_shorter_than_the_handlers_timeout_is_warned_of() {
    let (told, _listens) = Told::listen();
    let sqs = FakeSqs::default();
    let url = sqs.make(QUEUE, VISIBILITY);
    builder(&sqs, &url).handler_timeout(VISIBILITY).open().await.unwrap();
    assert_eq!(told.count("handlers may take longer than the visibility timeout"), 0);
    builder(&sqs, &url).handler_timeout(VISIBILITY + Duration::from_secs(1)).open().await.unwrap();
    assert_eq!(told.count("handlers may take longer than the visibility timeout"), 1);
    SqsSource::builder(sqs.client(), &url).open().await.unwrap();
    let said = "unless it is told otherwise, handlers are believed to have their minute";
    assert_eq!(told.count("handlers may take longer than the visibility timeout"), 2, "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_visibility_timeout_in_which_no_heartbeat_could_come_is_refused() {
    let sqs = FakeSqs::default();
    let url = sqs.make(QUEUE, Duration::from_secs(2));
    let error = builder(&sqs, &url).open().await.unwrap_err();
    assert!(error.to_string().contains("must be from 3 s to 12 h"), "{error}");
    let fraction = builder(&sqs, &url).visibility_timeout(Duration::from_millis(2_999)).open().await;
    assert!(matches!(fraction, Err(SqsError::Misused { .. })), "SQS would take it for two seconds");
    builder(&sqs, &url).visibility_timeout(Duration::from_secs(3)).open().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_retry_queue_that_is_the_queue_itself_is_refused() {
    let sqs = FakeSqs::default();
    let url = sqs.make(QUEUE, VISIBILITY);
    let error = builder(&sqs, &url).retry_queue(&url).open().await.unwrap_err();
    assert!(error.to_string().contains("leave `retry_queue` out"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_look_at_the_queue_is_told_which_and_why_and_shown_no_credentials() {
    let sqs = FakeSqs::default();
    let url = sqs.make(QUEUE, VISIBILITY);
    let codes = [
        ("AccessDenied", false),
        ("InvalidClientTokenId", false),
        ("SignatureDoesNotMatch", false),
        ("ExpiredToken", true),
        ("RequestThrottled", true),
        ("QueueDoesNotExist", false),
    ];
    for (code, is_transient) in codes {
        sqs.fail("GetQueueAttributes", 2, Fault::Refused(code));
        let source = builder(&sqs, &url).open().await.unwrap_err();
        let publisher = SqsPublisher::open(sqs.client(), &url).await.unwrap_err();
        for error in [source, publisher] {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let text = format!("{error} {cause} {error:?}");
            assert!(text.contains(code) && text.contains(QUEUE), "{text}");
            assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "{text}");
            assert_eq!(error.is_transient(), is_transient, "{text}");
        }
    }
    sqs.fail("GetQueueAttributes", 1, Fault::AnswerLost);
    let error = builder(&sqs, &url).open().await.unwrap_err();
    assert!(
        error.is_transient() && format!("{error:?}").contains("the connection is lost on purpose"),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_builder_source_or_publisher_shows_credentials() {
    let sqs = FakeSqs::default();
    let url = sqs.make(QUEUE, VISIBILITY);
    let (of_source, of_publisher) = (builder(&sqs, &url), SqsPublisher::builder(sqs.client(), &url));
    let builders = format!("{of_source:?} {of_publisher:?}");
    let opened = format!("{:?} {:?}", of_source.open().await.unwrap(), of_publisher.open().await.unwrap());
    let text = format!("{builders} {opened}");
    assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "{text}");
    assert!(text.contains(QUEUE), "{text}");
}
