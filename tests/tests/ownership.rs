//! Scenarios 15 to 21: streams change hands.

use std::{sync::Arc, time::Duration};

use ordered_consumer::{
    EventSource, Index, Limits, Timeouts,
    in_memory_broker::{GroupOptions, InMemorySource},
};
use ordered_consumer_tests::{
    Act, Latch, RunEnd, Running, Scripted, World, eventually, order,
    world::{NAME, consumer},
};

/// A first owner whose handler waits for the latch, then does as told; it has lost the stream and does not know.
async fn zombie(world: &World, handler: &Scripted) -> Running<Scripted> {
    let source: InMemorySource = world.source();
    let member = source.member();
    let running = Running::start(world.consumer(handler), source);
    eventually("the old owner runs it", || handler.runs.times("a1") == 1).await;
    let lost = world.broker.force_lose(member, &world.stream(0), Duration::from_secs(60));
    assert_eq!(lost, Ok(()));
    running
}

// Scenario 15.
#[tokio::test(start_paused = true)]
async fn an_old_owner_that_succeeds_late_does_not_disturb_the_new_owner() {
    let world = World::with(&["a1", "a2"]);
    let late = Latch::new();
    let old = Scripted::new({
        let late = late.clone();
        move |_, _| Act::wait(&late)
    });
    let new = old.beside(|text, attempt| Act::succeed_if(text != "a1" || attempt > 2));
    let zombie = zombie(&world, &old).await;
    let owner = world.start(&new);
    eventually("the new owner's run failed", || owner.stats().failed >= 1).await;
    late.open();
    world.until_done(&new.runs).await;
    assert_eq!(new.runs.ended("a1", RunEnd::Failed), 2, "the new owner's attempts are what counts");
    // Two processes have run the same event at once, which nobody can prevent; but nothing was overtaken.
    let wrong = order::violations(&world.sent(), &new.runs.runs(), &[]);
    assert!(wrong.iter().all(|wrong| wrong.contains("under way")), "{wrong:?}");
    owner.stop().await;
    zombie.crash().await;
}

// Scenario 16.
#[tokio::test(start_paused = true)]
async fn an_old_owner_that_fails_late_leaves_no_failure_behind_what_has_been_resolved() {
    let world = World::with(&["a1", "a2"]);
    let late = Latch::new();
    let old = Scripted::new({
        let late = late.clone();
        move |_, _| Act::wait_and_fail(&late)
    });
    let new = old.beside(|_, _| Act::Succeed);
    let zombie = zombie(&world, &old).await;
    let owner = world.start(&new);
    eventually("the new owner has handled both", || owner.stats().resolved + owner.stats().handled == 2)
        .await;
    late.open();
    eventually("the old owner's write is refused", || zombie.stats().fenced > 0).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(world.gates().await.is_empty(), "{:?}", world.gates().await);
    assert_eq!(zombie.stats().retry_scheduled, 0);
    assert_eq!(new.runs.succeeded(), ["a1", "a2"]);
    owner.stop().await;
    zombie.stop().await;
}

// Scenario 15, for retries: a result counts only while its claim is the gate's.
#[tokio::test(start_paused = true)]
async fn of_a_retry_whose_result_is_on_its_way_while_its_event_runs_elsewhere_one_counts() {
    let world = World::with(&["a1", "a2"]);
    let log = ordered_consumer::testing::FaultyFailureLog::new(world.log.clone());
    let handler = Scripted::new({
        let log = log.clone();
        move |text, attempt| {
            if text == "a1" && attempt == 2 {
                // Its success cannot be recorded, nor its claim be renewed.
                log.stall();
            }
            Act::succeed_if(text != "a1" || attempt > 1)
        }
    });
    let first = Running::start(consumer(&handler, log.clone()), world.source());
    eventually("the retry has succeeded", || handler.runs.has("a1")).await;
    let second = Arc::new(world.consumer(&handler));
    let retries = Running::start_retries(Arc::clone(&second));
    eventually("it is run again elsewhere", || second.stats().resolved == 2).await;
    log.unstall();
    eventually("the first result does not count", || first.stats().claims_lost == 1).await;
    assert_eq!(first.stats().resolved, 0);
    assert_eq!(handler.runs.succeeded(), ["a1", "a1", "a2"]);
    assert!(world.gates().await.is_empty());
    first.crash().await;
    retries.stop().await;
}

// Scenario 17, as far as the in-memory broker can show it: revoked in good order.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_revoked_drains_and_the_next_owner_suspects_nothing() {
    let world = World::with_partitions(2);
    for number in 0..40 {
        world.send_to(&format!("e{number}"), &format!("e{number}"));
    }
    let handler = Scripted::new(|_, _| Act::Sleep(Duration::from_millis(300)));
    let first = Running::start(
        world.consumer(&handler).with_limits(Limits { running_max: 4, workers: 1, ..Limits::default() }),
        world.source(),
    );
    eventually("it has begun", || handler.runs.succeeded().len() > 8).await;
    let second = world.start(&handler);
    world.until_done(&handler.runs).await;
    assert!(second.stats().handled > 0 && first.stats().handled > 0);
    assert_eq!((second.stats().suspects, second.stats().duplicates), (0, 0));
    assert_eq!(handler.runs.succeeded().len(), 40, "nothing is run twice");
    first.stop().await;
    second.stop().await;
}

// Scenario 17: lost, and a handler that does not end within the drain.
#[tokio::test(start_paused = true)]
async fn a_handler_that_outlives_its_stream_is_dropped_after_the_time_to_drain() {
    let world = World::with(&["a1", "a2"]);
    let handler = Scripted::new(|text, _| if text == "a1" { Act::Never } else { Act::Succeed });
    let source = world.source();
    let member = source.member();
    let timeouts = Timeouts { drain: Duration::from_secs(3), ..Timeouts::default() };
    let first = Running::start(world.consumer(&handler).with_timeouts(timeouts), source);
    eventually("it runs", || handler.runs.times("a1") == 1).await;
    let second = Running::start(world.consumer(&handler.beside(|_, _| Act::Succeed)), world.source());
    world.broker.force_lose(member, &world.stream(0), Duration::ZERO).unwrap();
    world.until_done(&handler.runs).await;
    assert_eq!(handler.runs.runs()[0].end, RunEnd::Dropped);
    assert_eq!(handler.runs.succeeded(), ["a1", "a2"]);
    first.stop().await;
    second.stop().await;
}

// Scenario 18, as far as the in-memory broker can show it: a storm of members.
#[tokio::test(start_paused = true)]
async fn members_that_come_and_go_for_a_minute_lose_nothing_and_overtake_nothing() {
    let world = World::with_partitions(4);
    let handler = Scripted::new(|text, attempt| match (text.len() % 3, attempt) {
        (0, 1) => Act::Fail("the first time"),
        _ => Act::Sleep(Duration::from_millis(40)),
    });
    let mut members = vec![world.start(&handler)];
    for round in 0..120_u32 {
        for entity in ["a", "bb", "ccc", "dddd", "eeeee"] {
            world.send_to(entity, &format!("{entity}{round}"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        match (round % 4, members.len()) {
            (0, _) | (_, 1) => members.push(world.start(&handler)),
            (1, _) => members.remove(0).stop().await,
            (2, _) => members.remove(0).crash().await,
            _ => {}
        }
    }
    world.until_done(&handler.runs).await;
    world.assert_order(&handler.runs);
    for member in members {
        member.stop().await;
    }
}

// Scenario 19: what an old assignment delivers after the rebalance is not taken.
#[tokio::test(start_paused = true)]
async fn an_event_of_an_assignment_that_is_gone_is_not_taken() {
    let world = World::with(&["a1"]);
    let handler = Scripted::calm();
    let source = world.source();
    let member = source.member();
    let old = Running::start(world.consumer(&handler), source);
    world.until_done(&handler.runs).await;
    world.send(&["a2", "a3"]);
    // It is not told yet, and still gets what it had buffered; its lease of the stream is gone with its generation.
    world.broker.force_lose(member, &world.stream(0), Duration::from_millis(1)).unwrap();
    let new = world.start(&handler);
    world.until_done(&handler.runs).await;
    old.stop().await;
    new.stop().await;
    world.assert_order(&handler.runs);
}

// Scenario 20.
#[tokio::test(start_paused = true)]
async fn a_handler_slower_than_the_session_timeout_does_not_cost_the_membership() {
    let world = World::with(&["a1", "b1"]);
    let session_timeout = Some(Duration::from_secs(5));
    world.broker.create_group(NAME, GroupOptions { session_timeout, ..GroupOptions::default() });
    let handler = Scripted::new(|_, _| Act::Sleep(Duration::from_secs(40)));
    let running = world.start(&handler);
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!(handler.runs.runs().len(), 2, "each ran once");
}

// Scenario 21: what is clear in the cache never survives the loss of the stream.
#[tokio::test(start_paused = true)]
async fn what_failed_at_another_owner_meanwhile_is_known_when_the_stream_comes_back() {
    let world = World::with(&["a1"]);
    let handler = Scripted::new(|text, _| Act::succeed_if(text != "a2"));
    let first_source = world.source();
    let first_member = first_source.member();
    let first = Running::start(world.consumer(&handler), first_source);
    world.until_done(&handler.runs).await;
    let second_source = world.source();
    let second = Running::start(world.consumer(&handler), second_source);
    world.broker.force_lose(first_member, &world.stream(0), Duration::ZERO).unwrap();
    world.send(&["a2"]);
    world.until("it is logged", "a", |gate| gate.gate.held_events == 1).await;
    second.stop().await;
    world.send(&["a3"]);
    world.until("it is held", "a", |gate| gate.gate.held_events == 2).await;
    first.stop().await;
    assert_eq!(handler.runs.times("a3"), 0);
}

// Scenario 21, two takeovers whose fences are raised in the wrong order: the late one is made to begin again, and the
// broker then says whose the stream is.
#[tokio::test(start_paused = true)]
async fn a_late_takeover_does_not_shut_out_the_true_owner() {
    let world = World::with(&[]);
    let handler = Scripted::calm();
    let (late, owner) = (world.consumer(&handler), world.consumer(&handler));
    let (began, goes_on) = (Latch::new(), Latch::new());
    let late = {
        let (began, goes_on, stream) = (began.clone(), goes_on.clone(), world.stream(0));
        tokio::spawn(async move {
            let mut asked = 0;
            let confirm = || {
                asked += 1;
                let (first, began, goes_on) = (asked == 1, began.clone(), goes_on.clone());
                async move {
                    began.open();
                    goes_on.opened().await;
                    // The broker's answer was on its way while the stream was given to somebody else.
                    first
                }
            };
            late.take_over(stream, ordered_consumer::TakeOverOptions::default(), confirm).await.map(|_| ())
        })
    };
    began.opened().await;
    let options = ordered_consumer::TakeOverOptions::default();
    let guard = owner.take_over(world.stream(0), options, async || true).await.unwrap();
    goes_on.open();
    let refused = late.await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("the broker has not confirmed"), "{refused}");
    let event = ordered_consumer::Event::builder(world.stream(0), Index::MIN, "a").payload("a1").build();
    assert_eq!(guard.process(event).await.unwrap(), ordered_consumer::Outcome::Handled);
}

// A fenced owner that is still assigned takes over again, and goes on.
#[tokio::test(start_paused = true)]
async fn an_owner_that_is_fenced_and_still_assigned_takes_over_again_and_goes_on() {
    let world = World::with(&["a1"]);
    let handler = Scripted::failing(&[("a2", 1)]);
    let running = world.start(&handler);
    world.until_done(&handler.runs).await;
    // Somebody raises the generation without being the owner.
    let other = world.consumer(&handler);
    let guard =
        other.take_over(world.stream(0), ordered_consumer::TakeOverOptions::default(), async || true).await;
    drop(guard.unwrap());
    world.send(&["a2", "a3"]);
    world.until_done(&handler.runs).await;
    assert!(running.stats().fenced > 0);
    assert!(running.stopped_streams().is_empty());
    running.stop().await;
    world.assert_order(&handler.runs);
}

// What came on before a stream was taken over again does not follow what is settled.
#[tokio::test(start_paused = true)]
async fn events_that_come_while_a_stream_is_taken_over_again_do_not_overtake_those_that_come_again() {
    let world = World::with(&["a1", "a2", "a3"]);
    world.broker.create_group(NAME, GroupOptions { batch_max: 1, ..GroupOptions::default() });
    let fail = Latch::new();
    let handler = Scripted::new({
        let fail = fail.clone();
        move |text, attempt| match (text, attempt) {
            ("a1", 1) => Act::wait_and_fail(&fail),
            _ => Act::Succeed,
        }
    });
    let log = ordered_consumer::testing::FaultyFailureLog::new(world.log.clone());
    // One event at a time, so that the next one comes when the first is given up.
    let limits = Limits { buffered_events_max: 1, ..Limits::default() };
    let running = Running::start(consumer(&handler, log.clone()).with_limits(limits), world.source());
    eventually("the first event runs", || handler.runs.times("a1") == 1).await;
    let options = ordered_consumer::TakeOverOptions::default();
    drop(world.consumer(&handler).take_over(world.stream(0), options, async || true).await.unwrap());
    log.slow(1_000, 0);
    fail.open();
    world.until_done(&handler.runs).await;
    assert!(running.stats().fenced > 0);
    running.stop().await;
    world.assert_order(&handler.runs);
}

// The in-memory source says what it is; the tests above lean on its being owned.
#[tokio::test(start_paused = true)]
async fn the_tests_in_this_file_run_on_owned_streams() {
    assert_eq!(World::with(&[]).source().sharing(), ordered_consumer::Sharing::Owned);
}
