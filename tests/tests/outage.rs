//! Scenario 45: downstream is down. Consumption pauses and probes; the failure log does not fill with every entity.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ordered_consumer::{
    Event, Index, Limits, OrderedConsumer, OutagePolicy, Outcome, ParkCause, ProcessError, RetryPolicy,
};
use ordered_consumer_tests::{
    Act, Running, Scripted, World, eventually,
    world::{NAME, seconds},
};
use tokio::time::Instant;

/// A switch that the handler looks at.
#[derive(Clone, Default)]
struct Down(Arc<AtomicBool>);

impl Down {
    fn now(is: bool) -> Self {
        let down = Self::default();
        down.set(is);
        down
    }

    fn set(&self, is: bool) {
        self.0.store(is, Ordering::SeqCst);
    }

    fn is(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// A handler that fails while it is down, with any error, as handlers do that cannot tell.
    fn handler(&self) -> Scripted {
        let down = self.clone();
        Scripted::new(move |_, _| Act::succeed_if(!down.is()))
    }
}

fn many(world: &World, entities: usize, prefix: &str) {
    for number in 0..entities {
        let entity = format!("{prefix}{number}x");
        world.send_to(&entity, &format!("{entity}1"));
    }
}

#[tokio::test(start_paused = true)]
async fn while_downstream_is_down_for_an_hour_a_hundred_thousand_entities_do_not_end_in_the_failure_log() {
    let world = World::with_partitions(4);
    many(&world, 100_000, "e");
    let down = Down::now(true);
    let handler = down.handler();
    let began = Instant::now();
    let running = world.start(&handler);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let (runs, gates) = (handler.runs.runs().len(), world.gates().await.len());
    // For each of the four streams: 19 before it opens; then one probe every 30 s at most, of which every entity has 5.
    let probes = 4 * (3_600 / 30 + 8);
    assert!(gates <= 4 * 19 + probes / 6, "{gates} entities are in the log");
    assert!(gates >= 4 * 19, "what failed before it opened is logged: {gates}");
    // The first ones all run at once, before anybody knows; from then on it only probes.
    assert!(runs <= 4 * 1_000 + probes + gates * 10, "{runs} runs in an hour");
    assert!(world.broker.lag(NAME) >= 99_000, "the others wait with the broker");
    assert_eq!(running.stats().outages, 4);
    let parked = world.gates().await.into_iter().filter(|gate| gate.gate.parked.is_some()).count();
    assert_eq!(parked, 0, "an outage burns nobody's attempts");
    down.set(false);
    eventually("all are handled", || world.broker.lag(NAME) == 0).await;
    eventually("the log is drained", || running.stats().resolved == running.stats().retry_scheduled).await;
    assert!(began.elapsed() < Duration::from_secs(3_600 * 2 + 600), "{:?}", began.elapsed());
    running.stop().await;
    let done: HashSet<String> = handler.runs.succeeded().into_iter().collect();
    assert_eq!(done.len(), 100_000);
    world.assert_order(&handler.runs);
}

#[tokio::test(start_paused = true)]
async fn a_handful_of_bad_entities_never_opens_the_breaker() {
    let world = World::with(&[]);
    many(&world, 19, "bad");
    for round in 0..20 {
        many(&world, 20, &format!("good{round}y"));
        for number in 0..19 {
            world.send_to(&format!("bad{number}x"), &format!("bad{number}x{}", round + 2));
        }
    }
    let handler = Scripted::new(|text, _| Act::succeed_if(!text.starts_with("bad")));
    let running = world.start(&handler);
    eventually("all is taken", || world.broker.lag(NAME) == 0).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!((running.stats().outages, running.stats().handled), (0, 400));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_run_in_three_that_fails_is_no_outage_however_many_entities_it_hits() {
    let world = World::with(&[]);
    many(&world, 3_000, "e");
    let handler = Scripted::new(|text, attempt| {
        let number: u32 = text.trim_start_matches('e').trim_end_matches("x1").parse().unwrap();
        Act::succeed_if(attempt > 1 || !number.is_multiple_of(3))
    });
    let limits = Limits { workers: 1, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
    world.until_done(&handler.runs).await;
    assert_eq!((running.stats().outages, running.stats().retry_scheduled), (0, 1_000));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn errors_that_say_what_to_do_are_no_outage() {
    for act in [Act::Permanent, Act::Ignore] {
        let world = World::with(&[]);
        many(&world, 200, "e");
        let handler = Scripted::new(move |_, _| act.clone());
        let running = world.start(&handler);
        eventually("all is taken", || world.broker.lag(NAME) == 0).await;
        assert_eq!(running.stats().outages, 0);
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn switched_off_every_failure_is_filed_and_unavailable_still_pauses() {
    let world = World::with(&[]);
    many(&world, 200, "e");
    let down = Down::now(true);
    let handler = down.handler();
    let off = || world.consumer(&handler).with_outage_policy(OutagePolicy::off());
    let running = Running::start(off(), world.source());
    eventually("each is filed", || running.stats().retry_scheduled == 200).await;
    assert_eq!(running.stats().outages, 0);
    down.set(false);
    world.until_done(&handler.runs).await;
    running.stop().await;
    many(&world, 10, "u");
    let away = handler.beside(|_, _| Act::Unavailable);
    let consumer = world.consumer(&away).with_outage_policy(OutagePolicy::off());
    let running = Running::start(consumer, world.source());
    eventually("it pauses", || running.stats().outages == 1).await;
    assert_eq!(running.stats().retry_scheduled, 0);
    running.crash().await;
}

#[tokio::test(start_paused = true)]
async fn an_entity_that_is_truly_bad_does_not_keep_the_breaker_open() {
    let world = World::with(&["bad1"]);
    many(&world, 500, "e");
    let down = Down::now(true);
    let handler = Scripted::new({
        let down = down.clone();
        move |text, _| Act::succeed_if(!down.is() && !text.starts_with("bad"))
    });
    let limits = Limits { workers: 1, running_max: 30, ..Limits::default() };
    let consumer = world
        .consumer(&handler)
        .with_limits(limits)
        .with_outage_policy(OutagePolicy::default().entities(2).share(0.1).probes_per_entity(3))
        .with_retry_policy(RetryPolicy::fixed(Duration::from_secs(7)).immediate(2));
    let running = Running::start(consumer, world.source());
    eventually("it is open", || running.stats().outages == 1).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    down.set(false);
    eventually("the others are handled", || running.stats().handled >= 480).await;
    world.until("the bad one parks in the end", "bad", |gate| gate.gate.parked.is_some()).await;
    eventually("all others, too", || running.stats().handled + running.stats().resolved == 500).await;
    running.stop().await;
    world.assert_order(&handler.runs);
}

#[tokio::test(start_paused = true)]
async fn retries_of_what_is_in_the_failure_log_burn_no_attempts_while_the_breaker_is_open() {
    let world = World::with(&[]);
    many(&world, 15, "old");
    let (down, fails_once) = (Down::default(), Down::now(true));
    let handler = Scripted::new({
        let (down, fails_once) = (down.clone(), fails_once.clone());
        move |text, _| {
            let fails = down.is() || (text.starts_with("old") && fails_once.is());
            Act::succeed_if(!fails)
        }
    });
    let policy = RetryPolicy::fixed(Duration::from_secs(20)).immediate(0).jitter(0.0).attempts_max(4);
    let running = Running::start(world.consumer(&handler).with_retry_policy(policy), world.source());
    eventually("they are in the log", || running.stats().retry_scheduled == 15).await;
    down.set(true);
    fails_once.set(false);
    many(&world, 300, "new");
    eventually("it is open", || running.stats().outages == 1).await;
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    assert_eq!(running.stats().parked, 0, "four attempts would have been used up in two minutes");
    down.set(false);
    world.until_done(&handler.runs).await;
    running.stop().await;
    world.assert_order(&handler.runs);
}

#[tokio::test(start_paused = true)]
async fn failures_that_come_back_after_the_recovery_open_it_again() {
    let world = World::with(&[]);
    let down = Down::now(true);
    let handler = down.handler();
    let running = world.start(&handler);
    for outage in 1..=3 {
        down.set(true);
        many(&world, 300, &format!("r{outage}y"));
        eventually("it opens", || running.stats().outages == outage).await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        down.set(false);
        world.until_done(&handler.runs).await;
    }
    running.stop().await;
    assert_eq!(handler.runs.succeeded().len(), 900);
    world.assert_order(&handler.runs);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_handlers_start_a_few_at_a_time() {
    let world = World::with(&[]);
    many(&world, 500, "e");
    let down = Down::now(true);
    let handler = Scripted::new({
        let down = down.clone();
        move |_, _| if down.is() { Act::Fail("down") } else { Act::Sleep(Duration::from_millis(100)) }
    });
    let running = world.start(&handler);
    eventually("it opens", || running.stats().outages == 1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = handler.runs.runs().len();
    down.set(false);
    eventually("the first has succeeded", || handler.runs.succeeded().len() == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = handler.runs.runs().len() - before;
    assert!(begun <= 4, "the probe, and two after it: {begun}");
    world.until_done(&handler.runs).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_while_it_is_open_waits_for_nobody_and_loses_nothing() {
    let world = World::with(&[]);
    many(&world, 300, "e");
    let down = Down::now(true);
    let handler = down.handler();
    let first = world.start(&handler);
    eventually("it opens", || first.stats().outages == 1).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    let began = Instant::now();
    first.stop().await;
    assert!(began.elapsed() < Duration::from_secs(1), "nothing runs: {:?}", began.elapsed());
    down.set(false);
    let second = world.start(&handler);
    world.until_done(&handler.runs).await;
    assert_eq!(second.stats().suspects, 0, "it was let go of in good order");
    second.stop().await;
    world.assert_order(&handler.runs);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_taken_away_while_it_is_open_goes_on_with_its_new_owner() {
    let world = World::with_partitions(2);
    many(&world, 600, "e");
    let down = Down::now(true);
    let handler = down.handler();
    let first = world.start(&handler);
    eventually("both open", || first.stats().outages == 2).await;
    let second = world.start(&handler);
    tokio::time::sleep(Duration::from_secs(60)).await;
    down.set(false);
    world.until_done(&handler.runs).await;
    assert!(second.stats().consumed > 0, "it has one of the two");
    first.stop().await;
    second.stop().await;
    world.assert_order(&handler.runs);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_pauses_takes_no_room_from_the_others() {
    let world = World::with_partitions(2);
    many(&world, 400, "e");
    let first = world.stream(0);
    let down = Down::now(true);
    let bad: HashSet<String> =
        world.sent().into_iter().filter(|sent| sent.stream == first).map(|sent| sent.text).collect();
    let (others, paused) = (400 - bad.len() as u64, bad.len());
    let handler = Scripted::new({
        let down = down.clone();
        move |text, _| {
            if bad.contains(text) {
                Act::succeed_if(!down.is())
            } else {
                Act::Sleep(Duration::from_millis(10))
            }
        }
    });
    // So little room that what waits for the outage's end would fill it.
    let limits = Limits { workers: 1, running_max: 30, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
    eventually("the others are handled", || running.stats().handled == others).await;
    assert_eq!(running.stats().outages, 1);
    assert!(world.broker.lag(NAME) >= paused - 50, "the paused ones wait");
    down.set(false);
    world.until_done(&handler.runs).await;
    running.stop().await;
    world.assert_order(&handler.runs);
}

fn event(world: &World, number: u32) -> Event {
    let entity = format!("e{number}");
    Event::builder(world.stream(0), Index::new(u128::from(number)), entity.clone()).payload(entity).build()
}

#[tokio::test(start_paused = true)]
async fn own_loops_are_told_that_the_stream_pauses_and_for_how_long_and_nothing_is_run_meanwhile() {
    let world = World::with(&[]);
    let down = Down::now(true);
    let handler = down.handler();
    let consumer =
        OrderedConsumer::new(NAME, handler.clone(), world.log.clone()).with_retry_policy(seconds());
    for number in 0..19 {
        let outcome = consumer.process(event(&world, number)).await.unwrap();
        assert!(matches!(outcome, Outcome::RetryScheduled { .. }));
    }
    let paused = consumer.process(event(&world, 19)).await.unwrap_err();
    assert!(matches!(paused, ProcessError::Paused { .. }) && paused.is_transient(), "{paused}");
    let ran = handler.runs.runs().len();
    let (mut refused, mut longest) = (0, Duration::ZERO);
    for number in 20..1_000 {
        let error = consumer.process(event(&world, number)).await.unwrap_err();
        let ProcessError::Paused { wait, .. } = error else { panic!("{error}") };
        (refused, longest) = (refused + 1, longest.max(wait));
        assert!(wait <= Duration::from_secs(30));
    }
    assert_eq!((refused, handler.runs.runs().len()), (980, ran), "no handler runs");
    // As it says: then one may probe.
    tokio::time::sleep(longest).await;
    down.set(false);
    assert_eq!(consumer.process(event(&world, 19)).await.unwrap(), Outcome::Handled);
    for number in 20..100 {
        assert_eq!(consumer.process(event(&world, number)).await.unwrap(), Outcome::Handled);
    }
    assert_eq!(world.gates().await.len(), 19);
    assert_eq!(consumer.stats().outages, 1);
}

#[tokio::test(start_paused = true)]
async fn redelivered_events_of_own_loops_are_not_filed_one_by_one_while_it_is_open() {
    let world = World::with(&[]);
    let handler = Down::now(true).handler();
    let consumer =
        OrderedConsumer::new(NAME, handler.clone(), world.log.clone()).with_retry_policy(seconds());
    for number in 0..20 {
        drop(consumer.process(event(&world, number)).await);
    }
    for _ in 0..10 {
        for number in 20..500 {
            let entity = format!("e{number}");
            let again = Event::builder(world.stream(0), Index::new(number), entity.clone())
                .payload(entity)
                .redelivered(true)
                .build();
            drop(consumer.process(again).await);
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    let filed = consumer.stats().suspects;
    assert!((1..=10).contains(&filed), "one for each time to probe, for the relay to probe with: {filed}");
    assert!(!world.gates().await.iter().any(|gate| gate.gate.parked == Some(ParkCause::Exhausted)));
}
