//! Owned streams: what goes wrong on purpose.

use std::time::Duration;

use ordered_consumer::{
    EventSource, Index, SourceError, SourceMessage,
    in_memory_broker::{BrokerError, GroupOptions, InMemoryBroker},
};

use super::helpers::{broker, events, indexes, now, revoked, settle, stream, take_all};

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
    assert!(first.confirm(&old).await.unwrap().is_none());
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
    assert!(zombie.confirm(&old).await.unwrap().is_none());
    let began = tokio::time::Instant::now();
    let told = zombie.next().await.unwrap();
    assert!(matches!(told, SourceMessage::Revoked { lost: true, .. }), "{told:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(3));
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
async fn an_unavailable_broker_says_so_and_goes_on_later() {
    let broker = broker(1, 1);
    let mut source = broker.subscribe("g", &["t"]).unwrap();
    broker.unavailable(true);
    assert!(matches!(source.next().await, Err(SourceError::Unavailable(_))));
    broker.unavailable(false);
    take_all(&mut source);
    assert_eq!(events(&mut source).1.len(), 1);
}

#[tokio::test]
async fn what_is_told_while_the_broker_is_away_arrives_later_and_not_from_the_dead() {
    for crashes in [false, true] {
        let broker = broker(1, 2);
        let mut source = broker.subscribe("g", &["t"]).unwrap();
        take_all(&mut source);
        let (assignment, _) = events(&mut source);
        broker.unavailable(true);
        settle(&mut source, &assignment, 1);
        assert_eq!(broker.committed("g", &stream("t/0")), None);
        assert!(matches!(source.close().await, Err(SourceError::Unavailable(_))));
        let alive = (!crashes).then_some(source);
        broker.unavailable(false);
        let expected = alive.as_ref().map(|_| Index::new(1));
        assert_eq!(broker.committed("g", &stream("t/0")), expected);
    }
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
    assert!(source.confirm(&stream.assignment).await.unwrap().is_none());
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
