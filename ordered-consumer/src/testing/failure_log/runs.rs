//! What follows a run: the next event, another attempt, or an operator's eyes.

use std::time::Duration;

use super::{
    Bench,
    entity::{RETRY, assert_same_event},
};
use crate::{
    Answer, Index, ParkCause,
    gate::{Action, ClaimToken, Failure, Gate, Input, Logged, Next, Reply, Resolved, State},
};

fn head_and_released(gate: &Gate) -> (Option<u128>, Option<u128>) {
    (gate.head.map(Index::get), gate.released.map(Index::get))
}

/// Past what was released, the relay may publish the next `release_window` rows, however far apart their indexes.
pub async fn a_success_releases_the_next_window(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[10, 20, 30, 40, 50, 60]).await;
    assert_eq!(head_and_released(&entity.the_gate().await), (Some(10), Some(10)));
    entity.run_and_resolve(10, 1).await;
    let gate = entity.the_gate().await;
    assert_eq!(head_and_released(&gate), (Some(20), Some(40)));
    assert_eq!(gate.due_at, Some(bench.now().await), "a new window is due at once");
    entity.run_and_resolve(20, 0).await;
    assert_eq!(head_and_released(&entity.the_gate().await), (Some(30), Some(40)));
    entity.run_and_resolve(30, 0).await;
    entity.run_and_resolve(40, 0).await;
    assert_eq!(head_and_released(&entity.the_gate().await), (Some(50), Some(60)), "the last one there is");
}

/// Each next event is claimed in the write that resolves the one before it.
pub async fn a_drain_of_many_is_in_order_and_leaves_nothing(bench: &Bench) {
    let entity = bench.entity("e");
    let indexes: Vec<u128> = (0..60).map(|n| n * 7 + 3).collect();
    entity.fill(&indexes).await;
    let (_, mut event) = entity.run(3, 1, 1_000).await;
    for (token, (position, index)) in (1_000..).zip(indexes.iter().enumerate()) {
        assert_same_event(&event, &entity.event(*index));
        let answer = entity.resolve(token, Some(token + 1)).await;
        let next = indexes.get(position + 1).copied();
        let Answer { reply: Reply::Resolved(resolved), event: found } = answer else {
            panic!("the success at {index} is answered by {answer:?}");
        };
        assert_eq!(resolved.head.map(Index::get), next);
        match (resolved.next, found, next) {
            (Some(grant), Some(found), Some(next)) => {
                assert_eq!((grant.index.get(), grant.attempt), (next, 1));
                event = found;
            }
            (None, None, None) => break,
            other => panic!("after {index} comes {other:?}"),
        }
    }
    let gate = entity.the_gate().await;
    assert_eq!((gate.state(), gate.resolved), (State::Cleared, indexes.last().copied().map(Index::new)));
    assert_eq!((gate.held_events, gate.held_bytes, gate.due_at), (0, 0, None));
    assert_eq!(bench.totals().await, crate::Totals::default());
}

/// Its first answer was lost: the next event is claimed once, and not resolved unseen.
pub async fn a_success_reported_again_with_its_next_claim_is_the_same(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2, 3]).await;
    entity.run(1, 1, 7).await;
    let first = entity.resolve(7, Some(8)).await;
    let again = entity.resolve(7, Some(8)).await;
    assert_eq!(first.reply, again.reply);
    for answer in [first, again] {
        match answer.event {
            Some(event) => assert_same_event(&event, &entity.event(2)),
            None => panic!("the next claim has no event to run"),
        }
    }
    assert_eq!(entity.logged().await, [2, 3]);
    assert_eq!(entity.the_gate().await.attempts, 1);
}

/// What came while the last one ran is next; without it, the entity is clear.
pub async fn an_event_held_during_the_last_run_is_next(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    entity.run(1, 1, 7).await;
    entity.arrive(&[2]).await;
    let reply = entity.resolve(7, None).await.reply;
    assert_eq!(reply, Reply::Resolved(Resolved { next: None, head: Some(Index::new(2)) }));
    entity.run_and_resolve(2, 0).await;
    assert_eq!(entity.arrive(&[3]).await, [crate::gate::Verdict::Run]);
}

/// Nothing behind the head goes out before it is resolved, and both failures can be read.
pub async fn a_failed_run_is_tried_again_later(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    let first_at = bench.now().await;
    bench.advance_secs(5);
    entity.run(1, 1, 7).await;
    bench.advance_secs(5);
    let now = bench.now().await;
    let due_at = now.plus(Duration::from_secs(90));
    let reply = entity.fail_again(7, Next::Retry(Duration::from_secs(90))).await;
    assert_eq!(reply, Reply::FailedAgain(Logged::Retrying { due_at }));
    let gate = entity.the_gate().await;
    assert_eq!((gate.state(), gate.attempts, gate.due_at), (State::Waiting, 2, Some(due_at)));
    assert_eq!(head_and_released(&gate), (Some(1), Some(1)));
    let seen = |failure: &Option<Failure>| {
        failure.as_ref().map(|f| (f.at, f.attempt, f.class.to_string(), f.text.to_string()))
    };
    assert_eq!(seen(&gate.first_failure), Some((first_at, 1, "First".into(), "no".into())));
    assert_eq!(seen(&gate.last_failure), Some((now, 2, "Second".into(), "no again".into())));
    assert_eq!(entity.run(1, 2, 8).await.0.first_failed_at, Some(first_at));
}

/// What an error says is kept as it is, up to what the log keeps.
pub async fn a_failures_text_comes_back_as_it_was(bench: &Bench) {
    let texts =
        ["", "'; DROP TABLE gate; --", "naïve \u{202e} \u{1b}[31m <b>\u{1F4A5}</b>\n\t\"%_\\", "\0nul"];
    for (number, text) in texts.iter().enumerate() {
        let entity = bench.entity(format!("e{number}"));
        let failure = Failure::new(text, &text.repeat(3_000));
        let (event, next) = (entity.event(1), Next::Park(ParkCause::Permanent));
        let fail = Input::Fail { event, attempts: 3, failure: failure.clone(), next };
        assert_eq!(entity.ask(fail).await.reply, Reply::Logged(Logged::Parked(ParkCause::Permanent)));
        let kept = entity.the_gate().await.first_failure;
        let kept = kept.map(|kept| (kept.attempt, kept.class, kept.text));
        assert_eq!(kept, Some((3, failure.class, failure.text)));
    }
}

/// Every cause comes back as it was given.
pub async fn a_parked_head_is_not_looked_at_again(bench: &Bench) {
    let causes = [ParkCause::Exhausted, ParkCause::Permanent, ParkCause::LostRun, ParkCause::Conflict];
    for (number, cause) in causes.into_iter().enumerate() {
        let entity = bench.entity(format!("e{number}"));
        entity.fill(&[1]).await;
        entity.run(1, 1, 7).await;
        let reply = entity.fail_again(7, Next::Park(cause)).await;
        assert_eq!(reply, Reply::FailedAgain(Logged::Parked(cause)));
        assert_eq!(entity.the_gate().await.parked, Some(cause));
        assert_eq!(entity.arrive(&[2]).await, [crate::gate::Verdict::Held]);
    }
    bench.advance_secs(1_000_000);
    let due = bench.take_due(100).await;
    assert!(due.taken.is_empty() && due.next_due_in.is_none(), "{due:?}");
    assert_eq!(bench.totals().await.parked_entities, 4);
}

/// A shutdown is no failure of the event's.
pub async fn a_run_given_back_does_not_count(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    entity.run(1, 1, 7).await;
    assert_eq!(entity.give_back(7).await, Reply::GivenBack);
    let gate = entity.the_gate().await;
    assert_eq!((gate.state(), gate.attempts), (State::Waiting, 1));
    assert_eq!(gate.due_at, Some(bench.now().await.plus(Duration::from_secs(2))));
    assert_eq!(entity.run(1, 1, 8).await.0.attempt, 2);
}

/// An operator parked while the run went on, and is obeyed.
pub async fn a_park_sticks_whatever_a_late_run_reports(bench: &Bench) {
    let [failing, giving, succeeding] = ["f", "g", "s"].map(|name| bench.entity(name));
    for entity in [&failing, &giving, &succeeding] {
        entity.fill(&[1, 2]).await;
        entity.run(1, 1, 7).await;
        entity.operated(Action::Park).await;
    }
    let parked = Reply::FailedAgain(Logged::Parked(ParkCause::Operator));
    assert_eq!(failing.fail_again(7, RETRY).await, parked);
    assert_eq!(giving.give_back(7).await, Reply::GivenBack);
    let resolved = Resolved { next: None, head: Some(Index::new(2)) };
    let answer = succeeding.resolve(7, Some(8)).await;
    assert_eq!(answer.reply, Reply::Resolved(resolved), "the success counts, and the next is not claimed");
    assert!(answer.event.is_none());
    for (entity, head) in [(failing, 1), (giving, 1), (succeeding, 2)] {
        let gate = entity.the_gate().await;
        assert_eq!((gate.parked, gate.due_at), (Some(ParkCause::Operator), None));
        assert_eq!(gate.head, Some(Index::new(head)));
    }
    bench.advance_secs(1_000_000);
    assert!(bench.take_entities(10).await.is_empty());
}

/// It is resolved, and somebody may ask why.
pub async fn an_ignored_event_is_resolved_and_written_down(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    entity.run(1, 1, 7).await;
    let ignored = Some(Failure::new("Ignored", "not ours"));
    let resolve =
        Input::Resolve { token: ClaimToken::new(7), in_process: false, next: None, ignored: ignored.clone() };
    assert!(matches!(entity.ask(resolve).await.reply, Reply::Resolved(_)));
    let clear = bench.entity("clear");
    let ignore = Input::Ignore { index: Index::new(5), failure: Failure::new("Ignored", "nor this") };
    assert_eq!(clear.ask(ignore).await.reply, Reply::Noted);
    assert_eq!(clear.gate().await, None, "nothing but the audit learns of it");
    for (entity, index, why) in [(entity, 1, "not ours"), (clear, 5, "nor this")] {
        let lines = super::bench::sound(bench.log.audit(&bench.consumer, Some(&entity.key), 10).await);
        let lines: Vec<_> = lines
            .iter()
            .map(|line| (line.audit.action, line.audit.index, &*line.audit.by, &*line.audit.why))
            .collect();
        assert_eq!(lines, [("ignore", Some(Index::new(index)), "handler", why)]);
    }
}
