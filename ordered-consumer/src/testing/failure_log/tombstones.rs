//! How long it is remembered what was resolved.

use std::time::Duration;

use super::{Bench, bench::sound};
use crate::{
    Index,
    gate::{Action, Settle, Verdict},
};

async fn settle(bench: &Bench, through: u128) {
    let generation = bench.record().await.map_or(0, |record| record.generation);
    let report = Settle { generation, settled: Some(Index::new(through)), let_go: false };
    assert!(sound(bench.log.settle(&bench.consumer, &bench.stream, &report).await).is_ok());
}

async fn bury(bench: &Bench, name: &str, index: u128) {
    bench.entity(name.to_owned()).fill(&[index]).await;
    bench.entity(name.to_owned()).run_and_resolve(index, 1).await;
}

/// The broker delivers nothing again that it was told is done.
pub async fn a_tombstone_goes_once_its_stream_is_settled_past_it(bench: &Bench) {
    bench.take_over().await;
    for (name, index) in [("a", 9), ("b", 10), ("c", u128::from(u64::MAX) + 1)] {
        bury(bench, name, index).await;
    }
    assert_eq!(bench.drop_tombstones(None, 10).await, 0, "nothing is settled");
    settle(bench, 8).await;
    assert_eq!(bench.drop_tombstones(None, 10).await, 0);
    settle(bench, 9).await;
    assert_eq!(bench.drop_tombstones(None, 10).await, 1, "9 is passed, 10 is not");
    assert_eq!(bench.entities(None, 10, false).await, ["b", "c"]);
    assert_eq!(bench.entity("a").gate().await, None);
    assert_eq!(bench.entity("b").arrive(&[10]).await, [Verdict::Duplicate]);
    settle(bench, u128::MAX).await;
    assert_eq!(bench.drop_tombstones(None, 10).await, 2);
    assert_eq!(bench.drop_tombstones(None, 10).await, 0);
}

/// A queue that is shared delivers nothing again that is older than it keeps messages.
pub async fn a_tombstone_goes_when_it_is_older_than_the_queue_keeps_messages(bench: &Bench) {
    let keeps = Some(Duration::from_secs(10));
    bury(bench, "old", 1).await;
    bench.advance_secs(4);
    bury(bench, "young", 1).await;
    bench.advance_secs(6);
    assert_eq!(bench.drop_tombstones(keeps, 10).await, 0, "as old as the queue keeps messages");
    bench.advance(Duration::from_micros(1));
    assert_eq!(bench.drop_tombstones(None, 10).await, 0, "nothing was settled, and nothing said of age");
    assert_eq!(bench.drop_tombstones(keeps, 10).await, 1);
    assert_eq!(bench.entities(None, 10, false).await, ["young"]);
    assert_eq!(bench.drop_tombstones(Some(Duration::MAX), 10).await, 0);
}

/// A gate that says more than what was resolved stays, however far the stream is settled.
pub async fn only_tombstones_without_conflicts_go(bench: &Bench) {
    bench.take_over().await;
    let held = bench.entity("held");
    held.fill(&[1]).await;
    bury(bench, "paused", 2).await;
    bench.entity("paused").operated(Action::Pause).await;
    let conflict = bench.entity("conflict");
    conflict.fill(&[3]).await;
    assert_eq!(conflict.arrive_as(conflict.impostor(3)).await, [Verdict::Conflict]);
    conflict.operated(Action::Skip).await;
    bury(bench, "tombstone", 4).await;
    settle(bench, 100).await;
    bench.advance_secs(1_000);
    assert_eq!(bench.drop_tombstones(Some(Duration::from_secs(1)), 10).await, 1);
    assert_eq!(bench.entities(None, 10, false).await, ["conflict", "held", "paused"]);
    assert_eq!(conflict.the_gate().await.conflicts, 1);
}

/// So that a million of them do not hold up what else is written.
pub async fn tombstones_go_a_few_at_a_time(bench: &Bench) {
    bench.take_over().await;
    for number in 0..7 {
        bury(bench, &format!("e{number}"), 5).await;
    }
    settle(bench, 5).await;
    for expected in [3, 3, 1, 0] {
        assert_eq!(bench.drop_tombstones(Some(Duration::ZERO), 3).await, expected);
    }
}

/// Each stream of each consumer has its own settled index.
pub async fn tombstones_of_other_streams_and_consumers_stay(bench: &Bench) {
    let others = [bench.as_consumer("shipping"), bench.on_stream("orders/1"), bench.on_stream("orders/00")];
    for other in &others {
        other.take_over().await;
        bury(other, "e", 1).await;
    }
    bench.take_over().await;
    bury(bench, "e", 1).await;
    settle(bench, 5).await;
    bench.advance_secs(100);
    assert_eq!(bench.drop_tombstones(Some(Duration::from_secs(1)), 10).await, 1);
    for other in &others {
        assert_eq!(other.entity("e").arrive(&[1]).await, [Verdict::Duplicate]);
    }
}

/// Gated again, it is none; resolved again, its age counts anew.
pub async fn an_entity_that_fails_again_is_no_tombstone(bench: &Bench) {
    let keeps = Some(Duration::from_secs(10));
    bury(bench, "e", 1).await;
    bench.advance_secs(60);
    let entity = bench.entity("e");
    entity.fill(&[2]).await;
    assert_eq!(bench.drop_tombstones(keeps, 10).await, 0);
    entity.run_and_resolve(2, 1).await;
    assert_eq!(bench.drop_tombstones(keeps, 10).await, 0);
    bench.advance_secs(11);
    assert_eq!(bench.drop_tombstones(keeps, 10).await, 1);
}
