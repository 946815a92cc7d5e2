//! Whatever operators do leaves a line: who, what, why, and what was there before and after.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{sync::Arc, time::Duration};

use ordered_consumer::{
    BY_BYTES_MAX, ConsumerName, Headers, Index, Operator, OperatorError, Outcome, ParkCause, StreamDecision,
    Timeouts, WHY_BYTES_MAX, gate::State,
};
use ordered_consumer_tests::{
    Act, Running, Scripted, World, eventually, on_both_logs,
    operating::{Log, event, gate, key, quick, refusal},
    world::{NAME, gates, operator},
};

on_both_logs!(
    every_action_refused_or_not_leaves_a_line_with_who_what_and_why,
    every_line_has_what_was_there_before_and_after,
    an_ignored_event_leaves_a_line_whether_it_ran_first_or_came_back,
    texts_are_kept_up_to_their_limits_and_refused_beyond,
    a_conflict_is_shown_voided_by_name_and_the_entity_goes_on_when_it_is_resumed,
);

async fn every_action_refused_or_not_leaves_a_line_with_who_what_and_why(log: Log) {
    let handler = Scripted::new(|_, _| Act::Permanent);
    let consumer = quick(&handler, &log);
    for index in 1..=5 {
        consumer.process(event(index, "a")).await.unwrap();
    }
    let operator = operator(Arc::clone(&log));
    let seen = gate(&log).await;
    operator.retry(&seen, "first").await.unwrap();
    refusal(operator.park(&seen, "second").await);
    operator.park(&gate(&log).await, "third").await.unwrap();
    operator.skip(&gate(&log).await, "fourth").await.unwrap();
    let now = async || gate(&log).await;
    operator.discard_through(&now().await, Index::new(3), "fifth").await.unwrap();
    operator.edit(&now().await, None, Headers::default(), "sixth").await.unwrap();
    operator.pause(&now().await, "seventh").await.unwrap();
    operator.resume(&now().await, "eighth").await.unwrap();
    operator.note(&now().await, "ninth").await.unwrap();
    refusal(operator.void_conflict(&now().await, (Index::new(4), None), "tenth").await);
    let lines = operator.audit(Some(&seen.key), 100).await.unwrap();
    let told: Vec<_> = lines.iter().rev().map(|line| (line.audit.action, &*line.audit.why)).collect();
    let expected = [
        ("retry", "first"),
        ("park", "second"),
        ("park", "third"),
        ("skip", "fourth"),
        ("discard", "fifth"),
        ("edit", "sixth"),
        ("pause", "seventh"),
        ("resume", "eighth"),
        ("note", "ninth"),
        ("void", "tenth"),
    ];
    assert_eq!(told, expected);
    assert!(lines.iter().all(|line| &*line.audit.by == "ann" && line.key == seen.key));
    let refused: Vec<bool> = lines.iter().rev().map(|line| line.audit.outcome.is_err()).collect();
    assert_eq!(refused, [false, true, false, false, false, false, false, false, false, true]);
    let indexes: Vec<u128> = lines.iter().rev().map(|line| line.audit.index.unwrap().get()).collect();
    assert_eq!(indexes, [1, 1, 1, 1, 3, 4, 4, 4, 4, 4]);
    assert!(lines.windows(2).all(|pair| pair[0].at >= pair[1].at), "latest first");
    assert_eq!(operator.audit(None, 3).await.unwrap().len(), 3, "at most so many");
}

async fn every_line_has_what_was_there_before_and_after(log: Log) {
    let handler = Scripted::new(|_, _| Act::Permanent);
    let consumer = quick(&handler, &log);
    for index in 1..=3 {
        consumer.process(event(index, "a")).await.unwrap();
    }
    let operator = operator(Arc::clone(&log));
    let parked = gate(&log).await;
    operator.skip(&parked, "away").await.unwrap();
    let left = gate(&log).await;
    refusal(operator.retry(&parked, "late").await);
    let lines = operator.audit(Some(&parked.key), 10).await.unwrap();
    let (refused, skipped) = (&lines[0].audit, &lines[1].audit);
    assert_eq!((skipped.before, skipped.after), (Some(parked.gate.summary()), Some(left.gate.summary())));
    assert_eq!((refused.before, refused.after), (Some(left.gate.summary()), Some(left.gate.summary())));
    let before = skipped.before.unwrap();
    let (state, cause) = (before.state, before.parked);
    assert_eq!((state, cause, before.attempts), (State::Parked, Some(ParkCause::Permanent), 1));
    assert_eq!((before.head, before.held_events), (Some(Index::new(1)), 3));
    let clear = operator.look(&key("b")).await.unwrap();
    operator.pause(&clear, "not now").await.unwrap();
    let line = operator.audit(Some(&clear.key), 1).await.unwrap().remove(0).audit;
    assert_eq!((line.before, line.after.unwrap().state), (None, State::Paused));
}

async fn an_ignored_event_leaves_a_line_whether_it_ran_first_or_came_back(log: Log) {
    let handler = Scripted::new(|text, attempt| match (text, attempt) {
        ("a1", _) | ("a2", 2) => Act::Ignore,
        ("a2", _) => Act::Fail("not yet"),
        _ => Act::Succeed,
    });
    let consumer = quick(&handler, &log);
    assert_eq!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::Ignored);
    assert!(gates(&log).await.is_empty());
    assert!(matches!(consumer.process(event(2, "a2")).await.unwrap(), Outcome::RetryScheduled { .. }));
    assert_eq!(consumer.process(event(3, "a3")).await.unwrap(), Outcome::Held);
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("what came behind is handled", || handler.runs.has("a3")).await;
    retries.stop().await;
    let lines = consumer.operator("ann").unwrap().audit(None, 10).await.unwrap();
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line.audit.action, &*line.audit.by, line.audit.index.map(Index::get)))
        .collect();
    assert_eq!(told, [("ignore", "handler", Some(2)), ("ignore", "handler", Some(1))]);
    assert!(lines.iter().all(|line| line.audit.why.contains("of no interest")));
    assert_eq!(consumer.stats().ignored, 2);
}

async fn texts_are_kept_up_to_their_limits_and_refused_beyond(log: Log) {
    let by = |bytes: usize| {
        let name = ConsumerName::new(NAME).unwrap();
        Operator::new(Arc::clone(&log), name, "é".repeat(bytes / 2) + &"a".repeat(bytes % 2))
    };
    let (ann, why) = (by(BY_BYTES_MAX), "w".repeat(WHY_BYTES_MAX));
    let seen = ann.look(&key("a")).await.unwrap();
    ann.note(&seen, &why).await.unwrap();
    let line = ann.audit(None, 10).await.unwrap().remove(0);
    assert_eq!((line.audit.by.len(), &*line.audit.why), (BY_BYTES_MAX, &*why));
    let long = ann.note(&seen, why.clone() + "w").await.unwrap_err();
    assert!(
        matches!(long, OperatorError::TextTooLong { what: "reason", bytes, max: WHY_BYTES_MAX } if bytes == WHY_BYTES_MAX + 1)
    );
    assert!(long.to_string().contains("the reason has 4097 bytes, and at most 4096 are kept"), "{long}");
    let long = by(BY_BYTES_MAX + 1).pause(&seen, "").await.unwrap_err();
    assert!(matches!(long, OperatorError::TextTooLong { what: "operator's name", .. }), "{long}");
    let nul = ann.note(&seen, "a\0b").await.unwrap_err();
    assert!(matches!(nul, OperatorError::TextWithNul { what: "reason" }), "{nul}");
    let nul = ann.decide_stream(&seen.key.stream, StreamDecision::Replay, "\0").await.unwrap_err();
    assert!(matches!(nul, OperatorError::TextWithNul { .. }), "{nul}");
    assert_eq!(ann.audit(None, 10).await.unwrap().len(), 1, "what was not done leaves no line");
    assert!(gates(&log).await.is_empty());
}

async fn a_conflict_is_shown_voided_by_name_and_the_entity_goes_on_when_it_is_resumed(log: Log) {
    let handler = Scripted::new(|_, attempt| Act::succeed_if(attempt > 1));
    let consumer = quick(&handler, &log);
    consumer.process(event(1, "a1")).await.unwrap();
    consumer.process(event(2, "a2")).await.unwrap();
    for text in ["another", "a third"] {
        assert_eq!(consumer.process(event(2, text)).await.unwrap(), Outcome::Parked(ParkCause::Conflict));
    }
    let operator = operator(Arc::clone(&log));
    let inspection = operator.inspect(&key("a")).await.unwrap().unwrap();
    assert_eq!(inspection.conflicts.len(), 2);
    let another = inspection.conflicts.iter().find(|event| event.payload().unwrap() == "another").unwrap();
    let named = (another.index(), Some(another.digest()));
    operator.void_conflict(&inspection.entity, named, "sent twice").await.unwrap();
    let left = operator.inspect(&key("a")).await.unwrap().unwrap();
    assert_eq!(left.conflicts.len(), 1);
    assert_eq!(left.conflicts[0].payload().unwrap(), "a third");
    operator.void_conflict(&left.entity, (Index::new(2), None), "that one, too").await.unwrap();
    let left = gate(&log).await;
    assert_eq!((left.gate.conflicts, left.gate.parked), (0, Some(ParkCause::Conflict)), "it stays parked");
    operator.resume(&left, "the logged one is right").await.unwrap();
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("both are handled", || retries.stats().resolved == 2).await;
    retries.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2"]);
}

// By the log's clock, whether the consumer has a source or only retries.
#[tokio::test(start_paused = true)]
async fn a_running_consumer_drops_lines_that_are_older_than_the_retention() {
    let world = World::with(&["a1"]);
    let (handler, operator) = (Scripted::calm(), world.operator());
    let lines = async || operator.audit(None, 10).await.unwrap().len();
    operator.note(&operator.look(&world.key("a")).await.unwrap(), "old").await.unwrap();
    let day = Duration::from_secs(86_400);
    let timeouts = Timeouts { audit_retention: 2 * day, ..Timeouts::default() };
    let running = Running::start(world.consumer(&handler).with_timeouts(timeouts.clone()), world.source());
    tokio::time::sleep(day).await;
    assert_eq!(lines().await, 1, "it is young still");
    operator.note(&operator.look(&world.key("a")).await.unwrap(), "young").await.unwrap();
    tokio::time::sleep(day + Duration::from_secs(3_600)).await;
    assert_eq!(lines().await, 1);
    assert_eq!(&*operator.audit(None, 10).await.unwrap()[0].audit.why, "young");
    running.stop().await;
    let retries = Running::start_retries(Arc::new(world.consumer(&handler).with_timeouts(timeouts)));
    tokio::time::sleep(2 * day).await;
    assert_eq!(lines().await, 0);
    retries.stop().await;
}
