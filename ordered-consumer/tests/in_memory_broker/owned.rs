//! Owned streams: topics, groups, assignment.

use futures::FutureExt as _;
use ordered_consumer::{
    EventSource, Index, SourceError, SourceMessage,
    in_memory_broker::{BrokerError, GroupOptions, InMemoryBroker, NewEvent, TopicOptions},
};

use super::helpers::{assigned, broker, events, indexes, now, revoked, settle, stream, take_all};

#[test]
fn a_key_always_goes_to_the_same_partition_and_keys_spread() {
    let broker = broker(4, 0);
    let mut used = std::collections::BTreeSet::new();
    for key in 0..100 {
        let (first, _) = broker.publish("t", format!("key-{key}"), "1").unwrap();
        let (second, _) = broker.publish("t", format!("key-{key}"), "2").unwrap();
        assert_eq!(first, second);
        used.insert(first);
    }
    assert_eq!(used.len(), 4);
    assert_eq!(broker.published("t"), 200);
    assert_eq!(InMemoryBroker::new().published("t"), 0);
}

#[tokio::test]
async fn nothing_is_delivered_before_the_assignment_is_confirmed() {
    let broker = broker(1, 2);
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    let streams = assigned(&mut source);
    assert!(now(&mut source).is_none());
    let confirmed = source.confirm(&streams[0].assignment).await.unwrap().unwrap();
    assert_eq!(confirmed.position, Some(Index::new(0)));
    let (_, deliveries) = events(&mut source);
    assert_eq!(indexes(&deliveries), [0, 1]);
    assert!(deliveries.iter().all(|delivery| !delivery.event.context().redelivered));
}

#[tokio::test]
async fn indexes_go_on_past_64_bits_and_end_at_the_highest() {
    let broker = InMemoryBroker::new();
    let wide = u128::from(u64::MAX);
    let options = |first_index| TopicOptions { first_index, ..TopicOptions::default() };
    broker.create_topic_with("wide", options(wide)).unwrap();
    broker.create_topic_with("last", options(u128::MAX)).unwrap();
    assert_eq!(broker.publish("wide", "k", "p").unwrap().1, Index::new(wide));
    assert_eq!(broker.publish("wide", "k", "p").unwrap().1, Index::new(wide + 1));
    assert_eq!(broker.publish("last", "k", "p").unwrap().1, Index::MAX);
    assert_eq!(
        broker.publish("last", "k", "p"),
        Err(BrokerError::IndexesUsedUp { stream: stream("last/0") })
    );
    let mut source = broker.subscribe("g", &["last"]).unwrap().end_when_drained();
    let streams = take_all(&mut source);
    assert_eq!(indexes(&events(&mut source).1), [u128::MAX]);
    settle(&mut source, &streams[0].assignment, u128::MAX);
    assert!(matches!(now(&mut source), Some(SourceMessage::Settled { through: Index::MAX, .. })));
    assert!(matches!(now(&mut source), Some(SourceMessage::Ended)));
    assert_eq!(broker.committed("g", &stream("last/0")), Some(Index::MAX));
    assert_eq!(broker.published("last"), 1);
}

#[tokio::test]
async fn after_a_crash_what_was_not_settled_comes_again_and_says_so() {
    let broker = broker(1, 4);
    let mut first = broker.subscribe("g", &["t"]).unwrap();
    take_all(&mut first);
    let (assignment, deliveries) = events(&mut first);
    assert_eq!(deliveries.len(), 4);
    settle(&mut first, &assignment, 1);
    drop(first);
    broker.publish("t", "k", "new").unwrap();
    let mut second = broker.subscribe("g", &["t"]).unwrap();
    assert_eq!(take_all(&mut second)[0].position, Some(Index::new(2)));
    let again: Vec<_> = events(&mut second)
        .1
        .iter()
        .map(|d| (d.event.index().get(), d.event.context().redelivered))
        .collect();
    assert_eq!(again, [(2, true), (3, true), (4, false)]);
    assert_eq!(broker.lag("g"), 3);
}

#[tokio::test]
async fn a_member_declared_dead_fails_and_its_streams_go_to_the_other() {
    let broker = broker(2, 1);
    let mut first = broker.subscribe("g", &["t"]).unwrap();
    take_all(&mut first);
    broker.crash(first.member()).unwrap();
    assert_eq!(broker.crash(first.member()), Err(BrokerError::NoSuchMember));
    let mut second = broker.subscribe("g", &["t"]).unwrap();
    assert_eq!(take_all(&mut second).len(), 2);
    assert!(matches!(first.next().await, Err(SourceError::Fatal { .. })));
}

#[tokio::test]
async fn a_newcomer_gets_its_share_only_once_the_old_owner_has_released_it() {
    let broker = broker(2, 1);
    let mut first = broker.subscribe("g", &["t"]).unwrap();
    take_all(&mut first);
    let batches = [events(&mut first).0, events(&mut first).0];
    let mut second = broker.subscribe("g", &["t"]).unwrap();
    broker.publish_to("t", 0, NewEvent::new("k", "p")).unwrap();
    broker.publish_to("t", 1, NewEvent::new("k", "p")).unwrap();
    let (assignments, lost) = revoked(&mut first);
    assert_eq!((assignments.len(), lost), (1, false));
    assert_ne!(events(&mut first).0, assignments[0], "nothing more of what is to be released");
    assert!(now(&mut first).is_none());
    assert!(now(&mut second).is_none());
    // It still is the old owner's, whose settlements count.
    assert!(first.confirm(&assignments[0]).await.unwrap().is_some());
    for assignment in &batches {
        settle(&mut first, assignment, 0);
    }
    first.release(&assignments[0]);
    let streams = take_all(&mut second);
    assert_eq!(streams[0].assignment.stream, assignments[0].stream);
    assert_ne!(streams[0].assignment.epoch, assignments[0].epoch);
    assert_eq!(streams[0].position, Some(Index::new(1)));
    assert!(first.confirm(&assignments[0]).await.unwrap().is_none());
}

#[tokio::test]
async fn a_paused_stream_gives_nothing_and_the_others_take_turns() {
    let broker = broker(3, 4);
    broker.create_group("g", GroupOptions { batch_max: 2, ..Default::default() });
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    let streams = take_all(&mut source);
    source.pause(&streams[1].assignment);
    let mut order = Vec::new();
    while let Some(SourceMessage::Events { assignment, .. }) = now(&mut source) {
        order.push(assignment.stream.to_string());
    }
    assert_eq!(order, ["t/0", "t/2", "t/0", "t/2"]);
    source.resume(&streams[1].assignment);
    assert_eq!(events(&mut source).0, streams[1].assignment);
}

#[tokio::test]
async fn a_full_partition_refuses_until_every_group_has_settled_some() {
    let broker = InMemoryBroker::new();
    let options = TopicOptions { retained_max: 2, drop_settled: true, ..TopicOptions::default() };
    broker.create_topic_with("t", options).unwrap();
    let mut sources = ["g", "h"].map(|group| broker.subscribe(group, &["t"]).unwrap());
    for _ in 0..2 {
        broker.publish("t", "k", "p").unwrap();
    }
    let full = BrokerError::Full { stream: stream("t/0"), limit: 2 };
    assert_eq!(broker.publish("t", "k", "p"), Err(full.clone()));
    for (source, left) in sources.iter_mut().zip([2, 1]) {
        take_all(source);
        let (assignment, _) = events(source);
        settle(source, &assignment, 0);
        assert_eq!(broker.kept("t"), left);
    }
    assert_eq!(broker.publish("t", "k", "p").unwrap().1, Index::new(2));
    assert_eq!(broker.publish("t", "k", "p"), Err(full));
}

#[tokio::test]
async fn the_end_is_told_once_the_topic_is_closed_and_settled() {
    let broker = broker(2, 1);
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    take_all(&mut source);
    let batches = [events(&mut source), events(&mut source)];
    broker.close_topic("t").unwrap();
    assert_eq!(broker.publish("t", "k", "p"), Err(BrokerError::Closed { name: "t".to_owned() }));
    for (assignment, _) in &batches {
        assert!(now(&mut source).is_none());
        settle(&mut source, assignment, 0);
        assert!(matches!(now(&mut source), Some(SourceMessage::Settled { .. })));
    }
    assert!(matches!(now(&mut source), Some(SourceMessage::Ended)));
    assert!(now(&mut source).is_none());
}

#[tokio::test]
async fn a_publisher_that_waits_for_room_goes_on_once_there_is_some() {
    let broker = InMemoryBroker::new();
    let options = TopicOptions { retained_max: 1, drop_settled: true, ..TopicOptions::default() };
    broker.create_topic_with("t", options).unwrap();
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    take_all(&mut source);
    broker.publish("t", "k", "p").unwrap();
    let mut waiting = std::pin::pin!(broker.publish_when_room("t", NewEvent::new("k", "p")));
    assert!(waiting.as_mut().now_or_never().is_none());
    let (assignment, _) = events(&mut source);
    settle(&mut source, &assignment, 0);
    assert_eq!(waiting.await.unwrap().1, Index::new(1));
}

#[tokio::test]
async fn a_stream_confirmed_again_may_settle_what_it_had_before() {
    let broker = broker(1, 4);
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    take_all(&mut source);
    let (assignment, _) = events(&mut source);
    assert!(source.confirm(&assignment).await.unwrap().is_some());
    settle(&mut source, &assignment, 3);
    assert_eq!(broker.committed("g", &stream("t/0")), Some(Index::new(3)));
    assert!(matches!(now(&mut source), Some(SourceMessage::Settled { .. })));
    assert_eq!(indexes(&events(&mut source).1), [0, 1, 2, 3]);
}
