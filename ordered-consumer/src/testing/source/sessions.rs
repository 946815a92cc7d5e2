//! Rules of owned streams whose broker declares a silent member dead.

use super::{Reader, SourceFixture, any::publish};
use crate::Lease;

/// So that the engine knows until when it owns the stream.
pub async fn an_assignment_comes_with_a_lease_that_is_not_over(mut fixture: Box<dyn SourceFixture>) {
    let published = publish(&mut *fixture, 2).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read_all(&published).await;
    let leases = reader.leases();
    for event in received {
        let lease = leases.iter().find(|(assignment, _)| *assignment == event.assignment);
        assert!(lease.is_some_and(|(_, lease)| !lease.remaining().is_zero()), "{:?}", event.assignment);
    }
}

/// A member that asks stays one, and its leases with it.
pub async fn a_lease_lasts_while_the_source_is_asked(mut fixture: Box<dyn SourceFixture>) {
    let published = publish(&mut *fixture, 2).await;
    let mut reader = Reader::open(&mut *fixture).await;
    reader.read_all(&published).await;
    let leases = reader.leases();
    assert!(!leases.is_empty(), "no assignment has a lease");
    let lasts = leases.iter().map(|(_, lease)| lease.remaining()).max().unwrap_or_default();
    for _ in 0..3 {
        reader.ask_for(lasts).await;
        let over = leases.iter().find(|(_, lease)| lease.remaining().is_zero());
        assert!(over.is_none(), "run out although its source was asked: {over:?}");
    }
}

/// Nothing of a stream starts after its lease, so that the next owner is alone.
pub async fn the_lease_of_a_silent_owner_is_over_before_another_has_the_stream(
    mut fixture: Box<dyn SourceFixture>,
) {
    let published = publish(&mut *fixture, 2).await;
    // The owner falls silent: it is kept, and not asked any more.
    let mut silent = Reader::open(&mut *fixture).await;
    silent.read_all(&published).await;
    let leases = silent.leases();
    let lasts = leases.iter().map(|(_, lease)| lease.remaining()).max().unwrap_or_default();
    let mut other = Reader::open(&mut *fixture).await;
    let mut streams = 0;
    while streams < published.len() {
        let received = other.read_within(lasts + fixture.patience()).await;
        assert!(!received.is_empty(), "a silent owner keeps its streams for ever");
        for event in received {
            let before = |assigned: &str| assigned == event.assignment.stream.as_str();
            let lease: Option<&Lease> = leases
                .iter()
                .find(|(assignment, _)| before(assignment.stream.as_str()))
                .map(|(_, lease)| lease);
            let over = lease.is_some_and(|lease| lease.remaining().is_zero());
            assert!(over, "{} has a new owner while the old one's lease lasts", event.assignment.stream);
            streams += 1;
        }
    }
}
