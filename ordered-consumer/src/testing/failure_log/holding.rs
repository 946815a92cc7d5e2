//! Events that come while their entity is gated, and those that come again.

use super::{
    Bench,
    bench::sound,
    entity::{RETRY, arrival},
};
use crate::{
    ParkCause,
    gate::{Arrival, Input, Logged, Reply, State, Verdict},
};

/// 9 before 10, and beyond 64 bits too.
pub async fn held_events_are_in_the_order_of_their_indexes_at_every_width(bench: &Bench) {
    let wide = u128::from(u64::MAX);
    let order = [9, 10, 255, 256, wide, wide + 1, u128::MAX - 1, u128::MAX];
    let entity = bench.entity("e");
    entity.fill(&order).await;
    assert_eq!(entity.logged().await, order);
    for index in order {
        assert_eq!(
            entity.the_gate().await.head.map(crate::Index::get),
            Some(index),
            "the head is the lowest"
        );
        entity.run_and_resolve(index, u32::from(index == 9)).await;
    }
    assert_eq!(entity.the_gate().await.state(), State::Cleared);
}

/// Zero and the highest index are indexes like any other.
pub async fn the_lowest_and_the_highest_index_are_legal(bench: &Bench) {
    for (name, index) in [("low", 0), ("high", u128::MAX)] {
        let entity = bench.entity(name);
        entity.fill(&[index]).await;
        assert_eq!(entity.logged().await, [index]);
        assert_eq!(entity.arrive(&[index]).await, [Verdict::Duplicate], "logged at {index}");
        entity.run_and_resolve(index, 1).await;
        assert_eq!(entity.arrive(&[index]).await, [Verdict::Duplicate], "resolved at {index}");
    }
    assert_eq!(bench.entity("low").arrive(&[1]).await, [Verdict::Run]);
}

/// The broker delivers again what it was not told about in time.
pub async fn holding_twice_is_holding_once(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    let before = bench.totals().await;
    assert_eq!(entity.arrive(&[2]).await, [Verdict::Duplicate]);
    assert_eq!(entity.logged().await, [1, 2]);
    assert_eq!(bench.totals().await, before);
}

/// It must not be held behind itself.
pub async fn a_failed_event_that_comes_again_while_it_is_logged_is_known(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    let before = entity.the_gate().await;
    assert_eq!(entity.arrive(&[1]).await, [Verdict::Duplicate]);
    assert_eq!(entity.fail(1).await, Logged::Known);
    assert_eq!(entity.the_gate().await, before);
    assert_eq!(entity.logged().await, [1]);
}

/// A tombstone makes redelivered old events duplicates, and lets new ones run.
pub async fn a_resolved_event_that_comes_again_is_a_duplicate(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[3, 5]).await;
    entity.run_and_resolve(3, 1).await;
    assert_eq!(entity.arrive(&[3]).await, [Verdict::Duplicate]);
    entity.run_and_resolve(5, 0).await;
    assert_eq!(
        entity.arrive(&[3, 4, 5, 6, 7]).await,
        [Verdict::Duplicate, Verdict::Duplicate, Verdict::Duplicate, Verdict::Run, Verdict::Undecided,]
    );
    assert_eq!(entity.fail(5).await, Logged::Known);
    assert_eq!(entity.logged().await, [0_u128; 0]);
}

/// Neither event is dropped silently, and the entity stops until an operator has looked.
pub async fn another_event_at_a_logged_index_is_kept_too_and_parks(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    let before = entity.the_gate().await;
    assert_eq!(entity.arrive_as(entity.impostor(2)).await, [Verdict::Conflict]);
    let gate = entity.the_gate().await;
    assert_eq!(gate.parked, Some(ParkCause::Conflict));
    assert_eq!((gate.conflicts, gate.held_events), (1, 2));
    assert_eq!(gate.due_at, None, "a parked gate is not looked at");
    assert_ne!(gate.version, before.version);
    let payloads: Vec<_> = entity.events().await.iter().map(|event| event.payload().cloned()).collect();
    assert_eq!(payloads, [entity.event(1).payload().cloned(), entity.event(2).payload().cloned()]);
    // Both are known now: the one that was logged and the one that is kept beside it.
    assert_eq!(entity.arrive(&[2]).await, [Verdict::Duplicate]);
    assert_eq!(entity.arrive_as(entity.impostor(2)).await, [Verdict::Duplicate]);
    let third = entity.builder(2).id("another id").build();
    assert_eq!(entity.arrive_as(third).await, [Verdict::Conflict], "an id of its own makes it another event");
    assert_eq!(entity.the_gate().await.conflicts, 2);
}

/// As when a topic was written over between the run and its failure's record.
pub async fn a_failed_event_that_conflicts_with_the_logged_one_is_kept_too(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    assert_eq!(entity.fail_as(entity.impostor(1), RETRY).await, Logged::Conflict);
    assert_eq!(entity.fail_as(entity.impostor(1), RETRY).await, Logged::Known);
    let gate = entity.the_gate().await;
    assert_eq!((gate.parked, gate.conflicts, gate.held_events), (Some(ParkCause::Conflict), 1, 1));
    assert_eq!(
        entity.events().await.first().and_then(|event| event.payload().cloned()).as_deref(),
        Some(&b"payload 1"[..])
    );
}

/// Once one is told to run, what the later ones may do depends on how it ends.
pub async fn events_that_come_together_are_decided_in_order(bench: &Bench) {
    let entity = bench.entity("e");
    assert_eq!(entity.arrive(&[1, 2]).await, [Verdict::Run, Verdict::Undecided]);
    entity.fill(&[1]).await;
    let twice = [entity.event(1), entity.event(2), entity.event(3), entity.event(3), entity.impostor(3)];
    assert_eq!(
        super::entity::verdicts(entity.ask(arrival(twice)).await.reply),
        [Verdict::Duplicate, Verdict::Held, Verdict::Held, Verdict::Duplicate, Verdict::Conflict,]
    );
    assert_eq!(entity.logged().await, [1, 2, 3]);
}

/// The quiet path writes nothing.
pub async fn an_event_of_a_clear_entity_is_told_to_run_and_nothing_is_written(bench: &Bench) {
    let entity = bench.entity("e");
    assert_eq!(entity.arrive(&[1]).await, [Verdict::Run]);
    assert_eq!(entity.gate().await, None);
    assert_eq!(bench.totals().await, crate::Totals::default());
    let asked = [entity.key.entity.clone()];
    assert_eq!(sound(bench.log.which_gated(&bench.consumer, &bench.stream, &asked).await).0, [false]);
}

/// Its last run may have killed a process, so it is logged before it runs again.
pub async fn a_suspect_is_logged_without_a_run_and_due_at_once(bench: &Bench) {
    let entity = bench.entity("e");
    let suspects = (1..=2).map(|index| Arrival { event: entity.event(index), suspect: true }).collect();
    let reply = entity.ask(Input::Arrive { events: suspects }).await.reply;
    assert_eq!(reply, Reply::Arrived(vec![Verdict::Suspect, Verdict::Held]));
    let gate = entity.the_gate().await;
    assert_eq!((gate.attempts, gate.due_at), (0, Some(bench.now().await)));
    assert_eq!(bench.take_entities(10).await, ["e"]);
    let (grant, _) = entity.run(1, 0, 7).await;
    assert_eq!(grant.attempt, 1);
}

/// The entity was gated while the handler ran.
pub async fn a_failure_behind_a_head_is_held(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    assert_eq!(entity.fail(4).await, Logged::Held);
    assert_eq!(entity.arrive(&[3]).await, [Verdict::Held]);
    assert_eq!(entity.logged().await, [1, 3, 4]);
    assert_eq!(entity.the_gate().await.head, Some(crate::Index::new(1)));
}
