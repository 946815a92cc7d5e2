//! Rules of adapters with a retry stream.

use super::{Reader, SourceFixture};
use crate::{Event, Index, ReleasedEvent, ReturnedCopy, StreamName};

/// Released events of entity `a`, with attempts that tell them apart.
fn released(stream: &StreamName, count: u64) -> Vec<ReleasedEvent> {
    let event = |index: u64| Event::builder(stream.clone(), Index::from(index), "a").payload("p").build();
    (0..count).map(|index| ReleasedEvent { event: event(index), attempts: 7 }).collect()
}

async fn stream(fixture: &mut dyn SourceFixture) -> StreamName {
    fixture.publish("a", "on the main stream").await.0
}

fn indexes(copies: &[ReturnedCopy]) -> Vec<u128> {
    copies.iter().map(|copy| copy.index.get()).collect()
}

async fn publish(fixture: &mut dyn SourceFixture, events: &[ReleasedEvent]) {
    let published = fixture.publisher().publish(events).await;
    assert_eq!(published.count, events.len());
    assert!(published.failed.is_none(), "all went out, and {:?}", published.failed);
}

/// Stream, entity, index and attempts.
pub async fn a_copy_says_which_event_it_is_of(mut fixture: Box<dyn SourceFixture>) {
    let stream = stream(&mut *fixture).await;
    publish(&mut *fixture, &released(&stream, 1)).await;
    let copy = Reader::open(&mut *fixture).await.read_copies(1).await.remove(0);
    assert_eq!((copy.stream, copy.entity.as_ref()), (stream, b"a".as_slice()));
    assert_eq!((copy.index, copy.attempts), (Index::MIN, 7));
}

/// An event's index need not fit into 64 bits.
pub async fn an_index_of_128_bits_comes_back_whole(mut fixture: Box<dyn SourceFixture>) {
    let stream = stream(&mut *fixture).await;
    let event = Event::builder(stream, Index::MAX, "a").payload("p").build();
    publish(&mut *fixture, &[ReleasedEvent { event, attempts: 1 }]).await;
    let copy = Reader::open(&mut *fixture).await.read_copies(1).await.remove(0);
    assert_eq!(copy.index, Index::MAX);
}

/// In the slice's order, also over several publishes.
pub async fn copies_of_an_entity_come_in_the_order_in_which_they_were_published(
    mut fixture: Box<dyn SourceFixture>,
) {
    let stream = stream(&mut *fixture).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let events = released(&stream, 6);
    publish(&mut *fixture, &events[..2]).await;
    publish(&mut *fixture, &events[2..]).await;
    let mut came = Vec::new();
    for expected in 0..6 {
        let copy = reader.read_copies(1).await;
        assert_eq!(indexes(&copy), [expected]);
        came.extend(copy.iter().map(|copy| copy.receipt));
        reader.source().settle_copies(&came);
    }
}

/// The same event is released again after each failure.
pub async fn an_event_may_be_published_again(mut fixture: Box<dyn SourceFixture>) {
    let stream = stream(&mut *fixture).await;
    let mut reader = Reader::open(&mut *fixture).await;
    for _ in 0..2 {
        publish(&mut *fixture, &released(&stream, 1)).await;
        let copy = reader.read_copies(1).await;
        reader.source().settle_copies(&[copy[0].receipt]);
    }
}

/// What a crashed process had not done with comes again.
pub async fn copies_that_were_not_settled_come_again(mut fixture: Box<dyn SourceFixture>) {
    let stream = stream(&mut *fixture).await;
    publish(&mut *fixture, &released(&stream, 2)).await;
    let mut reader = Reader::open(&mut *fixture).await;
    reader.read_copies(2).await;
    reader.crash(&mut *fixture).await;
    fixture.wait_for_redelivery().await;
    let again = Reader::open(&mut *fixture).await.read_copies(2).await;
    assert_eq!(indexes(&again), [0, 1]);
}

/// Copies that were under way may still come; what is published later waits.
pub async fn paused_copies_are_still_until_they_are_resumed(mut fixture: Box<dyn SourceFixture>) {
    let stream = stream(&mut *fixture).await;
    let mut reader = Reader::open(&mut *fixture).await;
    publish(&mut *fixture, &released(&stream, 1)).await;
    let first = reader.read_copies(1).await;
    // A broker may give the next of an entity only then.
    reader.source().settle_copies(&[first[0].receipt]);
    reader.source().pause_copies();
    publish(&mut *fixture, &released(&stream, 2)).await;
    reader.read_until_quiet().await;
    assert_eq!(reader.copies_left(), 0);
    reader.source().resume_copies();
    // As above: a source that was asking meanwhile may have been given the first of them alone.
    for index in 0..2 {
        let copy = reader.read_copies(1).await;
        assert_eq!(indexes(&copy), [index]);
        reader.source().settle_copies(&[copy[0].receipt]);
    }
}

/// Settled and closed, a copy is gone.
pub async fn settled_copies_do_not_come_again(mut fixture: Box<dyn SourceFixture>) {
    let stream = stream(&mut *fixture).await;
    publish(&mut *fixture, &released(&stream, 2)).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let receipts: Vec<u64> = reader.read_copies(2).await.iter().map(|copy| copy.receipt).collect();
    reader.source().settle_copies(&receipts);
    reader.close().await;
    fixture.wait_for_redelivery().await;
    let mut next = Reader::open(&mut *fixture).await;
    next.read_until_quiet().await;
    assert_eq!(next.copies_left(), 0);
}

/// A later event of the entity must not overtake the one that did not go out.
pub async fn nothing_is_published_after_the_first_failure(mut fixture: Box<dyn SourceFixture>) {
    let stream = stream(&mut *fixture).await;
    fixture.refuse_copies_of(Index::from(1)).await;
    let published = fixture.publisher().publish(&released(&stream, 3)).await;
    assert_eq!(published.count, 1);
    assert!(published.failed.is_some());
    let mut reader = Reader::open(&mut *fixture).await;
    assert_eq!(indexes(&reader.read_copies(1).await), [0]);
    reader.read_until_quiet().await;
    assert_eq!(reader.copies_left(), 0);
}
