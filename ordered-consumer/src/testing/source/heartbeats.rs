//! Rules of shared sources that extend the leases of what they have delivered.

use super::{
    Reader, SourceFixture,
    any::places,
    shared::{is_over, publish_a, read_when_it_runs_out},
};
use crate::Lease;

/// A handler may take longer than the broker waits, as long as its process lives and asks.
pub async fn a_delivery_lasts_while_its_source_is_asked(mut fixture: Box<dyn SourceFixture>) {
    publish_a(&mut *fixture, 1).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read(1).await;
    let lasts = received[0].delivery.lease.as_ref().map(Lease::remaining).unwrap_or_default();
    for _ in 0..3 {
        reader.ask_for(lasts).await;
        assert!(!is_over(&received[0]), "its lease has run out although its source was asked");
    }
    let mut other = Reader::open(&mut *fixture).await;
    assert!(other.read_until_quiet().await.is_empty(), "it was given to somebody else meanwhile");
}

/// What is done with is let go of, and extended no more.
pub async fn a_settled_delivery_keeps_its_entity_no_longer(mut fixture: Box<dyn SourceFixture>) {
    publish_a(&mut *fixture, 1).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read(1).await;
    reader.settle_through(&received);
    let lasts = received[0].delivery.lease.as_ref().map(Lease::remaining).unwrap_or_default();
    reader.ask_for(lasts).await;
    let place = fixture.publish("a", "later").await;
    assert_eq!(places(&reader.read(1).await), [place]);
}

/// A process that stands still extends nothing: somebody else gets the event, after the lease is over.
pub async fn a_delivery_of_a_silent_source_runs_out(mut fixture: Box<dyn SourceFixture>) {
    let published = publish_a(&mut *fixture, 1).await;
    let mut silent = Reader::open(&mut *fixture).await;
    let received = silent.read(1).await;
    let mut other = Reader::open(&mut *fixture).await;
    let again = read_when_it_runs_out(&mut other, &received, fixture.patience()).await;
    assert!(is_over(&received[0]), "it was given to somebody else while its lease lasted");
    assert_eq!(places(&again), published);
}
