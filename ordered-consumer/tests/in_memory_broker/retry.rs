//! The retry stream: copies out and back.

use std::time::Duration;

use futures::FutureExt as _;
use ordered_consumer::{
    Event, EventPublisher as _, EventSource, Index, PublishError, ReleasedEvent, ReturnedCopy, SourceMessage,
    StreamName,
    in_memory_broker::{GroupOptions, InMemoryBroker, InMemoryPublisher, QueueOptions},
};

fn broker() -> InMemoryBroker {
    let broker = InMemoryBroker::new();
    broker.create_topic("t", 1).unwrap();
    broker.create_queue("q", QueueOptions::default()).unwrap();
    broker.create_group("g", GroupOptions::default());
    broker
}

fn released(index: u64) -> ReleasedEvent {
    let stream = StreamName::new("t/0").unwrap();
    let event = Event::builder(stream, Index::from(index), "k").payload("payload").build();
    ReleasedEvent { event, attempts: 3 }
}

async fn publish(publisher: &InMemoryPublisher, indexes: &[u64]) -> (usize, Option<PublishError>) {
    let events: Vec<_> = indexes.iter().map(|index| released(*index)).collect();
    let published = publisher.publish(&events).await;
    (published.count, published.failed)
}

/// The copies that come now, past whatever else is said.
fn copies(source: &mut impl EventSource) -> Vec<ReturnedCopy> {
    loop {
        match source.next().now_or_never().map(|message| message.unwrap()) {
            Some(SourceMessage::Copies(copies)) => return copies,
            Some(_) => {}
            None => return Vec::new(),
        }
    }
}

fn indexes(copies: &[ReturnedCopy]) -> Vec<u128> {
    copies.iter().map(|copy| copy.index.get()).collect()
}

#[tokio::test]
async fn copies_come_back_in_order_to_those_who_subscribed_with_retry() {
    let broker = broker();
    let mut without = broker.subscribe("g", &["t"]).unwrap();
    let mut with = broker.subscribe("g", &["t"]).unwrap().with_retry();
    assert_eq!(publish(&broker.retry_publisher("g"), &[1, 2]).await.0, 2);
    assert!(copies(&mut without).is_empty());
    let back = copies(&mut with);
    assert_eq!(indexes(&back), [1, 2]);
    assert_eq!((back[0].entity.as_ref(), back[0].attempts), (b"k".as_ref(), 3));
    assert_eq!(back[0].stream.as_str(), "t/0");
}

#[tokio::test]
async fn copies_that_a_crashed_member_did_not_settle_come_again() {
    let broker = broker();
    let mut first = broker.subscribe("g", &["t"]).unwrap().with_retry();
    publish(&first.retry_publisher(), &[1, 2, 3]).await;
    let back = copies(&mut first);
    first.settle_copies(&[back[1].receipt]);
    drop(first);
    let mut second = broker.subscribe("g", &["t"]).unwrap().with_retry();
    assert_eq!(indexes(&copies(&mut second)), [1, 3]);
    assert_eq!((broker.copies_left("g"), broker.copies_published("g")), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_queues_copies_come_again_once_their_visibility_has_run_out() {
    let broker = broker();
    let mut source = broker.subscribe_queue("q").unwrap().with_retry();
    publish(&source.retry_publisher(), &[1, 2]).await;
    let back = copies(&mut source);
    source.settle_copies(&[back[0].receipt]);
    assert!(copies(&mut source).is_empty());
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(indexes(&copies(&mut source)), [2]);
    assert_eq!(broker.queue_copies_left("q"), 1);
}

#[tokio::test]
async fn a_publish_stops_at_the_first_that_is_refused() {
    let broker = broker();
    let publisher = broker.retry_publisher("g");
    publisher.refuse(|event| event.index() == Index::from(2));
    let (count, failed) = publish(&publisher, &[1, 2, 3]).await;
    assert_eq!(count, 1);
    assert!(matches!(failed, Some(PublishError::Refused(_))));
    assert_eq!(broker.copies_left("g"), 1);
    publisher.refuse_above(3);
    assert!(matches!(publish(&publisher, &[4]).await, (0, Some(PublishError::Refused(_)))));
}

#[tokio::test]
async fn a_publisher_is_unavailable_as_often_as_it_was_told() {
    let broker = broker();
    let publisher = broker.retry_publisher("g");
    publisher.unavailable_for(2);
    for _ in 0..2 {
        assert!(matches!(publish(&publisher, &[1]).await, (0, Some(PublishError::Unavailable(_)))));
    }
    assert_eq!(publish(&publisher, &[1]).await.0, 1);
    broker.unavailable(true);
    assert!(matches!(publish(&publisher, &[2]).await, (0, Some(PublishError::Unavailable(_)))));
}

#[tokio::test]
async fn a_publish_whose_answer_is_lost_counts_as_failed_and_went_out() {
    let broker = broker();
    let publisher = broker.retry_publisher("g");
    publisher.lose_answers_for(1);
    assert!(matches!(publish(&publisher, &[1, 2]).await, (0, Some(PublishError::Unavailable(_)))));
    assert_eq!(publish(&publisher, &[1, 2]).await.0, 2);
    assert_eq!(broker.copies_published("g"), 3);
}

#[tokio::test]
async fn a_full_retry_stream_takes_no_more_and_loses_nothing() {
    let broker = broker();
    broker.create_group("g", GroupOptions { copies_max: 1, ..Default::default() });
    let publisher = broker.retry_publisher("g");
    assert!(matches!(publish(&publisher, &[1, 2]).await, (1, Some(PublishError::Unavailable(_)))));
}

#[tokio::test]
async fn the_end_waits_for_copies_and_later_ones_still_come() {
    let broker = broker();
    let mut source = broker.subscribe("g", &["t"]).unwrap().with_retry().end_when_drained();
    let publisher = source.retry_publisher();
    publish(&publisher, &[1]).await;
    let back = copies(&mut source);
    assert!(source.next().now_or_never().is_none());
    source.settle_copies(&[back[0].receipt]);
    assert!(matches!(source.next().await, Ok(SourceMessage::Ended)));
    publish(&publisher, &[2]).await;
    assert_eq!(indexes(&copies(&mut source)), [2]);
}
