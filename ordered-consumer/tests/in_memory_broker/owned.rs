//! Owned streams: topics, groups, assignment.

use std::time::Duration;

use futures::FutureExt as _;
use ordered_consumer::{
    AssignedStream, Assignment, Delivery, EventSource, Index, Settlement, SourceError, SourceMessage,
    StreamName,
    in_memory_broker::{BrokerError, GroupOptions, InMemoryBroker, InMemorySource, NewEvent, TopicOptions},
};

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

/// A broker with topic `t` of so many partitions, and so many events in each.
fn broker(partitions: u32, events: u32) -> InMemoryBroker {
    let broker = InMemoryBroker::new();
    broker.create_topic("t", partitions).unwrap();
    for partition in 0..partitions {
        for event in 0..events {
            broker.publish_to("t", partition, NewEvent::new(format!("k{event}"), "p")).unwrap();
        }
    }
    broker
}

/// What the source has to say now; none if it waits.
fn now(source: &mut InMemorySource) -> Option<SourceMessage> {
    source.next().now_or_never().map(|message| message.unwrap())
}

fn assigned(source: &mut InMemorySource) -> Vec<AssignedStream> {
    match now(source) {
        Some(SourceMessage::Assigned(streams)) => streams,
        other => panic!("expected an assignment, got {other:?}"),
    }
}

/// Takes the assignments that come and confirms them.
fn take_all(source: &mut InMemorySource) -> Vec<AssignedStream> {
    let streams = assigned(source);
    for stream in &streams {
        assert!(source.confirm(&stream.assignment).now_or_never().unwrap().unwrap());
    }
    streams
}

fn events(source: &mut InMemorySource) -> (Assignment, Vec<Delivery>) {
    match now(source) {
        Some(SourceMessage::Events { assignment, deliveries }) => (assignment, deliveries),
        other => panic!("expected events, got {other:?}"),
    }
}

fn revoked(source: &mut InMemorySource) -> (Vec<Assignment>, bool) {
    match now(source) {
        Some(SourceMessage::Revoked { assignments, lost }) => (assignments, lost),
        other => panic!("expected a revocation, got {other:?}"),
    }
}

fn settle(source: &mut InMemorySource, assignment: &Assignment, through: u128) {
    let watermark = Some(Index::new(through));
    source.settle(Settlement { assignment: assignment.clone(), events: Vec::new(), watermark });
}

fn indexes(deliveries: &[Delivery]) -> Vec<u128> {
    deliveries.iter().map(|delivery| delivery.event.index().get()).collect()
}

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
    assert_eq!(streams[0].position, Some(Index::new(0)));
    assert!(now(&mut source).is_none());
    assert!(source.confirm(&streams[0].assignment).await.unwrap());
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
    assert!(first.confirm(&assignments[0]).await.unwrap());
    for assignment in &batches {
        settle(&mut first, assignment, 0);
    }
    first.release(&assignments[0]);
    let streams = take_all(&mut second);
    assert_eq!(streams[0].assignment.stream, assignments[0].stream);
    assert_ne!(streams[0].assignment.epoch, assignments[0].epoch);
    assert_eq!(streams[0].position, Some(Index::new(1)));
    assert!(!first.confirm(&assignments[0]).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_does_not_release_in_time_is_fenced() {
    let broker = broker(1, 2);
    broker
        .create_group("g", GroupOptions { rebalance_timeout: Duration::from_secs(5), ..Default::default() });
    let mut first = broker.subscribe("g", &["t"]).unwrap();
    let old = take_all(&mut first).remove(0).assignment;
    events(&mut first);
    broker.redeliver("g", &stream("t/0"), Index::new(0)).unwrap();
    assert_eq!(revoked(&mut first), (vec![old.clone()], false));
    let began = tokio::time::Instant::now();
    let message = first.next().await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    assert!(matches!(message, SourceMessage::Revoked { lost: true, .. }), "{message:?}");
    assert!(!first.confirm(&old).await.unwrap());
    settle(&mut first, &old, 1);
    assert_eq!(broker.committed("g", &stream("t/0")), None);
}

#[tokio::test(start_paused = true)]
async fn a_zombie_gets_what_it_had_buffered_and_learns_late_that_it_lost_the_stream() {
    let broker = broker(1, 5);
    broker.create_group("g", GroupOptions { batch_max: 2, ..Default::default() });
    let mut zombie = broker.subscribe("g", &["t"]).unwrap();
    let old = take_all(&mut zombie).remove(0).assignment;
    assert_eq!(indexes(&events(&mut zombie).1), [0, 1]);
    let mut other = broker.subscribe("g", &["t"]).unwrap();
    broker.force_lose(zombie.member(), &stream("t/0"), Duration::from_secs(3)).unwrap();
    take_all(&mut other);
    assert_eq!(indexes(&events(&mut other).1), [0, 1]);
    assert_eq!(indexes(&events(&mut zombie).1), [2, 3]);
    assert!(now(&mut zombie).is_none());
    settle(&mut zombie, &old, 3);
    assert_eq!(broker.committed("g", &stream("t/0")), None);
    assert!(!zombie.confirm(&old).await.unwrap());
    let began = tokio::time::Instant::now();
    let told = zombie.next().await.unwrap();
    assert!(matches!(told, SourceMessage::Revoked { lost: true, .. }), "{told:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(3));
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
async fn redelivering_on_demand_leaves_what_is_committed() {
    let broker = broker(1, 3);
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    take_all(&mut source);
    let (assignment, _) = events(&mut source);
    settle(&mut source, &assignment, 2);
    assert!(matches!(now(&mut source), Some(SourceMessage::Settled { .. })));
    broker.redeliver("g", &stream("t/0"), Index::new(1)).unwrap();
    let (old, _) = revoked(&mut source);
    source.release(&old[0]);
    assert_eq!(take_all(&mut source)[0].position, Some(Index::new(3)));
    let (_, again) = events(&mut source);
    assert_eq!(indexes(&again), [1, 2]);
    assert!(again.iter().all(|delivery| delivery.event.context().redelivered));
    assert_eq!(broker.committed("g", &stream("t/0")), Some(Index::new(2)));
    let missing = broker.redeliver("g", &stream("t/0"), Index::new(3));
    assert!(matches!(missing, Err(BrokerError::NotKept { .. })));
}

#[tokio::test]
async fn a_position_that_went_back_shows_in_the_next_assignment() {
    let broker = broker(1, 3);
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    take_all(&mut source);
    let (assignment, _) = events(&mut source);
    settle(&mut source, &assignment, 2);
    assert!(matches!(now(&mut source), Some(SourceMessage::Settled { .. })));
    broker.rewind("g", &stream("t/0"), Index::new(1)).unwrap();
    assert_eq!(revoked(&mut source), (vec![assignment], true));
    assert_eq!(take_all(&mut source)[0].position, Some(Index::new(1)));
    assert_eq!(indexes(&events(&mut source).1), [1, 2]);
}

#[tokio::test]
async fn a_topic_created_again_has_another_identity() {
    let broker = broker(1, 3);
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    let old = take_all(&mut source).remove(0);
    broker.recreate_topic("t").unwrap();
    assert_eq!(revoked(&mut source), (vec![old.assignment], true));
    let new = take_all(&mut source).remove(0);
    assert_ne!(old.identity, new.identity);
    assert_eq!(new.position, Some(Index::new(0)));
    assert!(now(&mut source).is_none());
}

#[tokio::test(start_paused = true)]
async fn delayed_commits_count_later_and_lost_ones_never() {
    let broker = broker(1, 3);
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    take_all(&mut source);
    let (assignment, _) = events(&mut source);
    broker.lose_commits("g", true).unwrap();
    settle(&mut source, &assignment, 0);
    assert!(now(&mut source).is_none());
    broker.delay_commits("g", Duration::from_secs(1)).unwrap();
    settle(&mut source, &assignment, 1);
    assert_eq!(broker.committed("g", &stream("t/0")), None);
    let settled = source.next().await.unwrap();
    assert!(matches!(settled, SourceMessage::Settled { through, .. } if through == Index::new(1)));
    settle(&mut source, &assignment, 2);
    source.close().await.unwrap();
    assert_eq!(broker.committed("g", &stream("t/0")), Some(Index::new(2)));
}

#[tokio::test]
async fn a_watermark_past_what_was_delivered_counts_only_as_far() {
    let broker = broker(1, 3);
    broker.create_group("g", GroupOptions { batch_max: 2, ..Default::default() });
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    take_all(&mut source);
    let (assignment, _) = events(&mut source);
    settle(&mut source, &assignment, 2);
    assert_eq!(broker.committed("g", &stream("t/0")), Some(Index::new(1)));
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
async fn an_unavailable_broker_says_so_and_goes_on_later() {
    let broker = broker(1, 1);
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    broker.unavailable(true);
    assert!(matches!(source.next().await, Err(SourceError::Unavailable(_))));
    broker.unavailable(false);
    take_all(&mut source);
    assert_eq!(events(&mut source).1.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn latency_parts_messages_even_if_next_is_dropped_again_and_again() {
    let broker = broker(1, 1);
    broker.latency(Duration::from_millis(10));
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    take_all(&mut source);
    for _ in 0..9 {
        assert!(now(&mut source).is_none());
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(events(&mut source).1.len(), 1);
}

/// A group whose members are declared dead after ten seconds of silence.
fn with_sessions(broker: &InMemoryBroker) {
    let session_timeout = Some(Duration::from_secs(10));
    broker.create_group("g", GroupOptions { session_timeout, ..Default::default() });
}

#[tokio::test(start_paused = true)]
async fn a_lease_lasts_while_the_member_waits_and_ends_with_its_session() {
    let broker = broker(1, 1);
    with_sessions(&broker);
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    let stream = take_all(&mut source).remove(0);
    let lease = stream.lease.unwrap();
    events(&mut source);
    let waited = tokio::time::timeout(Duration::from_secs(60), source.next()).await;
    assert!(waited.is_err(), "nothing more is there");
    assert!(lease.remaining() > Duration::from_secs(6));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(lease.remaining().is_zero());
    assert!(!source.confirm(&stream.assignment).await.unwrap());
    assert!(matches!(source.next().await, Err(SourceError::Fatal { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_silent_members_streams_go_to_one_that_waits_only_once_their_leases_have_ended() {
    let broker = broker(1, 1);
    with_sessions(&broker);
    let mut silent = broker.subscribe("g", &["t"]).unwrap();
    let lease = take_all(&mut silent).remove(0).lease.unwrap();
    let mut waiting = broker.subscribe("g", &["t"]).unwrap();
    let message = waiting.next().await.unwrap();
    assert!(matches!(message, SourceMessage::Assigned(_)), "{message:?}");
    assert!(lease.remaining().is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_zombies_lease_is_not_extended() {
    let broker = broker(1, 3);
    with_sessions(&broker);
    let mut zombie = broker.subscribe("g", &["t"]).unwrap();
    let lease = take_all(&mut zombie).remove(0).lease.unwrap();
    broker.force_lose(zombie.member(), &stream("t/0"), Duration::from_secs(30)).unwrap();
    tokio::time::advance(Duration::from_secs(4)).await;
    events(&mut zombie);
    assert_eq!(lease.remaining(), Duration::from_secs(6));
}

#[tokio::test]
async fn a_stream_confirmed_again_may_settle_what_it_had_before() {
    let broker = broker(1, 4);
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    take_all(&mut source);
    let (assignment, _) = events(&mut source);
    assert!(source.confirm(&assignment).await.unwrap());
    settle(&mut source, &assignment, 3);
    assert_eq!(broker.committed("g", &stream("t/0")), Some(Index::new(3)));
    assert!(matches!(now(&mut source), Some(SourceMessage::Settled { .. })));
    assert_eq!(indexes(&events(&mut source).1), [0, 1, 2, 3]);
}
