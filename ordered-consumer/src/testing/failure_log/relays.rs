//! What the relay finds, and when.

use std::time::Duration;

use futures::future::join_all;

use super::{
    Bench,
    entity::{RETRY, failed},
};
use crate::{
    Index, ParkCause,
    gate::{Action, ClaimRefusal, Next, Reply, State, Taken},
};

/// Taking pushes the due time out, so that a second relay finds nothing.
pub async fn a_taken_gate_is_not_found_by_a_second_relay(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    assert!(bench.take_entities(10).await.is_empty(), "not due for a second");
    bench.advance_secs(1);
    let due = bench.take_due(10).await;
    let (head, released) = (Index::new(1), Index::new(1));
    let expected = Taken { head, released, attempts: 1, alone: false };
    assert_eq!(due.taken.iter().map(|taken| taken.taken).collect::<Vec<_>>(), [expected]);
    assert_eq!(due.taken.first().map(|taken| &taken.key), Some(&entity.key));
    assert!(bench.take_entities(10).await.is_empty(), "it has just been taken");
    let gate = entity.the_gate().await;
    assert_eq!(gate.due_at, Some(bench.now().await.plus(Duration::from_secs(30))));
}

/// Several relays at once share the gates out among them.
pub async fn relays_at_the_same_time_never_take_one_gate_twice(bench: &Bench) {
    for number in 0..12 {
        bench.entity(format!("e{number}")).fill(&[1]).await;
    }
    bench.advance_secs(1);
    let mut found = join_all((0..4).map(|_| bench.take_entities(12))).await.concat();
    found.extend(bench.take_entities(12).await);
    let taken = found.len();
    found.sort();
    found.dedup();
    assert_eq!((taken, found.len()), (12, 12));
}

/// Nothing came back: it is published again, each time after twice as long.
pub async fn a_published_event_that_does_not_come_back_is_found_again(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    bench.advance_secs(1);
    for secs in [30, 60, 120] {
        assert_eq!(bench.take_entities(10).await.len(), 1);
        bench.advance_secs(secs - 1);
        assert!(bench.take_entities(10).await.is_empty(), "not before {secs} s");
        bench.advance_secs(1);
    }
    entity.run(1, 1, 7).await;
    entity.give_back(7).await;
    assert_eq!(entity.the_gate().await.takes, 0, "something came back");
}

/// So that none is starved by others.
pub async fn the_longest_due_comes_first(bench: &Bench) {
    for (name, secs) in [("third", 30), ("first", 10), ("fourth", 40), ("second", 20)] {
        let entity = bench.entity(name);
        entity.fail_as(entity.event(1), Next::Retry(Duration::from_secs(secs))).await;
    }
    assert_eq!(bench.take_due(10).await.next_due_in, Some(Duration::from_secs(10)));
    bench.advance_secs(35);
    assert_eq!(bench.take_entities(2).await, ["first", "second"]);
    let due = bench.take_due(2).await;
    assert_eq!(due.taken.iter().map(|taken| &taken.key.entity[..]).collect::<Vec<_>>(), [b"third"]);
    assert_eq!(due.next_due_in, Some(Duration::from_secs(5)), "the fourth is next");
}

/// The relay sleeps until then, and must not sleep past what is left over.
pub async fn the_relay_is_told_when_to_look_again(bench: &Bench) {
    assert_eq!(bench.take_due(10).await.next_due_in, None, "nothing is ever due in an empty log");
    for name in ["a", "b"] {
        bench.entity(name).fill(&[1]).await;
    }
    bench.advance_secs(1);
    let due = bench.take_due(1).await;
    assert_eq!((due.taken.len(), due.next_due_in), (1, Some(Duration::ZERO)));
}

/// Its process may have died of it: it runs alone next, and the lost run reports in vain.
pub async fn a_lost_claim_is_found(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    bench.advance_secs(1);
    let (grant, _) = entity.run(1, 1, 7).await;
    bench.advance_secs(59);
    assert!(bench.take_entities(10).await.is_empty(), "the run has time until its deadline");
    bench.advance_secs(1);
    assert_eq!(bench.now().await, grant.deadline);
    let taken = bench.take_due(10).await.taken;
    assert_eq!(taken.first().map(|taken| (taken.taken.attempts, taken.taken.alone)), Some((2, true)));
    assert_eq!(entity.the_gate().await.state(), State::Waiting);
    assert_eq!(entity.resolve(7, None).await.reply, Reply::ClaimLost);
    assert_eq!(entity.fail_again(7, RETRY).await, Reply::ClaimLost);
    let (next, _) = entity.run(1, 2, 8).await;
    assert_eq!((next.attempt, next.alone), (3, true));
}

/// An event that kills every process it runs in stops in the end.
pub async fn lost_claims_use_up_the_attempts_and_park(bench: &Bench) {
    let bench = bench.with_settings(|settings| settings.attempts_max = 3);
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    for attempts in 1..3 {
        entity.run(1, attempts, 7 + u128::from(attempts)).await;
        bench.advance_secs(60);
        assert_eq!(bench.take_entities(10).await.is_empty(), attempts == 2);
    }
    let gate = entity.the_gate().await;
    assert_eq!((gate.parked, gate.attempts, gate.claim), (Some(ParkCause::LostRun), 3, None));
    assert_eq!(entity.arrive(&[3]).await, [crate::gate::Verdict::Held]);
    bench.advance_secs(1_000_000);
    assert!(bench.take_entities(10).await.is_empty());
}

/// A claim of a parked gate is lost like any other, and the gate stays parked.
pub async fn a_lost_run_of_a_parked_gate_is_noticed(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    entity.run(1, 1, 7).await;
    entity.operated(Action::Park).await;
    bench.advance_secs(60);
    assert!(bench.take_entities(10).await.is_empty());
    let gate = entity.the_gate().await;
    assert_eq!((gate.parked, gate.claim), (Some(ParkCause::Operator), None));
    entity.operated(Action::Retry).await;
    assert_eq!(bench.take_entities(10).await.len(), 1);
}

/// The outbox is the head through what is released, and its claims need no relay.
pub async fn the_relay_takes_what_is_released(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 20, 300, 4_000, 50_000]).await;
    entity.run_and_resolve(1, 1).await;
    let taken = bench.take_due(10).await.taken;
    let (head, released) = (Index::new(20), Index::new(4_000));
    let expected = Taken { head, released, attempts: 0, alone: false };
    assert_eq!(taken.first().map(|taken| taken.taken), Some(expected));
    let early = entity.claim(300, 0, 7).await.reply;
    assert_eq!(early, Reply::ClaimRefused(ClaimRefusal::NotHead), "released is not yet its turn");
}

/// Due times are reckoned from the log's now, and saturate.
pub async fn a_due_time_is_the_logs_own(bench: &Bench) {
    let entity = bench.entity("e");
    let before = bench.now().await;
    let reply = entity.ask(failed(entity.event(1), Next::Retry(Duration::MAX))).await.reply;
    assert!(matches!(reply, Reply::Logged(_)), "a backoff beyond all time is kept as the last one");
    let gate = entity.the_gate().await;
    assert_eq!((gate.since, gate.due_at), (before, Some(before.plus(Duration::MAX))));
    bench.advance_secs(1_000_000_000);
    assert!(bench.take_entities(10).await.is_empty());
}

/// A run that was lost for the last time is nobody's to report but the look's that found it; and a look says how late it
/// came.
pub async fn a_look_tells_what_it_has_parked_and_how_late_it_is(bench: &Bench) {
    let bench = bench.with_settings(|settings| settings.attempts_max = 1);
    let (lost, parked) = (bench.entity("lost"), bench.entity("parked"));
    for entity in [&lost, &parked] {
        entity.fail(1).await;
    }
    bench.advance_secs(1);
    assert_eq!(bench.take_entities(10).await.len(), 2);
    lost.run(1, 1, 7).await;
    parked.run(1, 1, 8).await;
    parked.operated(Action::Park).await;
    bench.advance_secs(60 + 9);
    let due = bench.take_due(10).await;
    assert!(due.taken.is_empty(), "{due:?}");
    assert_eq!(due.parked, std::slice::from_ref(&lost.key), "the other one was parked before");
    assert_eq!(due.overdue.as_secs(), 9);
    let due = bench.take_due(10).await;
    assert!(due.parked.is_empty() && due.overdue.is_zero(), "{due:?}");
}
