//! Scenarios 47 and 48: operators get what they asked for, or are told that they did not.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use ordered_consumer::{
    Headers, Index, Outcome, ParkCause,
    gate::{OperatorRefusal, State},
};
use ordered_consumer_tests::{
    Act, Scripted, World, eventually, on_both_logs,
    operating::{Log, event, gate, key, quick, refusal, running_head, until},
    world::{gates, operator},
};

on_both_logs!(
    while_the_head_runs_what_would_change_it_is_refused_and_says_so_and_the_run_counts,
    an_entity_parked_while_its_head_runs_and_succeeds_stays_parked_with_the_next,
    an_entity_parked_while_its_head_runs_and_fails_stays_parked_with_that_failure,
    of_a_retry_and_a_skip_at_once_one_wins_and_the_other_is_told,
    of_a_retry_and_a_discard_at_once_one_wins_and_the_other_is_told,
    what_an_operator_saw_long_ago_is_refused_and_nothing_is_changed,
    a_clear_entity_is_refused_whatever_needs_something_held,
);

/// Scenario 47.
async fn while_the_head_runs_what_would_change_it_is_refused_and_says_so_and_the_run_counts(log: Log) {
    let (latch, handler, retries, seen) = running_head(&log, Act::wait).await;
    let operator = operator(Arc::clone(&log));
    assert_eq!(refusal(operator.skip(&seen, "away with it").await), OperatorRefusal::Running);
    let refused = operator.retry(&seen, "now").await.unwrap_err();
    assert!(refused.to_string().contains("running at this moment"), "{refused}");
    let discard = operator.discard_through(&seen, Index::MAX, "all of it").await;
    assert_eq!(refusal(discard), OperatorRefusal::Running);
    let edit = operator.edit(&seen, None, Headers::default(), "mended").await;
    assert_eq!(refusal(edit), OperatorRefusal::Running);
    let audit = operator.audit(None, 10).await.unwrap();
    assert_eq!(audit.len(), 4, "refused actions leave a line, too");
    assert!(audit.iter().all(|line| line.audit.outcome == Err(OperatorRefusal::Running)));
    latch.open();
    eventually("its success counts", || handler.runs.succeeded() == ["a1", "a2"]).await;
    eventually("and is recorded", || retries.stats().resolved == 2).await;
    retries.stop().await;
    assert!(gates(&log).await.is_empty());
}

async fn an_entity_parked_while_its_head_runs_and_succeeds_stays_parked_with_the_next(log: Log) {
    let (latch, handler, retries, seen) = running_head(&log, Act::wait).await;
    let operator = operator(Arc::clone(&log));
    operator.park(&seen, "stop").await.unwrap();
    let text = operator.explain("a").await.unwrap();
    assert!(text.contains("parked, because an operator parked it"), "{text}");
    latch.open();
    let parked = until(&log, "the success counts", |gate| gate.gate.head == Some(Index::new(2))).await;
    assert_eq!((parked.gate.parked, parked.gate.held_events), (Some(ParkCause::Operator), 1));
    assert_eq!((parked.gate.due_at, parked.gate.claim), (None, None));
    assert_eq!(handler.runs.times("a2"), 0);
    operator.retry(&parked, "go on").await.unwrap();
    eventually("it goes on", || handler.runs.has("a2")).await;
    retries.stop().await;
}

async fn an_entity_parked_while_its_head_runs_and_fails_stays_parked_with_that_failure(log: Log) {
    let (latch, handler, retries, seen) = running_head(&log, Act::wait_and_fail).await;
    let operator = operator(Arc::clone(&log));
    operator.park(&seen, "stop").await.unwrap();
    latch.open();
    let parked = until(&log, "the failure counts", |gate| gate.gate.claim.is_none()).await;
    assert_eq!((parked.gate.parked, parked.gate.attempts), (Some(ParkCause::Operator), 2));
    assert!(parked.gate.last_failure.unwrap().text.contains("after a while"));
    assert_eq!((parked.gate.due_at, handler.runs.times("a1")), (None, 2));
    retries.stop().await;
}

/// Scenario 48.
async fn of_a_retry_and_a_skip_at_once_one_wins_and_the_other_is_told(log: Log) {
    let handler = Scripted::new(|_, _| Act::Permanent);
    let consumer = quick(&handler, &log);
    for round in 1..=8 {
        assert!(matches!(consumer.process(event(round, "a")).await.unwrap(), Outcome::Parked(_)));
        let seen = gate(&log).await;
        let (ann, bob) = (operator(Arc::clone(&log)), operator(Arc::clone(&log)));
        let (retried, skipped) = if round % 2 == 0 {
            tokio::join!(ann.retry(&seen, "again"), bob.skip(&seen, "away"))
        } else {
            let (skipped, retried) = tokio::join!(bob.skip(&seen, "away"), ann.retry(&seen, "again"));
            (retried, skipped)
        };
        match (retried, skipped) {
            (Ok(()), lost) => {
                assert!(matches!(refusal(lost), OperatorRefusal::Stale { .. }));
                let gate = gate(&log).await;
                assert_eq!((gate.gate.parked, gate.gate.held_events), (None, 1));
                ann.skip(&gate, "for the next round").await.unwrap();
            }
            (lost, Ok(())) => {
                assert!(matches!(refusal(lost), OperatorRefusal::Stale { .. }));
                assert!(gates(&log).await.is_empty());
            }
            (retried, skipped) => panic!("nobody has won: {retried:?}, {skipped:?}"),
        }
    }
}

/// Scenario 48, with a discard of all that is held.
async fn of_a_retry_and_a_discard_at_once_one_wins_and_the_other_is_told(log: Log) {
    let handler = Scripted::new(|_, _| Act::Permanent);
    let consumer = quick(&handler, &log);
    for round in 0..8 {
        for index in 1..=2 {
            consumer.process(event(round * 2 + index, "a")).await.unwrap();
        }
        let seen = gate(&log).await;
        let (ann, bob) = (operator(Arc::clone(&log)), operator(Arc::clone(&log)));
        let (retried, discarded) =
            tokio::join!(ann.retry(&seen, "again"), bob.discard_through(&seen, Index::MAX, "away"));
        let lost = match (&retried, &discarded) {
            (Ok(()), Err(_)) => {
                assert_eq!(gate(&log).await.gate.held_events, 2);
                refusal(discarded)
            }
            (Err(_), Ok(())) => {
                assert!(gates(&log).await.is_empty());
                refusal(retried)
            }
            both => panic!("one of them must win: {both:?}"),
        };
        assert!(matches!(lost, OperatorRefusal::Stale { .. }) && lost.to_string().contains("look again"));
        if let Some(left) = gates(&log).await.first() {
            ann.discard_through(left, Index::MAX, "for the next round").await.unwrap();
        }
    }
}

async fn what_an_operator_saw_long_ago_is_refused_and_nothing_is_changed(log: Log) {
    let handler = Scripted::new(|text, attempt| Act::succeed_if(text == "a1" && attempt > 1));
    let consumer = quick(&handler, &log);
    consumer.process(event(1, "a1")).await.unwrap();
    let first = gate(&log).await;
    consumer.process(event(2, "a2")).await.unwrap();
    let operator = operator(Arc::clone(&log));
    // A hold does not make it stale: under load nobody could act otherwise.
    operator.park(&first, "stop").await.unwrap();
    let parked = gate(&log).await;
    for outcome in [
        operator.retry(&first, "late").await,
        operator.skip(&first, "late").await,
        operator.park(&first, "late").await,
        operator.discard_through(&first, Index::MAX, "late").await,
        operator.edit(&first, None, Headers::default(), "late").await,
        operator.pause(&first, "late").await,
        operator.resume(&first, "late").await,
        operator.void_conflict(&first, (Index::new(1), None), "late").await,
        operator.note(&first, "late").await,
    ] {
        assert_eq!(refusal(outcome), OperatorRefusal::Stale { current: parked.gate.version });
    }
    assert_eq!(gate(&log).await.gate, parked.gate, "nothing is changed");
    operator.skip(&parked, "away").await.unwrap();
    let stale = refusal(operator.skip(&parked, "twice").await);
    assert!(stale.to_string().contains("look again"), "{stale}");
    let left = gate(&log).await;
    assert_eq!((left.gate.head, left.gate.held_events), (Some(Index::new(2)), 1), "skipped once");
    operator.skip(&left, "away, too").await.unwrap();
    assert_eq!(
        refusal(operator.retry(&left, "late").await),
        OperatorRefusal::Stale { current: operator.look(&key("a")).await.unwrap().gate.version }
    );
}

async fn a_clear_entity_is_refused_whatever_needs_something_held(log: Log) {
    let operator = operator(Arc::clone(&log));
    let clear = operator.look(&key("a")).await.unwrap();
    assert_eq!((clear.gate.version, clear.gate.state()), (0, State::Cleared));
    for outcome in [
        operator.retry(&clear, "").await,
        operator.skip(&clear, "").await,
        operator.park(&clear, "").await,
        operator.discard_through(&clear, Index::MAX, "").await,
        operator.edit(&clear, None, Headers::default(), "").await,
    ] {
        assert_eq!(refusal(outcome), OperatorRefusal::NothingHeld);
    }
    assert_eq!(refusal(operator.resume(&clear, "").await), OperatorRefusal::NotParked);
    let void = operator.void_conflict(&clear, (Index::MIN, None), "").await;
    assert_eq!(refusal(void), OperatorRefusal::NoSuchConflict);
    assert!(operator.inspect(&clear.key).await.unwrap().is_none());
}

// An operator's actions whose answers are lost are found out about, and done once.
#[tokio::test(start_paused = true)]
async fn an_action_whose_answer_was_lost_is_done_once() {
    use ordered_consumer::testing::{FaultyFailureLog, LogFault};
    let world = World::with(&["a1", "a2"]);
    let handler = Scripted::new(|_, _| Act::Permanent);
    let running = world.start(&handler);
    let seen = world.until("it is parked", "a", |gate| gate.gate.held_events == 2).await;
    running.stop().await;
    let log = FaultyFailureLog::new(world.log.clone());
    log.fail_next(2, LogFault::UnknownWritten);
    ordered_consumer_tests::world::operator(log.clone()).skip(&seen, "wrong").await.unwrap();
    assert_eq!(world.gate("a").await.gate.head, Some(Index::new(1)), "a2 was not skipped, too");
    assert_eq!(world.operator().audit(None, 10).await.unwrap().len(), 1);
}
