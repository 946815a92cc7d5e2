//! Rules of publishers: what [`EventPublisher`](crate::EventPublisher) says of a slice.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::join_all;

use super::{Reader, SourceFixture};
use crate::{
    Event, Index, PublishError, Published, ReleasedEvent, ReturnedCopy, StreamName,
    testing::cancelled_at_poll,
};

/// Released events of one entity.
fn released(stream: &StreamName, entity: &str, indexes: std::ops::Range<u64>) -> Vec<ReleasedEvent> {
    let event = |index: u64| {
        let entity = Bytes::from(entity.to_owned());
        Event::builder(stream.clone(), Index::from(index), entity).payload("p").build()
    };
    indexes.map(|index| ReleasedEvent { event: event(index), attempts: 1 }).collect()
}

async fn stream_of(fixture: &mut dyn SourceFixture, entity: &str) -> StreamName {
    fixture.publish(entity, "on the main stream").await.0
}

fn indexes<'c>(copies: impl IntoIterator<Item = &'c ReturnedCopy>) -> Vec<u128> {
    copies.into_iter().map(|copy| copy.index.get()).collect()
}

/// Reads every copy that comes, settling each, because a broker may give the next of an entity only then.
async fn all_copies(reader: &mut Reader) -> Vec<ReturnedCopy> {
    let mut all: Vec<ReturnedCopy> = Vec::new();
    loop {
        reader.read_until_quiet().await;
        let came = reader.read_copies(reader.copies_left()).await;
        if came.is_empty() {
            return all;
        }
        let receipts: Vec<u64> = came.iter().map(|copy| copy.receipt).collect();
        reader.source().settle_copies(&receipts);
        all.extend(came);
    }
}

fn assert_whole(published: &Published, events: usize) {
    assert_eq!(published.count, events);
    assert!(published.failed.is_none(), "all went out, and {:?}", published.failed);
}

/// Nothing to publish is no failure.
pub async fn an_empty_slice_goes_out_whole(mut fixture: Box<dyn SourceFixture>) {
    assert_whole(&fixture.publisher().publish(&[]).await, 0);
}

/// Whatever batching or pipelining lies between.
pub async fn a_slice_goes_out_in_its_order(mut fixture: Box<dyn SourceFixture>) {
    let stream = stream_of(&mut *fixture, "a").await;
    let mut reader = Reader::open(&mut *fixture).await;
    assert_whole(&fixture.publisher().publish(&released(&stream, "a", 0..25)).await, 25);
    assert_eq!(indexes(&all_copies(&mut reader).await), (0..25).collect::<Vec<u128>>());
}

/// At the first event of a slice, in its middle, and at its last.
pub async fn it_says_how_many_went_out_wherever_the_first_failure_is(mut fixture: Box<dyn SourceFixture>) {
    let stream = stream_of(&mut *fixture, "a").await;
    let mut reader = Reader::open(&mut *fixture).await;
    for (round, failing) in [(1_u64, 0_usize), (2, 2), (3, 4)] {
        let events = released(&stream, "a", 10 * round..10 * round + 5);
        fixture.refuse_copies_of(events[failing].event.index()).await;
        let published = fixture.publisher().publish(&events).await;
        assert_eq!(published.count, failing, "the event before the first failure is the last that counts");
        assert!(published.failed.is_some(), "it says why the next one did not go out");
        let went_out: Vec<u128> = events[..failing].iter().map(|event| event.event.index().get()).collect();
        assert_eq!(indexes(&all_copies(&mut reader).await), went_out);
    }
}

/// What is refused for good goes back in-process; what is away is tried again.
pub async fn a_refusal_for_good_is_told_from_an_outage(mut fixture: Box<dyn SourceFixture>) {
    let stream = stream_of(&mut *fixture, "a").await;
    let mut reader = Reader::open(&mut *fixture).await;
    let events = released(&stream, "a", 0..3);
    fixture.take_publisher_away(true).await;
    let away = fixture.publisher().publish(&events).await;
    fixture.take_publisher_away(false).await;
    assert!(matches!(away.failed, Some(PublishError::Unavailable(_))), "{away:?}");
    // An unknown outcome counts as failed, so that more may have gone out than is said, and never less.
    let went_out = all_copies(&mut reader).await.len();
    assert!(went_out >= away.count, "{went_out} went out, and {away:?}");
    assert_whole(&fixture.publisher().publish(&events).await, 3);
    fixture.refuse_copies_of(Index::from(7_u64)).await;
    let refused = fixture.publisher().publish(&released(&stream, "a", 7..8)).await;
    assert!(matches!(refused.failed, Some(PublishError::Refused(_))), "{refused:?}");
}

/// Relays publish for many entities at once.
pub async fn publishes_at_the_same_time_keep_each_entity_in_order(mut fixture: Box<dyn SourceFixture>) {
    let stream = stream_of(&mut *fixture, "a").await;
    let mut reader = Reader::open(&mut *fixture).await;
    let publisher = fixture.publisher();
    let entities = ["a", "c", "d", "e"];
    let slices: Vec<_> = entities.iter().map(|entity| released(&stream, entity, 0..8)).collect();
    for published in join_all(slices.iter().map(|slice| publisher.publish(slice))).await {
        assert_whole(&published, 8);
    }
    let mut by_entity = BTreeMap::<Bytes, Vec<u128>>::new();
    for copy in all_copies(&mut reader).await {
        by_entity.entry(copy.entity).or_default().push(copy.index.get());
    }
    assert_eq!(by_entity.len(), entities.len());
    assert!(by_entity.values().all(|came| came.iter().copied().eq(0..8)), "{by_entity:?}");
}

/// Dropped wherever it waits, a publish has sent a beginning of its slice, and the next one sends the whole.
pub async fn a_dropped_publish_leaves_no_gap(mut fixture: Box<dyn SourceFixture>) {
    let stream = stream_of(&mut *fixture, "a").await;
    let mut reader = Reader::open(&mut *fixture).await;
    let publisher = fixture.publisher();
    for round in 0..6_usize {
        let first = 100 * (round as u64 + 1);
        let events = released(&stream, "a", first..first + 5);
        cancelled_at_poll(round, publisher.publish(&events)).await;
        assert_whole(&publisher.publish(&events).await, 5);
        let came = indexes(&all_copies(&mut reader).await);
        let slice: Vec<u128> = events.iter().map(|event| event.event.index().get()).collect();
        let (dropped, whole) = came.split_at(came.len().saturating_sub(5));
        assert_eq!(whole, slice, "the second publish is whole");
        assert_eq!(dropped, &slice[..dropped.len()], "the dropped one sent a beginning, without a gap");
    }
}
