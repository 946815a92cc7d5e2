//! Scenarios 47 to 50: operators get what they asked for, or are told that they did not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ordered_consumer::{
    ConsumerName, FailureLog, GatedEntity, Headers, Index, Limits, OperatorError, ParkCause, Request,
    RetryPolicy,
    gate::{Action, Guard, Input, Operation, OperatorRefusal, Reply, Settings, State},
};
use ordered_consumer_tests::{
    Act, Latch, Running, Scripted, World, eventually,
    world::{NAME, seconds},
};

/// What the operator's API does not have yet, asked of the log itself.
async fn operate(world: &World, seen: &GatedEntity, action: Action) -> Reply {
    let operation = Operation {
        action,
        index: seen.gate.head,
        version: seen.gate.version,
        by: "ann".into(),
        why: "a test".into(),
        request_id: None,
    };
    let request =
        Request { key: seen.key.clone(), guard: Guard::Unguarded, input: Input::Operate(operation) };
    let settings = Settings {
        release_window: 10,
        redelivery_timeout: Duration::from_secs(30),
        claim_timeout: Duration::from_secs(30),
        attempts_max: 15,
        held_events_max: u64::MAX,
        held_bytes_max: u64::MAX,
    };
    let name = ConsumerName::new(NAME).unwrap_or_else(|_| unreachable!("it is a name"));
    match world.log.apply(&name, &settings, &[request]).await {
        Ok(answers) => answers.answers[0].reply.clone(),
        Err(error) => unreachable!("a log in memory answers: {error}"),
    }
}

fn refusal(error: OperatorError) -> OperatorRefusal {
    let OperatorError::Refused(refusal) = error else { unreachable!("{error}") };
    refusal
}

// Scenario 47.
#[tokio::test(start_paused = true)]
async fn what_changes_the_head_is_refused_while_it_runs_and_says_so() {
    let world = World::with(&["a1", "a2"]);
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |text, attempt| match (text, attempt) {
            ("a1", 1) => Act::Fail("once"),
            ("a1", _) => Act::wait(&latch),
            _ => Act::Succeed,
        }
    });
    let running = world.start(&handler);
    let seen = world.until("it runs", "a", |gate| gate.gate.state() == State::Running).await;
    let operator = running.operator("ann").unwrap();
    assert_eq!(refusal(operator.skip(&seen, "").await.unwrap_err()), OperatorRefusal::Running);
    assert_eq!(refusal(operator.retry(&seen, "").await.unwrap_err()), OperatorRefusal::Running);
    let discard = operate(&world, &seen, Action::DiscardThrough(Index::MAX)).await;
    assert_eq!(discard, Reply::OperatorRefused(OperatorRefusal::Running));
    let edit = operate(&world, &seen, Action::Edit { payload: None, headers: Headers::default() }).await;
    assert_eq!(edit, Reply::OperatorRefused(OperatorRefusal::Running));
    assert!(OperatorRefusal::Running.to_string().contains("running at this moment"));
    let audit = operator.audit(None, 10).await.unwrap();
    assert_eq!(audit.len(), 4, "refused actions leave a line, too");
    assert!(audit.iter().all(|line| line.audit.outcome == Err(OperatorRefusal::Running)));
    latch.open();
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2"]);
}

// Scenario 48.
#[tokio::test(start_paused = true)]
async fn of_a_retry_and_a_skip_at_once_one_wins_and_the_other_is_told() {
    let world = World::with(&["a1", "a2"]);
    let open = Arc::new(AtomicBool::new(false));
    let handler = Scripted::new({
        let open = Arc::clone(&open);
        move |text, _| Act::succeed_if(text != "a1" || open.load(Ordering::SeqCst))
    });
    let consumer = world.consumer(&handler).with_retry_policy(RetryPolicy::none());
    let running = Running::start(consumer, world.source());
    let seen = world.until("it is parked", "a", |gate| gate.gate.held_events == 2).await;
    running.stop().await;
    open.store(true, Ordering::SeqCst);
    let (ann, bob) = (world.operator(), world.operator());
    let (retried, skipped) = tokio::join!(ann.retry(&seen, "again"), bob.skip(&seen, "no"));
    let won = [retried.is_ok(), skipped.is_ok()];
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    let lost = refusal(retried.err().or(skipped.err()).unwrap());
    assert!(matches!(lost, OperatorRefusal::Stale { .. }), "{lost:?}");
    assert!(lost.to_string().contains("look again"), "{lost}");
    let running = world.start(&handler);
    eventually("it goes on", || handler.runs.has("a2")).await;
    assert_eq!(handler.runs.has("a1"), won[0]);
    running.stop().await;
}

// Scenario 49.
#[tokio::test(start_paused = true)]
async fn an_edited_event_is_retried_as_edited_and_its_original_is_a_duplicate() {
    let world = World::with(&["a1", "a2"]);
    let handler = Scripted::new(|text, _| Act::succeed_if(text != "a1"));
    let consumer = world.consumer(&handler).with_retry_policy(RetryPolicy::none());
    let running = Running::start(consumer, world.source());
    let seen = world.until("both are logged", "a", |gate| gate.gate.held_events == 2).await;
    let payload = Some("a1 as it should be".into());
    let edited = operate(&world, &seen, Action::Edit { payload, headers: Headers::default() }).await;
    assert!(matches!(edited, Reply::Operated { .. }), "{edited:?}");
    world.broker.redeliver(NAME, &world.stream(0), Index::MIN).unwrap();
    eventually("the original came again", || running.stats().duplicates == 2).await;
    eventually("all are handled", || handler.runs.has("a2")).await;
    running.stop().await;
    assert_eq!(handler.runs.began(), ["a1", "a1 as it should be", "a2"]);
    assert!(world.gates().await.is_empty(), "the original is no conflict");
}

// Scenario 50, in small: paced by the limit on running retries.
#[tokio::test(start_paused = true)]
async fn many_parked_entities_that_are_retried_at_once_run_no_more_at_a_time_than_may() {
    let world = World::with(&[]);
    for number in 0..1_000 {
        world.send_to(&format!("e{number}"), &format!("e{number}"));
    }
    let open = Arc::new(AtomicBool::new(false));
    let handler = Scripted::new({
        let open = Arc::clone(&open);
        move |_, _| match open.load(Ordering::SeqCst) {
            false => Act::Permanent,
            true => Act::Sleep(Duration::from_millis(100)),
        }
    });
    let limits = Limits { retries_running_max: 25, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
    eventually("all are parked", || running.stats().parked == 1_000).await;
    open.store(true, Ordering::SeqCst);
    let operator = running.operator("ann").unwrap();
    for seen in world.gates().await {
        operator.retry(&seen, "it is back").await.unwrap();
    }
    world.until_done(&handler.runs).await;
    running.stop().await;
    let mut moments: Vec<(usize, i32)> = Vec::new();
    for run in handler.runs.runs().iter().filter(|run| run.context.redelivered) {
        moments.extend([(run.began, 1), (run.ended.unwrap(), -1)]);
    }
    moments.sort_unstable();
    let mut at_once = 0;
    let most = moments
        .iter()
        .map(|(_, change)| {
            at_once += change;
            at_once
        })
        .max();
    assert_eq!(most, Some(25));
}

// An operator's pause of a clear entity is heard of on an owned stream, too: what comes afterwards is held.
#[tokio::test(start_paused = true)]
async fn an_entity_that_is_paused_while_it_is_clear_is_held_from_the_next_refresh_on() {
    let world = World::with(&["a1"]);
    let handler = Scripted::calm();
    let running = world.start(&handler);
    world.until_done(&handler.runs).await;
    let clear = GatedEntity {
        key: world.key("a"),
        gate: ordered_consumer::gate::Gate::default(),
        now: ordered_consumer::Timestamp::default(),
    };
    assert!(matches!(operate(&world, &clear, Action::Pause).await, Reply::Operated { .. }));
    tokio::time::sleep(Duration::from_secs(6)).await;
    world.send(&["a2", "a3", "b1"]);
    let paused = world.until("both are held", "a", |gate| gate.gate.held_events == 2).await;
    assert_eq!(paused.gate.parked, Some(ParkCause::Operator));
    assert_eq!(handler.runs.succeeded_of("a"), ["a1"]);
    assert!(matches!(operate(&world, &paused, Action::Resume).await, Reply::Operated { .. }));
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded_of("a"), ["a1", "a2", "a3"]);
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

// One sentence says what is the matter.
#[tokio::test(start_paused = true)]
async fn explain_says_what_failed_when_it_is_tried_next_and_how_many_wait() {
    let world = World::with(&["a1", "a2", "a3"]);
    let handler = Scripted::new(|_, _| Act::Fail("card refused"));
    let consumer = world.consumer(&handler).with_retry_policy(seconds().attempts_max(2));
    let running = Running::start(consumer, world.source());
    world.until("all are logged", "a", |gate| gate.gate.held_events == 3).await;
    let waiting = running.operator("ann").unwrap().explain("a").await.unwrap();
    assert!(waiting.contains("card refused") && waiting.contains('2'), "{waiting}");
    world.until("it is parked", "a", |gate| gate.gate.parked.is_some()).await;
    let parked = world.operator().explain("a").await.unwrap();
    assert!(parked.contains("parked") && parked.contains("card refused"), "{parked}");
    let clear = world.operator().explain("b").await.unwrap();
    assert!(clear.contains("nothing is held"), "{clear}");
    running.stop().await;
}
