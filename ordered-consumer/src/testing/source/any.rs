//! Rules of every source.

use super::{Reader, Received, SourceFixture};
use crate::{Index, StreamName};

/// Publishes so many events of entities `a` and `b` in turn.
pub(super) async fn publish(fixture: &mut dyn SourceFixture, count: usize) -> Vec<(StreamName, Index)> {
    let mut places = Vec::new();
    for number in 0..count {
        let entity = if number % 2 == 0 { "a" } else { "b" };
        places.push(fixture.publish(entity, &number.to_string()).await);
    }
    places
}

pub(super) fn places(events: &[Received]) -> Vec<(StreamName, Index)> {
    events.iter().map(|event| (event.assignment.stream.clone(), event.index())).collect()
}

/// Its entity, its payload and its place are those it was published with.
pub async fn an_event_comes_as_it_was_published(mut fixture: Box<dyn SourceFixture>) {
    let place = fixture.publish("a", "payload").await;
    let mut reader = Reader::open(&mut *fixture).await;
    let event = reader.read(1).await.remove(0).delivery.event;
    assert_eq!((event.stream().clone(), event.index()), place);
    assert_eq!(event.entity().as_ref(), b"a");
    assert_eq!(event.payload().map(AsRef::as_ref), Some(b"payload".as_slice()));
}

/// Also those that are published while somebody waits.
pub async fn events_of_an_entity_come_in_order_and_none_is_left_out(mut fixture: Box<dyn SourceFixture>) {
    let mut published = publish(&mut *fixture, 6).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let mut received = reader.read_all(&published).await;
    reader.settle_through(&received);
    let more = publish(&mut *fixture, 6).await;
    received.extend(reader.read_and_settle_all(&more).await);
    published.extend(more);
    for entity in ["a", "b"] {
        let of_entity = |event: &&Received| event.delivery.event.entity().as_ref() == entity.as_bytes();
        let events: Vec<Received> = received.iter().filter(of_entity).cloned().collect();
        let mut sorted = places(&events);
        sorted.sort();
        assert_eq!(places(&events), sorted, "entity {entity}");
    }
    assert_eq!(received.len(), published.len(), "none came twice without a crash");
}

/// The call is dropped at its first poll, at its second, and so on: nothing that it had taken is lost.
pub async fn a_dropped_next_has_taken_nothing(mut fixture: Box<dyn SourceFixture>) {
    let mut reader = Reader::open(&mut *fixture).await;
    for polls in 1..=6 {
        let published = publish(&mut *fixture, 4).await;
        for _ in 0..4 {
            reader.ask_and_drop(polls).await;
        }
        let received = reader.read_and_settle_all(&published).await;
        assert_eq!(received.len(), published.len(), "polled {polls} times");
    }
}

/// After a crash a stream begins at or before the first event that was not settled.
pub async fn after_a_crash_what_was_not_settled_comes_again(mut fixture: Box<dyn SourceFixture>) {
    let published = publish(&mut *fixture, 8).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read_all(&published).await;
    let settled: Vec<Received> = received
        .iter()
        .filter(|event| published.iter().take(4).any(|place| places(&[(*event).clone()])[0] == *place))
        .cloned()
        .collect();
    reader.settle_through(&settled);
    reader.read_until_quiet().await;
    reader.crash(&mut *fixture).await;
    fixture.wait_for_redelivery().await;
    let mut next = Reader::open(&mut *fixture).await;
    next.read_all(&published[4..]).await;
}

/// What the engine never settled is not done, however orderly the source was closed.
pub async fn nothing_is_told_done_that_was_not_settled(mut fixture: Box<dyn SourceFixture>) {
    let published = publish(&mut *fixture, 4).await;
    let mut reader = Reader::open(&mut *fixture).await;
    reader.read_all(&published).await;
    reader.close().await;
    fixture.wait_for_redelivery().await;
    let mut next = Reader::open(&mut *fixture).await;
    next.read_all(&published).await;
}

/// Closing tells the broker what is still to be told.
pub async fn what_was_settled_before_closing_does_not_come_again(mut fixture: Box<dyn SourceFixture>) {
    let published = publish(&mut *fixture, 4).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read_all(&published).await;
    reader.settle_through(&received);
    reader.close().await;
    fixture.wait_for_redelivery().await;
    let place = fixture.publish("a", "new").await;
    let mut next = Reader::open(&mut *fixture).await;
    let again = next.read_until_quiet().await;
    assert_eq!(places(&again), [place]);
}

/// Once what was under way has come, a paused stream is still; the other goes on.
pub async fn a_paused_stream_is_still_until_it_is_resumed(mut fixture: Box<dyn SourceFixture>) {
    fixture.publish("a", "first").await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read(1).await;
    reader.settle_through(&received);
    let assignment = received[0].assignment.clone();
    reader.source().pause(&assignment);
    reader.read_until_quiet().await;
    let place = fixture.publish("a", "second").await;
    let while_paused = reader.read_until_quiet().await;
    assert!(while_paused.is_empty(), "events of a paused stream: {while_paused:?}");
    reader.source().resume(&assignment);
    assert_eq!(places(&reader.read(1).await), [place]);
}
