//! Scenarios 39 to 41 and 44 to 46, and what a handler's error can ask for.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use ordered_consumer::{Index, Limits, Outcome, ParkCause, RetryPolicy, Timeouts, gate::State};
use ordered_consumer_tests::{
    Act, Latch, RunEnd, Running, Scripted, World, eventually,
    world::{NAME, seconds},
};

// Scenario 39.
#[tokio::test(start_paused = true)]
async fn an_event_that_comes_again_while_its_retry_runs_is_done_with_and_runs_once() {
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
    eventually("the retry runs", || handler.runs.times("a1") == 2).await;
    world.broker.redeliver(NAME, &world.stream(0), Index::MIN).unwrap();
    eventually("both came again", || running.stats().duplicates == 2).await;
    latch.open();
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!(handler.runs.began(), ["a1", "a1", "a2"]);
}

// Scenario 39: two retries of the same event.
#[tokio::test(start_paused = true)]
async fn however_many_processes_retry_an_event_runs_in_one_of_them() {
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
    let timeouts = || Timeouts { handler: Duration::from_secs(3_600), ..Timeouts::default() };
    let running = Running::start(world.consumer(&handler).with_timeouts(timeouts()), world.source());
    let others = [(); 3]
        .map(|()| Running::start_retries(Arc::new(world.consumer(&handler).with_timeouts(timeouts()))));
    eventually("the retry runs", || handler.runs.times("a1") == 2).await;
    // Its claim would have run out many times, were it not renewed.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(handler.runs.times("a1"), 2);
    latch.open();
    world.until_done(&handler.runs).await;
    for other in others {
        other.stop().await;
    }
    running.stop().await;
    assert_eq!(handler.runs.began(), ["a1", "a1", "a2"]);
}

// Scenario 40.
#[tokio::test(start_paused = true)]
async fn a_last_attempt_that_succeeds_while_somebody_parks_resolves_the_head_and_the_next_stays_parked() {
    for succeeds in [true, false] {
        let world = World::with(&["a1", "a2"]);
        let latch = Latch::new();
        let handler = Scripted::new({
            let latch = latch.clone();
            move |text, attempt| match (text, attempt, succeeds) {
                ("a1", 1, _) => Act::Fail("once"),
                ("a1", _, false) => Act::wait_and_fail(&latch),
                _ => Act::wait(&latch),
            }
        });
        let consumer = world.consumer(&handler).with_retry_policy(seconds().attempts_max(2));
        let running = Running::start(consumer, world.source());
        let seen = world.until("it runs", "a", |gate| gate.gate.state() == State::Running).await;
        world.operator().park(&seen, "wait for the supplier").await.unwrap();
        latch.open();
        let resolved = u64::from(succeeds);
        let ended = || running.stats().resolved == resolved && running.stats().failed == 2 - resolved;
        eventually("the run has ended", ended).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let gate = world.gate("a").await.gate;
        assert_eq!(gate.parked, Some(ParkCause::Operator));
        assert_eq!(gate.head.unwrap().get(), u128::from(resolved), "the next one, if it was resolved");
        assert_eq!(handler.runs.times("a2"), 0);
        running.stop().await;
    }
}

// Scenario 41, in small; the benchmark program does it with 200,000 and a million, and measures memory and latency.
#[tokio::test(start_paused = true)]
async fn ten_thousand_held_events_of_one_entity_drain_in_order_while_others_are_handled() {
    let world = World::with(&[]);
    for number in 1..=10_000 {
        world.send_to("a", &format!("a{number}"));
    }
    let open = Arc::new(AtomicBool::new(false));
    let handler = Scripted::new({
        let open = Arc::clone(&open);
        move |text, _| Act::succeed_if(text != "a1" || open.load(Ordering::SeqCst))
    });
    let running = world.start(&handler);
    world.until("all are held", "a", |gate| gate.gate.held_events == 10_000).await;
    open.store(true, Ordering::SeqCst);
    eventually("the drain has begun", || handler.runs.has("a2")).await;
    world.send(&["b1"]);
    eventually("the other is handled", || handler.runs.has("b1")).await;
    world.until_done(&handler.runs).await;
    running.stop().await;
    world.assert_order(&handler.runs);
    assert_eq!(handler.runs.succeeded_of("a").len(), 10_000);
}

// Scenario 44: never returns, panics, panics in Drop. Each is a failure like another, and parks in the end.
#[tokio::test(start_paused = true)]
async fn a_handler_that_never_returns_or_panics_fails_and_parks_and_others_go_on() {
    for (act, class) in [(Act::Never, "timeout"), (Act::Panic, "panic"), (Act::PanicInDrop, "panic")] {
        let world = World::with(&["a1", "b1", "a2", "b2"]);
        let handler = Scripted::new({
            let act = act.clone();
            move |text, _| if text == "a1" { act.clone() } else { Act::Succeed }
        });
        let consumer = world.consumer(&handler).with_retry_policy(seconds().attempts_max(3));
        let running = Running::start(consumer, world.source());
        eventually("the other goes on", || handler.runs.has("b2")).await;
        let parked = world.until("it is parked", "a", |gate| gate.gate.parked.is_some()).await;
        assert_eq!((parked.gate.parked, parked.gate.held_events), (Some(ParkCause::Exhausted), 2));
        assert_eq!(&*parked.gate.last_failure.as_ref().unwrap().class, class, "{act:?}");
        assert_eq!(handler.runs.attempts("a1"), [1, 2, 3]);
        world.operator().skip(&parked, "it cannot be handled").await.unwrap();
        eventually("and what it held", || handler.runs.has("a2")).await;
        running.stop().await;
        assert_eq!(handler.runs.ended("a1", RunEnd::Succeeded), 0);
    }
}

// Scenario 44: panics in Drop when it is dropped by a shutdown.
#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_when_a_shutdown_drops_it_takes_nothing_with_it() {
    let world = World::with(&["a1", "b1"]);
    let handler = Scripted::new(|text, _| if text == "a1" { Act::PanicInDrop } else { Act::Succeed });
    let running = world.start(&handler);
    eventually("both have begun", || handler.runs.has("b1") && handler.runs.times("a1") == 1).await;
    running.stop().await;
    let again = world.start(&handler.beside(|_, _| Act::Succeed));
    world.until_done(&handler.runs).await;
    again.stop().await;
}

// Scenario 44: blocks its thread. The watchdog looks by the system's clock, and the test waits for what it counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_its_thread_is_counted_and_others_go_on() {
    let world = World::with(&[]);
    let (release, blocked) = mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let handler = Scripted::new(
        move |text, _| {
            if text == "a1" { Act::Block(Arc::clone(&blocked)) } else { Act::Succeed }
        },
    );
    let limits = Limits { workers: 2, ..Limits::default() };
    let timeouts = Timeouts { blocked: Duration::from_millis(20), ..Timeouts::default() };
    let consumer = world.consumer(&handler).with_limits(limits).with_timeouts(timeouts);
    let running = Running::start(consumer, world.source());
    world.send(&["a1"]);
    eventually("it is counted", || running.stats().blocked == 1).await;
    // Of so many entities, some share the other worker.
    for number in 0..64 {
        world.send_to(&format!("e{number}x"), &format!("e{number}x1"));
    }
    eventually("others go on", || running.stats().handled >= 8).await;
    drop(release);
    world.until_done(&handler.runs).await;
    running.stop().await;
}

// Scenario 45.
#[tokio::test(start_paused = true)]
async fn when_the_downstream_is_away_the_stream_pauses_and_probes_and_nothing_ends_in_the_log() {
    let world = World::with(&[]);
    for number in 0..2_000 {
        world.send_to(&format!("e{number}"), &format!("e{number}"));
    }
    let away = Arc::new(AtomicBool::new(true));
    let handler = Scripted::new({
        let away = Arc::clone(&away);
        move |_, _| if away.load(Ordering::SeqCst) { Act::Unavailable } else { Act::Succeed }
    });
    let limits = Limits { running_max: 50, workers: 2, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
    tokio::time::sleep(Duration::from_secs(600)).await;
    let probes = handler.runs.runs().len();
    assert!((20..200).contains(&probes), "{probes} runs in ten minutes: the first ones, and probes");
    assert_eq!((running.stats().outages, running.stats().failed, running.stats().handled), (1, 0, 0));
    assert!(world.gates().await.is_empty());
    away.store(false, Ordering::SeqCst);
    world.until_done(&handler.runs).await;
    assert_eq!(running.stats().handled, 2_000);
    running.stop().await;
    assert!(handler.runs.runs().iter().all(|run| run.context.attempt == 1), "no attempt is counted");
    world.assert_order(&handler.runs);
}

// Scenario 45, for a retry: no attempt is counted there either.
#[tokio::test(start_paused = true)]
async fn a_retry_that_finds_its_downstream_away_is_given_back_without_counting_an_attempt() {
    let world = World::with(&["a1", "a2"]);
    let away = Arc::new(AtomicBool::new(true));
    let handler = Scripted::new({
        let away = Arc::clone(&away);
        move |text, attempt| match (text, attempt) {
            ("a1", 1) => Act::Fail("once"),
            ("a1", _) if away.load(Ordering::SeqCst) => Act::Unavailable,
            _ => Act::Succeed,
        }
    });
    let consumer = world.consumer(&handler).with_retry_policy(seconds().attempts_max(3));
    let running = Running::start(consumer, world.source());
    eventually("it was tried often", || handler.runs.times("a1") == 10).await;
    assert_eq!(world.gate("a").await.gate.parked, None);
    away.store(false, Ordering::SeqCst);
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert!(handler.runs.attempts("a1")[1..].iter().all(|attempt| *attempt == 2));
}

// Scenario 46.
#[tokio::test(start_paused = true)]
async fn ten_thousand_quiet_entities_do_not_notice_a_hot_failing_one() {
    let world = World::with(&[]);
    for number in 0..10_000_u32 {
        world.send_to(&format!("e{number}x"), &format!("e{number}x1"));
        if number.is_multiple_of(4) {
            world.send_to("hot", &format!("hot{}", number / 4));
        }
    }
    let handler = Scripted::new(|text, _| Act::succeed_if(!text.starts_with("hot")));
    let began = tokio::time::Instant::now();
    let running = world.start(&handler);
    eventually("all quiet ones are handled", || running.stats().handled == 10_000).await;
    // By the paused clock: they waited for none of the hot one's backoffs, of which the first takes a second.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    eventually("the hot one's are held", || running.stats().held == 2_499).await;
    assert_eq!(world.gates().await.len(), 1);
    running.stop().await;
}

// What errors ask for: `permanent`.
#[tokio::test(start_paused = true)]
async fn a_permanent_error_parks_at_once_and_holds_what_follows() {
    let world = World::with(&["a1", "a2", "b1"]);
    let handler = Scripted::new(|text, _| if text == "a1" { Act::Permanent } else { Act::Succeed });
    let running = world.start(&handler);
    eventually("all are done with", || world.broker.lag(NAME) == 0).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let gate = world.gate("a").await.gate;
    assert_eq!((gate.parked, gate.held_events, gate.due_at), (Some(ParkCause::Permanent), 2, None));
    assert_eq!(handler.runs.attempts("a1"), [1]);
    assert_eq!(running.stats().parked, 1);
    running.stop().await;
}

// What errors ask for: `ignore`, at the first attempt and at a later one.
#[tokio::test(start_paused = true)]
async fn an_ignored_event_is_resolved_counted_and_audited() {
    let world = World::with(&["a1", "a2", "b1", "b2"]);
    let handler = Scripted::new(|text, attempt| match (text, attempt) {
        ("a1", _) | ("b1", 2) => Act::Ignore,
        ("b1", _) => Act::Fail("once"),
        _ => Act::Succeed,
    });
    let running = world.start(&handler);
    world.until_done(&handler.runs).await;
    assert_eq!((running.stats().ignored, running.stats().parked), (2, 0));
    let audit = world.operator().audit(None, 10).await.unwrap();
    let lines: Vec<_> = audit.iter().map(|line| (line.audit.action, &*line.audit.by)).collect();
    assert_eq!(lines, [("ignore", "handler"), ("ignore", "handler")]);
    assert!(audit.iter().all(|line| line.audit.why.contains("of no interest")), "{audit:?}");
    running.stop().await;
    assert_eq!(handler.runs.succeeded().len(), 4);
}

// What errors ask for: `retry_after`.
#[tokio::test(start_paused = true)]
async fn retry_after_has_the_event_tried_again_when_it_says_and_counts_the_attempt() {
    let world = World::with(&[]);
    let handler = Scripted::new(|_, attempt| match attempt {
        1 => Act::RetryAfter(Duration::from_secs(77)),
        _ => Act::Succeed,
    });
    let consumer = Arc::new(world.consumer(&handler));
    let event = ordered_consumer::Event::builder(world.stream(0), Index::MIN, "a").payload("a1").build();
    let Ok(Outcome::RetryScheduled { due_at }) = consumer.process(event).await else {
        panic!("it is retried")
    };
    let gate = world.gate("a").await;
    assert_eq!(due_at.since(gate.now), Duration::from_secs(77));
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("it is handled", || handler.runs.has("a1")).await;
    retries.stop().await;
    assert_eq!(handler.runs.attempts("a1"), [1, 2]);
}

// Attempts that are used up park, whatever came in between; an operator's retry counts anew.
#[tokio::test(start_paused = true)]
async fn attempts_are_counted_over_restarts_and_an_operators_retry_counts_anew() {
    let world = World::with(&["a1", "a2"]);
    let handler = Scripted::new(|text, _| Act::succeed_if(text != "a1"));
    let policy = || RetryPolicy::fixed(Duration::from_secs(10)).immediate(0).jitter(0.0).attempts_max(4);
    for attempts in 1..=4 {
        let running = Running::start(world.consumer(&handler).with_retry_policy(policy()), world.source());
        eventually("it was tried", || handler.runs.times("a1") >= attempts).await;
        world.until("it is logged", "a", |gate| gate.gate.claim.is_none()).await;
        running.stop().await;
    }
    let running = Running::start(world.consumer(&handler).with_retry_policy(policy()), world.source());
    let parked = world.until("it is parked", "a", |gate| gate.gate.parked.is_some()).await;
    assert_eq!(handler.runs.attempts("a1"), [1, 2, 3, 4]);
    world.operator().retry(&parked, "the supplier is back").await.unwrap();
    eventually("it is tried anew", || handler.runs.times("a1") == 8).await;
    assert_eq!(handler.runs.attempts("a1")[4..], [1, 2, 3, 4]);
    running.stop().await;
}
