//! Which of a topic's streams may be consumed, when there are more of them than before.

use bytes::Bytes;
use futures::future::join_all;

use super::{
    Bench,
    bench::{sound, stream},
};
use crate::{
    Index, StreamDecision,
    gate::{LayoutChange, LayoutRecord, LayoutStep, Standing},
};

async fn step(bench: &Bench, layout: &str, step: &LayoutStep) -> LayoutRecord {
    sound(bench.log.layout(&bench.consumer, &stream(layout), step).await)
}

async fn look(bench: &Bench) -> LayoutRecord {
    step(bench, "orders", &LayoutStep::Look).await
}

async fn see(bench: &Bench, streams: u32) -> LayoutRecord {
    step(bench, "orders", &LayoutStep::See { identity: None, streams }).await
}

async fn see_of(bench: &Bench, identity: &'static [u8], streams: u32) -> LayoutRecord {
    let identity = Some(Bytes::from_static(identity));
    step(bench, "orders", &LayoutStep::See { identity, streams }).await
}

async fn admit(bench: &Bench, generation: u64, old: u32, now: u32) -> LayoutRecord {
    let change = LayoutChange { old, now };
    step(bench, "orders", &LayoutStep::Admit { generation, change }).await
}

/// However many there are, and whoever comes first.
pub async fn whoever_sees_a_layout_first_admits_all_of_it(bench: &Bench) {
    let seen = join_all((0..6).map(|_| see(bench, 100_000))).await;
    let record = LayoutRecord { admitted: 100_000, ..LayoutRecord::default() };
    assert!(seen.iter().all(|seen| *seen == record), "{seen:?}");
    assert_eq!(look(bench).await, record);
}

/// Until they are admitted, in whatever process.
pub async fn streams_that_are_added_wait_until_they_are_admitted(bench: &Bench) {
    let identity: &[u8] = b"\0topic \xff id";
    see_of(bench, identity, 2).await;
    let record = see_of(bench, identity, 4).await;
    assert_eq!((record.admitted, &record.waiting[..]), (2, &[4][..]));
    assert_eq!(record.standing(3), Standing::Waits(LayoutChange { old: 2, now: 4 }));
    assert_eq!(see_of(bench, identity, 4).await, record, "seen again");
    assert_eq!(see_of(bench, identity, 3).await.waiting, [3, 4], "a change before it, seen late");
    assert_eq!(admit(bench, 0, 2, 3).await.admitted, 3);
    let admitted = admit(bench, 0, 3, 4).await;
    assert_eq!((admitted.admitted, admitted.waiting.len()), (4, 0));
    assert_eq!(admitted.identity.as_deref(), Some(identity));
    assert_eq!(admit(bench, 0, 3, 4).await, admitted, "asked again, because the first answer was lost");
    assert_eq!(look(bench).await, admitted);
}

/// What was found out about another change, or before the layout began anew, says nothing about this one.
pub async fn an_admission_counts_only_for_the_change_that_it_is_about(bench: &Bench) {
    see(bench, 2).await;
    let record = see(bench, 4).await;
    for (generation, old, now) in [(0, 2, 3), (0, 2, 5), (0, 1, 4), (0, 3, 4), (1, 2, 4)] {
        assert_eq!(admit(bench, generation, old, now).await, record, "{generation} {old} {now}");
    }
    assert_eq!(look(bench).await, record);
}

/// None of them is lost, so that each is waited for in its turn.
pub async fn changes_that_are_seen_at_the_same_time_are_all_kept(bench: &Bench) {
    see(bench, 1).await;
    join_all((2..10).rev().map(|streams| see(bench, streams))).await;
    assert_eq!(look(bench).await.waiting, (2..10).collect::<Vec<u32>>());
}

/// The topic was deleted and created again: there is nothing to wait for. A broker that does not tell is believed.
pub async fn a_layout_of_another_identity_begins_anew(bench: &Bench) {
    see_of(bench, b"one", 2).await;
    let waiting = see_of(bench, b"one", 3).await;
    assert_eq!(see(bench, 3).await, waiting);
    let anew = see_of(bench, b"two", 3).await;
    assert_eq!((anew.generation, anew.admitted, anew.waiting.len()), (1, 3, 0));
    assert_eq!(admit(bench, 0, 2, 3).await, anew);
}

/// Nobody wants to wait.
pub async fn whatever_waits_can_be_admitted_at_once(bench: &Bench) {
    see(bench, 2).await;
    see(bench, 4).await;
    let record = step(bench, "orders", &LayoutStep::AdmitAll { identity: None, streams: 5 }).await;
    assert_eq!((record.admitted, record.waiting.len()), (5, 0));
    assert_eq!(look(bench).await, record);
}

/// Nor does it make a row.
pub async fn a_look_at_a_layout_changes_nothing(bench: &Bench) {
    assert_eq!(look(bench).await, LayoutRecord::default());
    assert_eq!(see(bench, 3).await.admitted, 3, "nobody had seen it before");
    let record = see(bench, 4).await;
    assert_eq!((look(bench).await, look(bench).await), (record.clone(), record));
}

/// A layout belongs to a consumer.
pub async fn every_consumer_and_layout_has_a_row_of_its_own(bench: &Bench) {
    see(bench, 2).await;
    let other = bench.as_consumer("shipping");
    assert_eq!(look(&other).await, LayoutRecord::default());
    assert_eq!(see(&other, 7).await.admitted, 7);
    for name in ["ORDERS", "orders/0", "order"] {
        assert_eq!(step(bench, name, &LayoutStep::Look).await, LayoutRecord::default(), "{name}");
    }
    assert_eq!(look(bench).await.admitted, 2);
}

/// The name now means another topic; handled again, it is the same one.
pub async fn a_new_stream_begins_its_layout_anew_and_a_replay_does_not(bench: &Bench) {
    let other = LayoutStep::See { identity: None, streams: 1 };
    let untouched = step(bench, "invoices", &other).await;
    see(bench, 2).await;
    let record = see(bench, 3).await;
    bench.take_over().await;
    let decide = |decision| bench.log.decide_stream(&bench.consumer, &bench.stream, decision, "ann", "so");
    sound(decide(StreamDecision::Replay).await);
    assert_eq!(look(bench).await, record);
    sound(decide(StreamDecision::NewStream).await);
    let forgotten = LayoutRecord { generation: 1, ..LayoutRecord::default() };
    assert_eq!(look(bench).await, forgotten);
    assert_eq!(step(bench, "invoices", &LayoutStep::Look).await, untouched);
    assert_eq!(see(bench, 5).await.admitted, 5);
}

/// Whatever the state of the gates; what is resolved is not found.
pub async fn what_is_unresolved_is_found_by_its_head(bench: &Bench) {
    let high = u128::from(u64::MAX) + 9;
    let found = |index: u128| {
        let through = Index::new(index);
        async move { sound(bench.log.has_unresolved(&bench.consumer, &bench.stream, through).await) }
    };
    assert!(!found(u128::MAX).await, "there is nothing");
    bench.entity("resolved").fill(&[1]).await;
    bench.entity("resolved").run_and_resolve(1, 1).await;
    assert!(!found(u128::MAX).await, "a tombstone is not unresolved");
    bench.entity("high").fail(high).await;
    assert_eq!([found(9).await, found(high - 1).await, found(high).await], [false, false, true]);
    bench.entity("low").fail(5).await;
    assert_eq!([found(4).await, found(5).await, found(u128::MAX).await], [false, true, true]);
    for other in [bench.as_consumer("shipping"), bench.on_stream("orders/1")] {
        let through = Index::MAX;
        assert!(!sound(other.log.has_unresolved(&other.consumer, &other.stream, through).await));
    }
}
