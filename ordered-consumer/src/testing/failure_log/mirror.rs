//! Parked heads that are due for the mirror, and for nothing else.

use std::{sync::Arc, time::Duration};

use super::{
    Bench,
    bench::sound,
    entity::{Entity, RETRY},
};
use crate::{
    GateQuery, Index, ParkCause, TakenParked,
    gate::{Action, ClaimRefusal, Failure, Input, Logged, Next, Reply, State, Verdict},
};

const PARK: Next = Next::Park(ParkCause::Exhausted);

fn mirroring(bench: &Bench) -> Bench {
    bench.with_settings(|settings| {
        settings.mirror_parked = true;
        settings.attempts_max = 1;
    })
}

/// What the relay takes for the mirror now; it must take nothing else.
async fn to_mirror(bench: &Bench) -> Vec<TakenParked> {
    let due = bench.take_due(10).await;
    assert!(due.taken.is_empty(), "a parked gate is never run: {due:?}");
    due.to_mirror
}

/// The one parked head that the relay takes for the mirror now.
async fn the_one(bench: &Bench) -> TakenParked {
    match <[TakenParked; 1]>::try_from(to_mirror(bench).await) {
        Ok([taken]) => taken,
        Err(others) => panic!("not one parked head is due: {others:?}"),
    }
}

async fn mirrored(entity: &Entity<'_>, taken: &TakenParked) -> bool {
    let (index, version) = (taken.head.index, taken.head.version);
    let reply = entity.ask(Input::Mirrored { index, version, refused: None }).await.reply;
    let Reply::Mirrored { counts } = reply else { panic!("what is mirrored is answered by {reply:?}") };
    counts
}

/// However an event came to be parked, the relay finds it, with what there is to say about it; nobody may run it.
pub async fn a_parked_head_is_due_for_the_mirror_and_for_nothing_else(bench: &Bench) {
    let bench = &mirroring(bench);
    let [failed, lost, conflict, operator, paused, passed] =
        ["failed", "lost", "conflict", "operator", "paused", "passed"].map(|name| bench.entity(name));
    assert_eq!(failed.fail_as(failed.event(1), PARK).await, Logged::Parked(ParkCause::Exhausted));
    for entity in [&lost, &passed] {
        entity.fill(&[1, 2]).await;
        entity.run(1, 1, 7).await;
    }
    passed.operated(Action::Park).await;
    assert!(matches!(passed.resolve(7, None).await.reply, Reply::Resolved(_)));
    conflict.fill(&[1]).await;
    assert_eq!(conflict.arrive_as(conflict.impostor(1)).await, [Verdict::Conflict]);
    operator.fill(&[1]).await;
    operator.operated(Action::Park).await;
    paused.operated(Action::Pause).await;
    assert!(to_mirror(bench).await.iter().all(|taken| taken.key != paused.key), "nothing is held yet");
    assert_eq!(paused.arrive(&[1]).await, [Verdict::Held]);
    bench.advance_secs(60);
    let due = bench.take_due(10).await;
    assert!(due.taken.is_empty(), "{due:?}");
    assert_eq!(due.parked, std::slice::from_ref(&lost.key), "found, and mirrored by the same look");
    let mut found = due.to_mirror;
    found.sort_by(|a, b| a.key.cmp(&b.key));
    let found: Vec<_> = found
        .iter()
        .map(|taken| (&taken.key.entity[..], taken.head.index.get(), taken.head.cause, taken.head.attempts))
        .collect();
    let expected: [(&[u8], u128, ParkCause, u32); 6] = [
        (b"conflict", 1, ParkCause::Conflict, 1),
        (b"failed", 1, ParkCause::Exhausted, 1),
        (b"lost", 1, ParkCause::LostRun, 2),
        (b"operator", 1, ParkCause::Operator, 1),
        (b"passed", 2, ParkCause::Operator, 0),
        (b"paused", 1, ParkCause::Operator, 0),
    ];
    assert_eq!(found, expected);
    assert_eq!(failed.claim(1, 1, 9).await.reply, Reply::ClaimRefused(ClaimRefusal::Parked));
}

/// Its process died, or the mirror was away: the log remembers, and looks again after twice as long each time.
pub async fn a_parked_head_is_found_again_until_it_is_mirrored(bench: &Bench) {
    let bench = &mirroring(bench);
    let entity = &bench.entity("e");
    entity.fail_as(entity.event(1), PARK).await;
    let before = entity.the_gate().await;
    let mut taken = the_one(bench).await;
    let failure = taken.head.last_failure.clone().map(|failure| (failure.attempt, failure.text));
    assert_eq!(failure, before.last_failure.as_ref().map(|last| (1, Arc::clone(&last.text))));
    assert_eq!(taken.head.first_failure, before.first_failure);
    for secs in [30, 60, 120] {
        assert!(to_mirror(bench).await.is_empty(), "it has just been taken");
        bench.advance_secs(secs - 1);
        assert!(to_mirror(bench).await.is_empty(), "not before {secs} s");
        bench.advance_secs(1);
        taken = the_one(bench).await;
    }
    assert!(mirrored(entity, &taken).await);
    assert!(mirrored(entity, &taken).await, "told again, because the first answer was lost");
    let after = entity.the_gate().await;
    assert_eq!((after.state(), after.due_at, after.version), (State::Parked, None, before.version));
    bench.advance_secs(1_000_000);
    assert!(to_mirror(bench).await.is_empty(), "once is enough");
}

/// A copy of what was says nothing of what is.
pub async fn what_was_mirrored_does_not_count_for_a_later_park(bench: &Bench) {
    let bench = &mirroring(bench);
    let entity = &bench.entity("e");
    entity.fail_as(entity.event(1), PARK).await;
    let first = the_one(bench).await;
    entity.operated(Action::Retry).await;
    assert!(!mirrored(entity, &first).await, "the entity goes on");
    assert_eq!(bench.take_entities(10).await.len(), 1, "and is still due, to run");
    entity.run(1, 0, 7).await;
    assert!(!mirrored(entity, &first).await, "it runs");
    entity.fail_again(7, PARK).await;
    assert!(!mirrored(entity, &first).await, "it has parked anew");
    let second = the_one(bench).await;
    assert!(mirrored(entity, &second).await);
    assert!(second.head.version > first.head.version);
}

/// One whose waits had grown long parks with the first wait again; and one that was given back is due at once.
pub async fn a_new_park_is_due_for_the_mirror_at_once(bench: &Bench) {
    let bench = &mirroring(bench);
    let entity = &bench.entity("e");
    entity.fill(&[1]).await;
    for secs in [1, 30, 60] {
        bench.advance_secs(secs);
        assert_eq!(bench.take_entities(10).await.len(), 1);
    }
    entity.operated(Action::Park).await;
    the_one(bench).await;
    bench.advance_secs(30);
    the_one(bench).await;
    let given = bench.entity("given");
    given.fill(&[1]).await;
    given.run(1, 1, 7).await;
    given.operated(Action::Park).await;
    assert!(to_mirror(bench).await.is_empty(), "its run may succeed yet");
    assert_eq!(given.give_back(7).await, Reply::GivenBack);
    assert_eq!(the_one(bench).await.key, given.key);
}

/// Whoever looks for it later must be able to find out why it is not there.
pub async fn what_the_mirror_refuses_is_written_down_and_not_tried_again(bench: &Bench) {
    let bench = &mirroring(bench);
    let entity = &bench.entity("e");
    entity.fail_as(entity.event(1), PARK).await;
    let taken = the_one(bench).await;
    let refused = Some(Failure::new("mirror", "too large"));
    let (index, version) = (taken.head.index, taken.head.version);
    for _ in 0..2 {
        let input = Input::Mirrored { index, version, refused: refused.clone() };
        assert_eq!(entity.ask(input).await.reply, Reply::Mirrored { counts: true });
    }
    let lines = sound(bench.log.audit(&bench.consumer, Some(&entity.key), 10).await);
    let lines: Vec<_> = lines
        .iter()
        .map(|line| (line.audit.action, &*line.audit.by, &*line.audit.why, line.audit.index))
        .collect();
    assert_eq!(lines, [("not mirrored", "relay", "too large", Some(Index::new(1)))]);
    bench.advance_secs(1_000_000);
    assert!(to_mirror(bench).await.is_empty());
    assert_eq!(entity.the_gate().await.state(), State::Parked);
}

/// Due for the mirror is neither waiting nor late, whoever counts.
pub async fn due_for_the_mirror_is_neither_waiting_nor_late(bench: &Bench) {
    let bench = &mirroring(bench);
    let entity = &bench.entity("e");
    entity.fail_as(entity.event(1), PARK).await;
    bench.advance_secs(1_000);
    let due = bench.take_due(10).await;
    assert_eq!((due.to_mirror.len(), due.overdue, due.parked.len()), (1, Duration::ZERO, 0));
    assert_eq!(due.next_due_in, Some(Duration::from_secs(30)), "the relay must look again");
    let totals = bench.totals().await;
    assert_eq!((totals.gated_entities, totals.parked_entities), (1, 1));
    for (state, count) in [(State::Waiting, 0), (State::Running, 0), (State::Parked, 1)] {
        let query = GateQuery { state: Some(state), limit: 10, ..GateQuery::default() };
        assert_eq!(sound(bench.log.list(&bench.consumer, &query).await).len(), count, "{state:?}");
    }
}

/// An operator does not know whether the consumer has a mirror. One that has none looks once.
pub async fn without_a_mirror_a_parked_gate_is_looked_at_once(bench: &Bench) {
    let operators = mirroring(bench);
    let entity = operators.entity("e");
    entity.fail_as(entity.event(1), RETRY).await;
    entity.operated(Action::Park).await;
    let due = bench.take_due(10).await;
    assert!(due.taken.is_empty() && due.to_mirror.is_empty(), "{due:?}");
    assert_eq!(due.next_due_in, None);
    let gate = entity.the_gate().await;
    assert_eq!((gate.state(), gate.due_at), (State::Parked, None));
}

/// It had parked before there was a mirror, or the mirror has lost it.
pub async fn an_operator_has_a_parked_head_mirrored_again(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fail_as(entity.event(1), PARK).await;
    let before = entity.the_gate().await;
    assert_eq!(before.due_at, None);
    let bench = &mirroring(bench);
    assert!(to_mirror(bench).await.is_empty(), "it had parked before");
    let entity = &bench.entity("e");
    entity.operated(Action::Mirror).await;
    let taken = the_one(bench).await;
    assert_eq!(taken.head.version, before.version, "nobody else is disturbed");
    assert!(mirrored(entity, &taken).await);
    assert_eq!(entity.the_gate().await, before);
}
