//! Scenarios 47 to 49: operators get what they asked for, or are told that they did not.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ordered_consumer::{
    Event, FailureLog, GatedEntity, Headers, Index, OperatorError, OrderedConsumer, Outcome, ParkCause,
    Request, StreamName,
    gate::{Action, Guard, Input, Operation, OperatorRefusal, Reply, Settings, State},
};
use ordered_consumer_tests::{
    Act, Latch, Running, Scripted, World, eventually, on_both_logs,
    world::{NAME, TOPIC, at_once, consumer, gates, operator, seconds},
};

on_both_logs!(
    while_the_head_runs_skip_and_retry_are_refused_and_say_so_and_the_run_counts,
    an_entity_parked_while_its_head_runs_and_succeeds_stays_parked_with_the_next,
    an_entity_parked_while_its_head_runs_and_fails_stays_parked_with_that_failure,
    of_a_retry_and_a_skip_at_once_one_wins_and_the_other_is_told,
    an_edited_payload_is_what_runs_and_the_original_is_a_duplicate_when_it_comes_again,
    what_an_operator_saw_long_ago_is_refused_and_nothing_is_changed,
    a_request_that_is_made_again_gets_its_first_outcome,
    every_action_refused_or_not_leaves_a_line_with_who_what_and_why,
    an_ignored_event_leaves_a_line_whether_it_ran_first_or_came_back,
    explain_says_what_is_the_matter_in_each_state,
);

type Log = Arc<dyn FailureLog>;

fn event(index: u128, text: &str) -> Event {
    let stream = StreamName::new("orders/0").unwrap();
    Event::builder(stream, Index::new(index), text[..1].to_owned()).payload(text.to_owned()).build()
}

fn quick(handler: &Scripted, log: &Log) -> Arc<OrderedConsumer<Scripted>> {
    Arc::new(consumer(handler, Arc::clone(log)).with_retry_policy(at_once()))
}

/// The only gate there is.
async fn gate(log: &Log) -> GatedEntity {
    let mut gates = gates(log).await;
    assert_eq!(gates.len(), 1);
    gates.remove(0)
}

async fn until(log: &Log, what: &str, so: impl Fn(&GatedEntity) -> bool) -> GatedEntity {
    for _ in 0..6_000 {
        if let Some(gate) = gates(log).await.into_iter().find(&so) {
            return gate;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until {what}");
}

fn refusal(outcome: Result<(), OperatorError>) -> OperatorRefusal {
    match outcome {
        Err(OperatorError::Refused(refusal)) => refusal,
        other => panic!("it should have been refused: {other:?}"),
    }
}

/// `a1` has failed once and runs again until the latch is opened; `a2` waits behind it.
async fn running_head(
    log: &Log,
    second: fn(&Latch) -> Act,
) -> (Latch, Scripted, Running<Scripted>, GatedEntity) {
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |text, attempt| match (text, attempt) {
            ("a1", 1) => Act::Fail("not yet"),
            ("a1", 2) => second(&latch),
            _ => Act::Succeed,
        }
    });
    let consumer = quick(&handler, log);
    consumer.process(event(1, "a1")).await.unwrap();
    consumer.process(event(2, "a2")).await.unwrap();
    let retries = Running::start_retries(consumer);
    let seen = until(log, "it runs", |gate| gate.gate.state() == State::Running).await;
    eventually("its handler runs", || handler.runs.times("a1") == 2).await;
    (latch, handler, retries, seen)
}

async fn while_the_head_runs_skip_and_retry_are_refused_and_say_so_and_the_run_counts(log: Log) {
    let (latch, handler, retries, seen) = running_head(&log, Act::wait).await;
    let operator = operator(Arc::clone(&log));
    assert_eq!(refusal(operator.skip(&seen, "away with it").await), OperatorRefusal::Running);
    let refused = operator.retry(&seen, "now").await.unwrap_err();
    assert!(refused.to_string().contains("running at this moment"), "{refused}");
    for action in
        [Action::DiscardThrough(Index::new(2)), Action::Edit { payload: None, headers: Headers::default() }]
    {
        assert_eq!(
            operate(&log, &seen, action, None).await,
            Reply::OperatorRefused(OperatorRefusal::Running)
        );
    }
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

/// What the console will do with an action that [`ordered_consumer::Operator`] has no call for yet.
async fn operate(log: &Log, seen: &GatedEntity, action: Action, request_id: Option<&str>) -> Reply {
    let operation = Operation {
        action,
        index: seen.gate.head,
        version: seen.gate.version,
        by: "ann".into(),
        why: "it was wrong".into(),
        request_id: request_id.map(Into::into),
    };
    let request =
        Request { key: seen.key.clone(), guard: Guard::Unguarded, input: Input::Operate(operation) };
    let settings = Settings {
        release_window: 500,
        redelivery_timeout: Duration::from_secs(30),
        claim_timeout: Duration::from_secs(30),
        attempts_max: u32::MAX,
        held_events_max: u64::MAX,
        held_bytes_max: u64::MAX,
    };
    let name = ordered_consumer::ConsumerName::new(NAME).unwrap();
    let answers = log.apply(&name, &settings, &[request]).await.unwrap();
    answers.answers.into_iter().next().unwrap().reply
}

async fn an_edited_payload_is_what_runs_and_the_original_is_a_duplicate_when_it_comes_again(log: Log) {
    let handler = Scripted::new(|text, _| if text == "a1" { Act::Permanent } else { Act::Succeed });
    let consumer = quick(&handler, &log);
    consumer.process(event(1, "a1")).await.unwrap();
    consumer.process(event(2, "a2")).await.unwrap();
    let seen = gate(&log).await;
    let headers: Headers = [("mended", "yes")].into_iter().collect();
    let action = Action::Edit { payload: Some(Bytes::from_static(b"mended")), headers: headers.clone() };
    assert!(matches!(operate(&log, &seen, action, None).await, Reply::Operated { .. }));
    assert_eq!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::Duplicate, "while it is logged");
    let kept = operator(Arc::clone(&log)).inspect(&seen.key).await.unwrap().unwrap().held;
    assert!(kept[0].headers() == &headers && kept[0].payload() == Some(&Bytes::from_static(b"mended")));
    assert_eq!(gate(&log).await.gate.conflicts, 0);
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("the edited event is handled", || handler.runs.succeeded() == ["mended", "a2"]).await;
    eventually("and recorded", || retries.stats().resolved == 2).await;
    retries.stop().await;
    assert_eq!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::Duplicate, "and afterwards");
    assert_eq!(handler.runs.times("a1"), 1);
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
        OperatorRefusal::Stale { current: gate_version(&log).await }
    );
}

/// The version of the only tombstone.
async fn gate_version(log: &Log) -> u64 {
    let query = ordered_consumer::GateQuery {
        state: Some(State::Cleared),
        limit: 10,
        ..ordered_consumer::GateQuery::default()
    };
    operator(Arc::clone(log)).list(&query).await.unwrap()[0].gate.version
}

async fn a_request_that_is_made_again_gets_its_first_outcome(log: Log) {
    let handler = Scripted::new(|_, _| Act::Permanent);
    let consumer = quick(&handler, &log);
    for index in 1..=3 {
        consumer.process(event(index, "a")).await.unwrap();
    }
    let seen = gate(&log).await;
    let first = operate(&log, &seen, Action::Skip, Some("request-1")).await;
    assert!(matches!(first, Reply::Operated { .. }), "{first:?}");
    assert_eq!(operate(&log, &seen, Action::Skip, Some("request-1")).await, first);
    assert_eq!(gate(&log).await.gate.head, Some(Index::new(2)), "one event is skipped");
    let refused = operate(&log, &seen, Action::Skip, Some("request-2")).await;
    assert!(matches!(refused, Reply::OperatorRefused(OperatorRefusal::Stale { .. })), "{refused:?}");
    operator(Arc::clone(&log)).skip(&gate(&log).await, "on").await.unwrap();
    assert_eq!(
        operate(&log, &seen, Action::Skip, Some("request-2")).await,
        refused,
        "with what it said then"
    );
}

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
    operate(&log, &gate(&log).await, Action::DiscardThrough(Index::new(3)), None).await;
    let edit = Action::Edit { payload: None, headers: Headers::default() };
    operate(&log, &gate(&log).await, edit, None).await;
    operate(&log, &gate(&log).await, Action::Pause, None).await;
    operate(&log, &gate(&log).await, Action::Resume, None).await;
    let lines = operator.audit(Some(&seen.key), 100).await.unwrap();
    let told: Vec<_> = lines.iter().rev().map(|line| (line.audit.action, &*line.audit.why)).collect();
    let expected = [
        ("retry", "first"),
        ("park", "second"),
        ("park", "third"),
        ("skip", "fourth"),
        ("discard", "it was wrong"),
        ("edit", "it was wrong"),
        ("pause", "it was wrong"),
        ("resume", "it was wrong"),
    ];
    assert_eq!(told, expected);
    assert!(lines.iter().all(|line| &*line.audit.by == "ann" && line.key == seen.key));
    let refused: Vec<bool> = lines.iter().rev().map(|line| line.audit.outcome.is_err()).collect();
    assert_eq!(refused, [false, true, false, false, false, false, false, false]);
    let indexes: Vec<u128> = lines.iter().rev().map(|line| line.audit.index.unwrap().get()).collect();
    assert_eq!(indexes, [1, 1, 1, 1, 3, 4, 4, 4]);
    assert!(lines.windows(2).all(|pair| pair[0].at >= pair[1].at), "latest first");
    assert_eq!(operator.audit(None, 3).await.unwrap().len(), 3, "at most so many");
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

async fn explain_says_what_is_the_matter_in_each_state(log: Log) {
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |_, attempt| if attempt == 2 { Act::wait_and_fail(&latch) } else { Act::Fail("card declined") }
    });
    let waiting = Arc::new(consumer(&handler, Arc::clone(&log)).with_retry_policy(seconds().attempts_max(2)));
    let operator = operator(Arc::clone(&log));
    let says = async |part: &str| {
        let text = operator.explain("a").await.unwrap();
        assert!(text.starts_with("Consumer billing: ") && text.contains(part), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    };
    says("nothing is held for the entity; its events flow").await;
    waiting.process(event(1, "a1")).await.unwrap();
    says("event 1 of stream orders/0 failed (1 attempt; the last failure: card declined) and is tried again")
        .await;
    says("no later event waits").await;
    for index in 2..=3 {
        waiting.process(event(index, "a")).await.unwrap();
    }
    says("2 later events wait behind it").await;
    let retries = Running::start_retries(Arc::clone(&waiting));
    eventually("it runs", || handler.runs.times("a1") == 2).await;
    says("runs at this moment").await;
    latch.open();
    let parked = until(&log, "it is parked", |gate| gate.gate.parked.is_some()).await;
    says("(2 attempts; the last failure: as the test says, after a while)").await;
    says("is parked, because its attempts or its time are used up").await;
    retries.stop().await;
    operate(&log, &parked, Action::DiscardThrough(Index::new(3)), None).await;
    says("its events flow").await;
    let cleared = GatedEntity {
        gate: ordered_consumer::gate::Gate {
            head: None,
            version: gate_version(&log).await,
            ..parked.gate.clone()
        },
        ..parked.clone()
    };
    assert!(matches!(operate(&log, &cleared, Action::Pause, None).await, Reply::Operated { .. }));
    says("an operator paused the entity on stream orders/0; what comes is held").await;
    assert_eq!(waiting.process(event(4, "a4")).await.unwrap(), Outcome::Held);
    says("event 4 of stream orders/0 waits for its turn and is parked, because an operator parked it").await;
}

// However many others are parked or paused in the stream, and wherever the entity's key sorts among them.
#[tokio::test(start_paused = true)]
async fn a_pause_behind_thousands_of_parked_entities_is_noticed() {
    let world = World::with(&["z1"]);
    let handler = Scripted::new(|text, _| if text == "p" { Act::Permanent } else { Act::Succeed });
    for number in 0..2_500 {
        world.broker.publish(TOPIC, format!("p{number}"), "p").unwrap();
    }
    let running = world.start(&handler);
    eventually("all are parked", || running.stats().parked == 2_500 && handler.runs.has("z1")).await;
    let log: Log = Arc::new(world.log.clone());
    let clear = GatedEntity {
        key: world.key("z"),
        gate: ordered_consumer::gate::Gate::default(),
        now: ordered_consumer::Timestamp::default(),
    };
    assert!(matches!(operate(&log, &clear, Action::Pause, None).await, Reply::Operated { .. }));
    // A few rounds of looking.
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.send(&["z2"]);
    eventually("it is settled", || world.broker.lag(NAME) == 0).await;
    assert_eq!((handler.runs.times("z2"), running.stats().held), (0, 1));
    running.stop().await;
}
