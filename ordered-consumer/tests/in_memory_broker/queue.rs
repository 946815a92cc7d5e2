//! Shared queues: receives, visibility, deletes.

use std::time::Duration;

use futures::FutureExt as _;
use ordered_consumer::{
    Assignment, Delivery, EventSource, Index, Settlement, SourceMessage,
    in_memory_broker::{InMemoryBroker, InMemoryQueueSource, QueueOptions},
};
use tokio::time::advance;

/// A queue `q` with these entities' events, in order.
fn broker(options: QueueOptions, entities: &[&'static str]) -> InMemoryBroker {
    let broker = InMemoryBroker::new();
    broker.create_queue("q", options).unwrap();
    for entity in entities {
        broker.publish("q", *entity, "p").unwrap();
    }
    broker
}

fn source(broker: &InMemoryBroker) -> InMemoryQueueSource {
    let mut source = broker.subscribe_queue("q").unwrap();
    assert!(matches!(now(&mut source), Some(SourceMessage::Assigned(_))));
    source
}

fn now(source: &mut InMemoryQueueSource) -> Option<SourceMessage> {
    source.next().now_or_never().map(|message| message.unwrap())
}

fn events(source: &mut InMemoryQueueSource) -> (Assignment, Vec<Delivery>) {
    match now(source) {
        Some(SourceMessage::Events { assignment, deliveries }) => (assignment, deliveries),
        other => panic!("expected events, got {other:?}"),
    }
}

fn indexes(deliveries: &[Delivery]) -> Vec<u128> {
    deliveries.iter().map(|delivery| delivery.event.index().get()).collect()
}

fn settle<'a>(
    source: &mut InMemoryQueueSource,
    assignment: &Assignment,
    deliveries: impl IntoIterator<Item = &'a Delivery>,
) {
    let events = deliveries.into_iter().map(|done| (done.event.index(), done.receipt)).collect();
    source.settle(Settlement { assignment: assignment.clone(), events, held: Vec::new(), watermark: None });
}

#[tokio::test(start_paused = true)]
async fn an_entity_in_flight_is_given_to_nobody_else() {
    let options = QueueOptions { receive_max: 2, ..Default::default() };
    let broker = broker(options, &["a", "a", "a", "b"]);
    let (mut one, mut two) = (source(&broker), source(&broker));
    let (assignment, first) = events(&mut one);
    assert_eq!(indexes(&first), [0, 1]);
    assert_eq!(indexes(&events(&mut two).1), [3]);
    assert!(now(&mut two).is_none());
    settle(&mut one, &assignment, &first[..1]);
    assert!(now(&mut two).is_none(), "one event of the entity is still in flight");
    settle(&mut one, &assignment, &first[1..]);
    assert_eq!(indexes(&events(&mut two).1), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_receive_comes_by_ascending_index_with_one_lease_for_each_entity() {
    let options = QueueOptions {
        visibility_timeout: Duration::from_secs(30),
        lease_margin: Duration::from_secs(5),
        ..Default::default()
    };
    let broker = broker(options, &["a", "b", "a"]);
    let (_, deliveries) = events(&mut source(&broker));
    assert_eq!(indexes(&deliveries), [0, 1, 2]);
    let leases: Vec<_> = deliveries.iter().map(|delivery| delivery.lease.clone().unwrap()).collect();
    assert_eq!(leases[0].remaining(), Duration::from_secs(25));
    leases[0].end();
    assert_eq!([&leases[1], &leases[2]].map(|lease| lease.remaining().is_zero()), [false, true]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_deleted_in_time_comes_again_and_its_receipts_are_void() {
    let broker = broker(QueueOptions::default(), &["a", "a"]);
    let (mut one, mut two) = (source(&broker), source(&broker));
    let (assignment, late) = events(&mut one);
    settle(&mut one, &assignment, &late[..1]);
    advance(Duration::from_secs(30)).await;
    let (_, again) = events(&mut two);
    assert_eq!(indexes(&again), [1]);
    assert!(again[0].event.context().redelivered);
    assert!(late[1].lease.as_ref().unwrap().remaining().is_zero());
    settle(&mut one, &assignment, &late[1..]);
    assert_eq!((broker.kept("q"), broker.receives("q", Index::new(1))), (1, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_consumer_gets_a_crashed_ones_events_once_their_visibility_has_run_out() {
    let broker = broker(QueueOptions::default(), &["a"]);
    let (mut one, mut two) = (source(&broker), source(&broker));
    events(&mut one);
    drop(one);
    let began = tokio::time::Instant::now();
    assert!(matches!(two.next().await, Ok(SourceMessage::Events { .. })));
    assert_eq!(began.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_closed_consumer_gives_back_at_once_what_it_has_not_settled() {
    let broker = broker(QueueOptions::default(), &["a"]);
    let (mut one, mut two) = (source(&broker), source(&broker));
    events(&mut one);
    one.close().await.unwrap();
    assert_eq!(indexes(&events(&mut two).1), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_delete_gives_back_the_rest_of_its_entitys_receive() {
    let broker = broker(QueueOptions::default(), &["a", "a", "b", "a"]);
    let mut source = source(&broker);
    let (assignment, deliveries) = events(&mut source);
    settle(&mut source, &assignment, &deliveries[..1]);
    broker.refuse_deletes("q", 1).unwrap();
    settle(&mut source, &assignment, [&deliveries[1], &deliveries[3], &deliveries[2]]);
    assert_eq!(broker.kept("q"), 2, "the other entity's delete went through");
    assert!(deliveries[3].lease.as_ref().unwrap().remaining().is_zero(), "nothing more of it may start");
    let (_, again) = events(&mut source);
    assert_eq!(indexes(&again), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn deletes_wait_for_the_ones_before_them() {
    let broker = broker(QueueOptions::default(), &["a", "a"]);
    let mut source = source(&broker);
    let (assignment, deliveries) = events(&mut source);
    settle(&mut source, &assignment, &deliveries[1..]);
    assert_eq!(broker.kept("q"), 2);
    settle(&mut source, &assignment, &deliveries[..1]);
    assert_eq!((broker.kept("q"), broker.in_flight("q")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn abandoned_events_come_again_at_once_when_nothing_of_their_receive_is_under_way() {
    let broker = broker(QueueOptions::default(), &["a", "a", "a"]);
    let mut source = source(&broker);
    let (assignment, deliveries) = events(&mut source);
    source.abandon(&assignment, &[deliveries[1].receipt, deliveries[2].receipt]);
    assert!(now(&mut source).is_none(), "the first one is still under way");
    settle(&mut source, &assignment, &deliveries[..1]);
    assert_eq!(indexes(&events(&mut source).1), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_keeps_events_as_long_as_their_consumer_asks() {
    let options = QueueOptions { heartbeat: Some(Duration::from_secs(10)), ..Default::default() };
    let broker = broker(options, &["a"]);
    let mut source = source(&broker);
    let (_, deliveries) = events(&mut source);
    let lease = deliveries[0].lease.clone().unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(100), source.next()).await;
    assert!(waited.is_err(), "the event was given out again");
    assert!(lease.remaining() >= Duration::from_secs(18));
    advance(Duration::from_secs(30)).await;
    assert!(events(&mut source).1[0].event.context().redelivered);
}

#[tokio::test(start_paused = true)]
async fn a_paused_queue_gives_nothing_and_the_end_comes_once_all_is_deleted() {
    let broker = broker(QueueOptions::default(), &["a"]);
    broker.close_topic("q").unwrap();
    let mut source = source(&broker);
    let (assignment, deliveries) = events(&mut source);
    source.abandon(&assignment, &[deliveries[0].receipt]);
    source.pause(&assignment);
    assert!(now(&mut source).is_none());
    source.resume(&assignment);
    let (_, deliveries) = events(&mut source);
    assert!(now(&mut source).is_none());
    settle(&mut source, &assignment, &deliveries);
    assert!(matches!(now(&mut source), Some(SourceMessage::Ended)));
}

#[tokio::test(start_paused = true)]
async fn a_settlement_of_another_consumers_events_or_assignment_is_dropped() {
    let broker = broker(QueueOptions::default(), &["a"]);
    let (mut one, mut two) = (source(&broker), source(&broker));
    let (mine, deliveries) = events(&mut one);
    settle(&mut two, &mine, &deliveries);
    let other = Assignment { epoch: mine.epoch + 100, ..mine };
    settle(&mut one, &other, &deliveries);
    assert_eq!(broker.kept("q"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_queue_created_again_has_another_identity_begins_anew_and_knows_no_old_receipt() {
    let broker = broker(QueueOptions::default(), &["a", "a"]);
    let mut source = source(&broker);
    let (assignment, old) = events(&mut source);
    let identity = |source: &mut InMemoryQueueSource| {
        let confirmed = source.confirm(&assignment).now_or_never().unwrap();
        confirmed.unwrap().unwrap().identity.unwrap()
    };
    let before = identity(&mut source);
    broker.recreate_queue("q").unwrap();
    assert!(old.iter().all(|delivery| delivery.lease.as_ref().unwrap().remaining().is_zero()));
    assert_ne!(identity(&mut source), before);
    assert_eq!((broker.kept("q"), broker.in_flight("q")), (0, 0));
    assert!(now(&mut source).is_none());
    broker.publish("q", "a", "p").unwrap();
    assert_eq!(indexes(&events(&mut source).1), [0], "it goes on under the same assignment");
    settle(&mut source, &assignment, &old);
    assert_eq!(broker.kept("q"), 1, "an old receipt deletes nothing");
    assert!(broker.recreate_queue("nothing").is_err());
}
