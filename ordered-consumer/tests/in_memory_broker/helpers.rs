//! Asking a source what it has to say now.

use bytes::Bytes;
use futures::FutureExt as _;
use ordered_consumer::{
    AssignedStream, Assignment, Delivery, EventSource, Index, Lease, Settlement, SourceMessage, StreamName,
    in_memory_broker::{InMemoryBroker, InMemorySource, NewEvent},
};

pub(super) fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

/// A broker with topic `t` of so many partitions, and so many events in each.
pub(super) fn broker(partitions: u32, events: u32) -> InMemoryBroker {
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
pub(super) fn now(source: &mut InMemorySource) -> Option<SourceMessage> {
    source.next().now_or_never().map(|message| message.unwrap())
}

pub(super) fn assigned(source: &mut InMemorySource) -> Vec<AssignedStream> {
    match now(source) {
        Some(SourceMessage::Assigned(streams)) => streams,
        other => panic!("expected an assignment, got {other:?}"),
    }
}

/// A stream that was assigned and confirmed.
pub(super) struct Taken {
    pub(super) assignment: Assignment,
    pub(super) lease: Option<Lease>,
    pub(super) identity: Option<Bytes>,
    pub(super) position: Option<Index>,
}

/// Takes the assignments that come and confirms them.
pub(super) fn take_all(source: &mut InMemorySource) -> Vec<Taken> {
    assigned(source)
        .into_iter()
        .map(|AssignedStream { assignment, lease }| {
            let confirmed = source.confirm(&assignment).now_or_never().unwrap().unwrap().unwrap();
            Taken { assignment, lease, identity: confirmed.identity, position: confirmed.position }
        })
        .collect()
}

pub(super) fn events(source: &mut InMemorySource) -> (Assignment, Vec<Delivery>) {
    match now(source) {
        Some(SourceMessage::Events { assignment, deliveries }) => (assignment, deliveries),
        other => panic!("expected events, got {other:?}"),
    }
}

pub(super) fn revoked(source: &mut InMemorySource) -> (Vec<Assignment>, bool) {
    match now(source) {
        Some(SourceMessage::Revoked { assignments, lost }) => (assignments, lost),
        other => panic!("expected a revocation, got {other:?}"),
    }
}

pub(super) fn settle(source: &mut InMemorySource, assignment: &Assignment, through: u128) {
    let watermark = Some(Index::new(through));
    source.settle(Settlement {
        assignment: assignment.clone(),
        events: Vec::new(),
        held: Vec::new(),
        watermark,
    });
}

pub(super) fn indexes(deliveries: &[Delivery]) -> Vec<u128> {
    deliveries.iter().map(|delivery| delivery.event.index().get()).collect()
}
