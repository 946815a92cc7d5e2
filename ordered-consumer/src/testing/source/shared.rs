//! Rules of sources whose streams are shared.

use std::time::Duration;

use super::{Reader, Received, SourceFixture, any::places};
use crate::{Index, Lease, StreamName};

pub(super) async fn publish_a(fixture: &mut dyn SourceFixture, count: usize) -> Vec<(StreamName, Index)> {
    let mut places = Vec::new();
    for number in 0..count {
        places.push(fixture.publish("a", &number.to_string()).await);
    }
    places
}

/// While somebody has an event of an entity, nobody gets a later one.
pub async fn an_entity_in_flight_is_given_to_nobody_else(mut fixture: Box<dyn SourceFixture>) {
    publish_a(&mut *fixture, 1).await;
    let mut one = Reader::open(&mut *fixture).await;
    let mut two = Reader::open(&mut *fixture).await;
    let received = one.read(1).await;
    let place = fixture.publish("a", "later").await;
    assert!(two.read_until_quiet().await.is_empty());
    one.settle_through(&received);
    one.close().await;
    assert_eq!(places(&two.read(1).await), [place]);
}

/// An entity's events of one receive share their deadline.
pub async fn an_entitys_events_of_one_receive_share_a_lease(mut fixture: Box<dyn SourceFixture>) {
    publish_a(&mut *fixture, 2).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let leases: Vec<_> = reader.read(2).await.into_iter().filter_map(|event| event.delivery.lease).collect();
    assert!(leases.iter().all(|lease| !lease.remaining().is_zero()));
    leases[0].end();
    assert!(leases[1].remaining().is_zero());
}

/// A later event of an entity is not deleted while an earlier one is not.
pub async fn an_entitys_events_are_deleted_in_order(mut fixture: Box<dyn SourceFixture>) {
    let published = publish_a(&mut *fixture, 3).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read(3).await;
    reader.settle(&received[1..2], None);
    reader.read_until_quiet().await;
    reader.crash(&mut *fixture).await;
    fixture.wait_for_redelivery().await;
    let mut next = Reader::open(&mut *fixture).await;
    assert_eq!(places(&next.read(3).await), published);
}

/// Behind a delete that was refused, nothing of the entity's receive is deleted: all of it comes again.
pub async fn a_refused_delete_abandons_the_rest_of_the_receive(mut fixture: Box<dyn SourceFixture>) {
    let published = publish_a(&mut *fixture, 4).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read(4).await;
    reader.settle(&received[..1], None);
    reader.read_until_quiet().await;
    fixture.refuse_next_delete().await;
    reader.settle(&received[1..3], None);
    reader.settle(&received[3..], None);
    fixture.wait_for_redelivery().await;
    assert_eq!(places(&reader.read(3).await), published[1..]);
}

/// Sooner than when their visibility runs out.
pub async fn abandoned_events_come_again_soon(mut fixture: Box<dyn SourceFixture>) {
    let published = publish_a(&mut *fixture, 2).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read(2).await;
    let receipts: Vec<u64> = received.iter().map(|event| event.delivery.receipt).collect();
    reader.source().abandon(&received[0].assignment, &receipts);
    let again = reader.read(2).await;
    assert_eq!(places(&again), published);
    assert!(again.iter().all(|event| event.delivery.event.context().redelivered));
}

/// Whoever has a delivery must know that it is over before somebody else has begun with the event.
pub async fn a_lease_is_over_before_the_event_is_given_to_somebody_else(mut fixture: Box<dyn SourceFixture>) {
    let published = publish_a(&mut *fixture, 1).await;
    // The one that has it falls silent: it is kept, and not asked any more.
    let mut silent = Reader::open(&mut *fixture).await;
    let received = silent.read(1).await;
    let mut other = Reader::open(&mut *fixture).await;
    let again = read_when_it_runs_out(&mut other, &received, fixture.patience()).await;
    assert!(received.iter().all(is_over), "it was given to somebody else while its lease lasted");
    assert_eq!(places(&again), published);
}

/// Asks until what was received comes again: once its lease is over and its time is up.
pub(super) async fn read_when_it_runs_out(
    reader: &mut Reader,
    received: &[Received],
    patience: Duration,
) -> Vec<Received> {
    let leases = received.iter().filter_map(|event| event.delivery.lease.as_ref());
    let lasts = leases.map(Lease::remaining).max().unwrap_or_default();
    reader.read_within(lasts + patience).await
}

pub(super) fn is_over(event: &Received) -> bool {
    event.delivery.lease.as_ref().is_some_and(|lease| lease.remaining().is_zero())
}

/// The engine suspects what was delivered before, and goes by the new lease.
pub async fn an_event_that_comes_again_says_so_and_has_a_lease_of_its_own(
    mut fixture: Box<dyn SourceFixture>,
) {
    publish_a(&mut *fixture, 1).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let first = reader.read(1).await.remove(0);
    assert!(!first.delivery.event.context().redelivered);
    reader.source().abandon(&first.assignment, &[first.delivery.receipt]);
    let again = reader.read(1).await.remove(0);
    assert!(again.delivery.event.context().redelivered);
    assert!(!is_over(&again), "the new delivery's lease has begun");
    assert_ne!(again.delivery.receipt, first.delivery.receipt, "a delivery has a receipt of its own");
    reader.source().abandon(&first.assignment, &[first.delivery.receipt]);
    assert!(!is_over(&again), "an old receipt gives nothing back");
}

/// The engine takes a stream with another identity for another stream, and handles nothing of one that is not confirmed.
pub async fn every_source_of_a_stream_confirms_it_and_says_the_same_identity(
    mut fixture: Box<dyn SourceFixture>,
) {
    let mut identities = Vec::new();
    for number in 0..2 {
        publish_a(&mut *fixture, 1).await;
        let mut reader = Reader::open(&mut *fixture).await;
        let received = reader.read(1).await;
        for again in [false, true] {
            let confirmation = reader.confirmation(&received[0].assignment).await;
            let confirmation = confirmation.map(|confirmation| confirmation.identity);
            assert!(confirmation.is_some(), "source {number} does not confirm its stream (again: {again})");
            identities.push(confirmation);
        }
        reader.settle_through(&received);
        reader.close().await;
    }
    assert!(identities.iter().all(|identity| *identity == identities[0]), "{identities:?}");
}
