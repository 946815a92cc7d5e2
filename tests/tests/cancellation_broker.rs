//! What the in-memory broker can be asked, dropped wherever it waits: nothing is taken, published or settled by half.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::{sync::Arc, time::Duration};

use ordered_consumer::{
    Assignment, EventPublisher, EventSource, Index, ReleasedEvent, Settlement, SourceMessage,
    in_memory_broker::{InMemoryBroker, InMemorySource, NewEvent, TopicOptions},
    testing::{Cuts, polled_eagerly, sweep},
};

fn broker(retained_max: usize) -> InMemoryBroker {
    let broker = InMemoryBroker::new();
    let options = TopicOptions { retained_max, drop_settled: true, ..TopicOptions::default() };
    broker.create_topic_with("orders", options).unwrap();
    broker.create_group("billing", Default::default());
    broker
}

/// The source, once its stream is confirmed.
async fn assigned(broker: &InMemoryBroker) -> (InMemorySource, Assignment) {
    let mut source = broker.subscribe("billing", &["orders"]).unwrap();
    let SourceMessage::Assigned(streams) = source.next().await.unwrap() else {
        panic!("nothing is assigned")
    };
    let assignment = streams[0].assignment.clone();
    assert!(source.confirm(&assignment).await.unwrap().is_some());
    (source, assignment)
}

async fn read(source: &mut InMemorySource, count: usize) -> Vec<Index> {
    let mut read = Vec::new();
    while read.len() < count {
        let message = tokio::time::timeout(Duration::from_secs(60), source.next()).await.unwrap().unwrap();
        if let SourceMessage::Events { deliveries, .. } = message {
            read.extend(deliveries.iter().map(|delivery| delivery.event.index()));
        }
    }
    read
}

#[tokio::test(start_paused = true)]
async fn a_next_that_waits_for_an_event_takes_it_or_leaves_it() {
    sweep(Cuts::Every, 20, async |cut| {
        let broker = broker(100);
        let (mut source, _) = assigned(&broker).await;
        let publishes = broker.clone();
        let publishing = tokio::spawn(async move {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            publishes.publish("orders", "a", "a0").unwrap();
        });
        let first = cut.cut(polled_eagerly(source.next())).await;
        publishing.await.unwrap();
        broker.publish("orders", "a", "a1").unwrap();
        let mut came: Vec<Index> = match first {
            Some(Ok(SourceMessage::Events { deliveries, .. })) => {
                deliveries.iter().map(|delivery| delivery.event.index()).collect()
            }
            None => Vec::new(),
            Some(other) => panic!("{other:?}"),
        };
        came.extend(read(&mut source, 2 - came.len()).await);
        assert_eq!(came, [Index::new(0), Index::new(1)], "{cut:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_waits_for_room_publishes_once_or_not_at_all() {
    sweep(Cuts::Every, 10, async |cut| {
        let broker = broker(1);
        broker.publish("orders", "a", "a0").unwrap();
        let (mut source, assignment) = assigned(&broker).await;
        assert_eq!(read(&mut source, 1).await, [Index::MIN]);
        let settling = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let events = vec![(Index::MIN, 0)];
            source.settle(Settlement { assignment, events, held: Vec::new(), watermark: Some(Index::MIN) });
            source
        });
        let event = || NewEvent::new("a", "a1");
        let published = cut.cut(polled_eagerly(broker.publish_when_room("orders", event()))).await;
        let mut source = settling.await.unwrap();
        if published.is_none() {
            assert_eq!(broker.published("orders"), 1, "{cut:?}: dropped, it has published nothing");
            broker.publish_when_room("orders", event()).await.unwrap();
        }
        assert_eq!(broker.published("orders"), 2);
        assert_eq!(read(&mut source, 1).await, [Index::new(1)], "{cut:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_publish_to_the_retry_stream_goes_out_whole_or_not_at_all() {
    sweep(Cuts::Every, 1, async |cut| {
        let broker = broker(100);
        let mut source = broker.subscribe("billing", &["orders"]).unwrap().with_retry();
        let publisher = broker.retry_publisher("billing");
        let (stream, _) = broker.publish("orders", "a", "a0").unwrap();
        let event = |index| ordered_consumer::Event::builder(stream.clone(), Index::new(index), "a").build();
        let events: Vec<_> = (0..3).map(|index| ReleasedEvent { event: event(index), attempts: 1 }).collect();
        broker.latency(Duration::from_millis(5));
        let published = cut.cut(publisher.publish(&events)).await;
        let went_out = broker.copies_published("billing");
        assert_eq!(went_out, if published.is_some() { 3 } else { 0 }, "{cut:?}");
        assert_eq!(publisher.publish(&events).await.count, 3, "it can be asked again");
        source.close().await.unwrap();
    })
    .await;
}

// Neither of them ever waits: whoever calls them has had them done.
#[tokio::test(start_paused = true)]
async fn confirming_and_closing_are_done_at_their_first_poll() {
    let broker = Arc::new(broker(100));
    let (mut source, assignment) = assigned(&broker).await;
    assert!(futures::poll!(source.confirm(&assignment)).is_ready());
    assert!(futures::poll!(source.close()).is_ready());
    assert!(source.confirm(&assignment).await.unwrap().is_none(), "it has left");
}
