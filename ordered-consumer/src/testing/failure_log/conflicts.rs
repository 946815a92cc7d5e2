//! Events that came at the index of another one: kept beside it, shown, and given up by name.

use super::{
    Bench,
    bench::sound,
    entity::{Entity, assert_same_event},
};
use crate::{
    Digest, Event, Index, ParkCause,
    gate::{Action, Logged, Operation, OperatorRefusal, Reply, State, Verdict},
};

async fn conflicts(bench: &Bench, entity: &Entity<'_>) -> Vec<Event> {
    read(bench, entity, None, 100, u64::MAX).await
}

async fn read(
    bench: &Bench,
    entity: &Entity<'_>,
    after: Option<(Index, Digest)>,
    limit: u32,
    bytes_max: u64,
) -> Vec<Event> {
    sound(bench.log.conflicts(&bench.consumer, &entity.key, after, limit, bytes_max).await)
}

fn place(event: &Event) -> (Index, Digest) {
    (event.index(), event.digest())
}

fn void(event: &Event) -> Action {
    Action::VoidConflict { index: event.index(), digest: Some(event.digest()) }
}

/// Two others at index 1 and one at index 2, in the order in which they are shown.
async fn three_conflicts(entity: &Entity<'_>) -> Vec<Event> {
    entity.fill(&[1, 2, 3]).await;
    let third = entity.builder(1).id("another id").header("h", "v").build();
    let mut others = vec![entity.impostor(1), entity.impostor(2), third];
    for other in &others {
        assert_eq!(entity.arrive_as(other.clone()).await, [Verdict::Conflict]);
    }
    others.sort_by_key(|event| (event.index(), event.digest().to_bytes()));
    others
}

/// Whole, in order, and within bounds.
pub async fn conflicts_are_shown_as_they_came(bench: &Bench) {
    let entity = bench.entity("e");
    assert!(conflicts(bench, &entity).await.is_empty());
    let kept = three_conflicts(&entity).await;
    let shown = conflicts(bench, &entity).await;
    assert_eq!(shown.len(), kept.len());
    for (shown, kept) in shown.iter().zip(&kept) {
        assert_same_event(shown, kept);
    }
    let places = |events: &[Event]| events.iter().map(place).collect::<Vec<_>>();
    let mut paged = Vec::new();
    while let [event] = &read(bench, &entity, paged.last().map(place), 1, u64::MAX).await[..] {
        paged.push(event.clone());
    }
    assert_eq!(places(&paged), places(&kept));
    assert_eq!(read(bench, &entity, None, 100, 0).await.len(), 1, "the first one comes however large it is");
    assert!(conflicts(bench, &bench.entity("f")).await.is_empty());
}

/// Only what is named goes, and the entity stays parked: whether the logged event is right is another decision.
pub async fn a_voided_conflict_is_gone_and_the_entity_stays_parked(bench: &Bench) {
    let entity = bench.entity("e");
    let kept = three_conflicts(&entity).await;
    let before = entity.the_gate().await;
    entity.operated(void(&kept[0])).await;
    let gate = entity.the_gate().await;
    assert_eq!((gate.conflicts, gate.parked), (2, Some(ParkCause::Conflict)));
    assert_ne!(gate.version, before.version);
    let places: Vec<_> = conflicts(bench, &entity).await.iter().map(place).collect();
    assert_eq!(places, [place(&kept[1]), place(&kept[2])]);
    entity.operated(Action::VoidConflict { index: Index::new(1), digest: None }).await;
    entity.operated(Action::VoidConflict { index: Index::new(2), digest: None }).await;
    let gate = entity.the_gate().await;
    assert_eq!((gate.conflicts, gate.state(), gate.due_at), (0, State::Parked, None));
    assert!(conflicts(bench, &entity).await.is_empty());
    assert_eq!(entity.logged().await, [1, 2, 3], "what is logged there stays");
    entity.operated(Action::Resume).await;
    for (index, attempts) in [(1, 1), (2, 0), (3, 0)] {
        entity.run_and_resolve(index, attempts).await;
    }
    assert_eq!(bench.drop_tombstones(None, 10).await, 0, "nothing is settled");
}

/// All of one index by its number alone.
pub async fn every_conflict_at_an_index_is_voided_together(bench: &Bench) {
    let entity = bench.entity("e");
    let kept = three_conflicts(&entity).await;
    entity.operated(Action::VoidConflict { index: Index::new(1), digest: None }).await;
    assert_eq!(entity.the_gate().await.conflicts, 1);
    let places: Vec<_> = conflicts(bench, &entity).await.iter().map(place).collect();
    assert_eq!(places, [place(&kept[2])]);
}

/// There is no such conflict, and the operator is told so; or it is not what was seen.
pub async fn a_void_of_what_is_not_there_is_refused(bench: &Bench) {
    let entity = bench.entity("e");
    let missing = Reply::OperatorRefused(OperatorRefusal::NoSuchConflict);
    let anything = Action::VoidConflict { index: Index::new(1), digest: None };
    assert_eq!(entity.operate(anything.clone()).await, missing);
    entity.fill(&[1, 2]).await;
    assert_eq!(entity.operate(anything.clone()).await, missing);
    assert_eq!(entity.operate(void(&entity.impostor(1))).await, missing);
    entity.arrive_as(entity.impostor(1)).await;
    let gate = entity.the_gate().await;
    assert_eq!(entity.operate(void(&entity.event(1))).await, missing, "the logged event is no conflict");
    assert_eq!(entity.operate(void(&entity.impostor(2))).await, missing);
    let seen = entity.operation(anything).await;
    entity.arrive_as(entity.builder(1).id("a third").build()).await;
    let current = entity.the_gate().await.version;
    let stale = Reply::OperatorRefused(OperatorRefusal::Stale { current });
    assert_eq!(entity.operate_as(seen).await, stale, "there is one more than was seen");
    assert_ne!(current, gate.version);
    assert_eq!(conflicts(bench, &entity).await.len(), 2);
}

/// What is kept beside a held event says nothing about its run.
pub async fn a_conflict_is_voided_while_the_head_runs(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    entity.run(1, 1, 7).await;
    entity.arrive_as(entity.impostor(2)).await;
    entity.operated(void(&entity.impostor(2))).await;
    assert!(matches!(entity.resolve(7, None).await.reply, Reply::Resolved(_)), "the run keeps its claim");
    let gate = entity.the_gate().await;
    assert_eq!((gate.state(), gate.head, gate.conflicts), (State::Parked, Some(Index::new(2)), 0));
}

/// A tombstone that was kept for its conflicts alone may go then.
pub async fn the_last_conflict_lets_its_tombstone_go(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    entity.arrive_as(entity.impostor(1)).await;
    entity.operated(Action::Skip).await;
    let day = std::time::Duration::from_secs(86_400);
    bench.advance(2 * day);
    assert_eq!(bench.drop_tombstones(Some(day), 10).await, 0);
    entity.operated(void(&entity.impostor(1))).await;
    assert_eq!(bench.drop_tombstones(Some(day), 10).await, 1);
    assert_eq!(entity.gate().await, None);
}

/// Voided once, and kept again when it comes again while the other is held.
pub async fn a_voided_conflict_that_comes_again_is_a_conflict_again(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    let other = entity.impostor(1);
    for _ in 0..2 {
        assert_eq!(entity.arrive_as(other.clone()).await, [Verdict::Conflict]);
        entity.operated(void(&other)).await;
    }
    entity.operated(Action::Retry).await;
    entity.run_and_resolve(1, 0).await;
    assert_eq!(entity.arrive_as(other.clone()).await, [Verdict::Duplicate], "its place is resolved");
    assert_eq!(entity.fail_as(other, super::entity::RETRY).await, Logged::Known);
}

/// Not even the version: what is written down about an entity is in nobody's way.
pub async fn a_note_is_written_down_and_changes_nothing(bench: &Bench) {
    let entity = bench.entity("e");
    entity.operated(Action::Note).await;
    assert_eq!(entity.gate().await, None, "a clear entity stays clear");
    entity.fill(&[1]).await;
    entity.run(1, 1, 7).await;
    let gate = entity.the_gate().await;
    let note = entity.operation(Action::Note).await;
    let reply = entity.operate_as(note.clone()).await;
    assert_eq!(reply, Reply::Operated { version: gate.version });
    assert_eq!(entity.the_gate().await, gate);
    entity.fail_again(7, super::entity::RETRY).await;
    let stale = entity.operate_as(note.clone()).await;
    assert!(matches!(stale, Reply::OperatorRefused(OperatorRefusal::Stale { .. })), "{stale:?}");
    let lines = sound(bench.log.audit(&bench.consumer, Some(&entity.key), 10).await);
    let told: Vec<_> = lines.iter().map(|line| (line.audit.action, line.audit.outcome.is_ok())).collect();
    assert_eq!(told, [("note", false), ("note", true), ("note", true)]);
    let unread = Operation { version: 0, index: None, ..note };
    let stale = entity.operate_as(unread).await;
    assert!(matches!(stale, Reply::OperatorRefused(OperatorRefusal::Stale { .. })), "{stale:?}");
}
