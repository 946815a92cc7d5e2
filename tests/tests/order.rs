//! Scenarios 22 to 30: the order of what is held, drained and published.

use ordered_consumer::{
    Event, Index, Limits, Outcome, ParkCause, RetryPolicy, StreamDecision, StreamName,
    in_memory_broker::{NewEvent, QueueOptions, TopicOptions},
};
use ordered_consumer_tests::{
    Act, Latch, RunEnd, Running, Scripted, World, eventually,
    world::{NAME, TOPIC, consumer},
};

// Scenario 22: at every moment of the drain.
#[tokio::test(start_paused = true)]
async fn an_event_that_comes_at_any_moment_of_a_drain_waits_for_the_held_ones() {
    for moment in 0..60 {
        let world = World::with(&["a1", "a2", "a3"]);
        let handler = Scripted::new(|text, attempt| match (text, attempt) {
            ("a1", 1) => Act::Fail("once"),
            _ => Act::Yield(3),
        });
        let running = world.start(&handler);
        eventually("the drain begins", || handler.runs.times("a1") == 2).await;
        for _ in 0..moment {
            tokio::task::yield_now().await;
        }
        world.send(&["a4", "a5"]);
        world.until_done(&handler.runs).await;
        running.stop().await;
        world.assert_order(&handler.runs);
        assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a3", "a4", "a5"], "moment {moment}");
    }
}

// Scenario 22: a new event while one of the held ones is in its handler, and after the last one's end.
#[tokio::test(start_paused = true)]
async fn a_new_event_while_the_last_held_one_runs_is_held_behind_it_and_flows_once_it_has_ended() {
    let world = World::with(&["a1", "a2"]);
    let slow = Latch::new();
    let handler = Scripted::new({
        let slow = slow.clone();
        move |text, attempt| match (text, attempt) {
            ("a1", 1) => Act::Fail("once"),
            ("a2", _) => Act::wait(&slow),
            _ => Act::Succeed,
        }
    });
    let running = world.start(&handler);
    eventually("the last held one runs", || handler.runs.times("a2") == 1).await;
    world.send(&["a3"]);
    world.until("it is held", "a", |gate| gate.gate.held_events == 2).await;
    assert_eq!(handler.runs.times("a3"), 0);
    slow.open();
    world.until_done(&handler.runs).await;
    world.send(&["a4"]);
    world.until_done(&handler.runs).await;
    assert_eq!(running.stats().handled, 1, "the last one came to a clear entity");
    running.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a3", "a4"]);
}

// Scenario 23.
#[tokio::test(start_paused = true)]
async fn a_head_that_fails_twice_is_run_three_times_and_then_what_is_held_in_order() {
    let world = World::with(&["a1", "a2", "a3", "a4"]);
    let handler = Scripted::failing(&[("a1", 2)]);
    let running = world.start(&handler);
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!(handler.runs.began(), ["a1", "a1", "a1", "a2", "a3", "a4"]);
    assert_eq!(handler.runs.attempts("a1"), [1, 2, 3]);
}

// Scenario 24, on both ways back.
#[tokio::test(start_paused = true)]
async fn when_one_fails_in_the_middle_of_a_drain_the_rest_is_held_again_in_order() {
    for through_the_broker in [false, true] {
        let world = World::with(&["a1", "a2", "a3", "a4", "a5"]);
        let handler = Scripted::failing(&[("a1", 1), ("a3", 2)]);
        let consumer = world.consumer(&handler);
        let running = if through_the_broker {
            let consumer = consumer.with_publisher(world.broker.retry_publisher(NAME));
            Running::start(consumer, world.source().with_retry())
        } else {
            Running::start(consumer, world.source())
        };
        world.until_done(&handler.runs).await;
        running.stop().await;
        assert_eq!(
            handler.runs.began(),
            ["a1", "a1", "a2", "a3", "a3", "a3", "a4", "a5"],
            "{through_the_broker}"
        );
    }
}

// Scenario 26, refused for good: it goes back in-process, in its turn.
#[tokio::test(start_paused = true)]
async fn nothing_of_an_entity_goes_out_after_a_refused_publish_and_others_go_on() {
    let world = World::with(&["a1", "b1", "a2", "b2", "a3", "b3"]);
    let slow = Latch::new();
    let handler = Scripted::new({
        let slow = slow.clone();
        move |text, attempt| match (text, attempt) {
            ("a1" | "b1", 1) => Act::Fail("once"),
            ("a2", _) => Act::wait(&slow),
            _ => Act::Succeed,
        }
    });
    let publisher = world.broker.retry_publisher(NAME);
    publisher.refuse(|event| event.payload().is_some_and(|payload| payload == "a2"));
    let running =
        Running::start(world.consumer(&handler).with_publisher(publisher), world.source().with_retry());
    eventually("the other entity's have come back", || handler.runs.has("b3")).await;
    assert_eq!(handler.runs.times("a3"), 0, "not before a2");
    slow.open();
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded_of("a"), ["a1", "a2", "a3"]);
    assert_eq!(handler.runs.succeeded_of("b"), ["b1", "b2", "b3"]);
}

// Scenario 26, unavailable for a while.
#[tokio::test(start_paused = true)]
async fn a_publish_that_fails_for_a_while_delays_its_entity_and_overtakes_nothing() {
    let world = World::with(&["a1", "a2", "a3"]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let publisher = world.broker.retry_publisher(NAME);
    publisher.unavailable_for(3);
    let running =
        Running::start(world.consumer(&handler).with_publisher(publisher), world.source().with_retry());
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a3"]);
}

// Scenarios 26 and 54: an event that is too large to go back through the broker goes back in-process.
#[tokio::test(start_paused = true)]
async fn an_event_too_large_for_the_retry_stream_goes_back_in_process_in_its_turn() {
    let world = World::with(&["a1"]);
    let large = format!("a2{}", "x".repeat(2_000));
    world.send_to("a", &large);
    world.send(&["a3"]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let publisher = world.broker.retry_publisher(NAME);
    publisher.refuse_above(1_000);
    let running =
        Running::start(world.consumer(&handler).with_publisher(publisher), world.source().with_retry());
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", &*large, "a3"]);
}

// Scenario 27: two consumers' relays on one log.
#[tokio::test(start_paused = true)]
async fn two_relays_at_once_take_entities_and_not_rows() {
    let world = World::with_partitions(2);
    let entities: Vec<String> = (0..30).map(|number| format!("e{number}x")).collect();
    for round in 0..4 {
        for entity in &entities {
            world.send_to(entity, &format!("{entity}{round}"));
        }
    }
    let handler = Scripted::new(|text, attempt| match (text.ends_with("x0"), attempt) {
        (true, 1 | 2) => Act::Fail("twice"),
        _ => Act::Yield(2),
    });
    let limits = || Limits { retries_running_max: 5, ..Limits::default() };
    let members =
        [(); 2].map(|()| Running::start(world.consumer(&handler).with_limits(limits()), world.source()));
    world.until_done(&handler.runs).await;
    assert!(members.iter().all(|member| member.stats().retried > 0), "both relays had something to do");
    let resolved: u64 = members.iter().map(|member| member.stats().resolved + member.stats().handled).sum();
    assert_eq!(resolved, 120, "each is resolved once");
    for member in members {
        member.stop().await;
    }
    world.assert_order(&handler.runs);
    assert_eq!(handler.runs.succeeded().len(), 120);
}

// Scenario 27: a topic deleted and created again under the same name.
#[tokio::test(start_paused = true)]
async fn nothing_of_a_topic_that_was_created_again_is_taken_for_a_duplicate() {
    let world = World::with(&["a1", "a2"]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let running = world.start(&handler);
    world.until_done(&handler.runs).await;
    running.stop().await;
    world.broker.recreate_topic(TOPIC).unwrap();
    world.broker.publish(TOPIC, "a", "new1").unwrap();
    let stopped = world.start(&handler);
    eventually("it stops", || !stopped.stopped_streams().is_empty()).await;
    let (stream, why) = stopped.stopped_streams().remove(0);
    assert_eq!(stream, world.stream(0));
    assert!(why.contains("new stream") && why.contains("replay"), "{why}");
    assert_eq!(handler.runs.times("new1"), 0);
    stopped.stop().await;
    world.operator().decide_stream(&stream, StreamDecision::NewStream, "it was recreated").await.unwrap();
    let again = world.start(&handler);
    eventually("the new event is handled", || handler.runs.has("new1")).await;
    assert!(again.stopped_streams().is_empty());
    again.stop().await;
}

// Scenario 28: copies reach the group, whoever has the entity's partition by now.
#[tokio::test(start_paused = true)]
async fn copies_come_back_under_their_own_stream_and_entity() {
    let world = World::with_partitions(8);
    for entity in ["a", "b", "c", "d", "e", "f"] {
        world.send_to(entity, &format!("{entity}1"));
        world.send_to(entity, &format!("{entity}2"));
    }
    let handler = Scripted::new(|text, attempt| Act::succeed_if(!text.ends_with('1') || attempt > 1));
    let publisher = world.broker.retry_publisher(NAME);
    let running =
        Running::start(world.consumer(&handler).with_publisher(publisher), world.source().with_retry());
    world.until_done(&handler.runs).await;
    running.stop().await;
    world.assert_order(&handler.runs);
    for run in handler.runs.runs().iter().filter(|run| run.end == RunEnd::Succeeded) {
        let sent = world.sent().into_iter().find(|sent| sent.text == run.text).unwrap();
        assert_eq!((&run.stream, run.index, &run.entity), (&sent.stream, sent.index, &sent.entity));
    }
}

// Scenario 29.
#[tokio::test(start_paused = true)]
async fn of_a_batch_of_ten_from_one_group_whose_first_fails_nine_are_held() {
    let world = World::with(&[]);
    world.broker.create_queue("jobs", QueueOptions::default()).unwrap();
    for number in 1..=10 {
        world.broker.publish("jobs", "a", format!("a{number}")).unwrap();
    }
    let handler = Scripted::new(|text, _| Act::succeed_if(text != "a1"));
    let consumer = world.consumer(&handler).with_retry_policy(RetryPolicy::none());
    let running = Running::start(consumer, world.broker.subscribe_queue("jobs").unwrap());
    eventually("the queue is empty", || world.broker.kept("jobs") == 0).await;
    let parked = world.gate("a").await;
    assert_eq!((parked.gate.held_events, parked.gate.parked), (10, Some(ParkCause::Exhausted)));
    assert_eq!((running.stats().parked, running.stats().held), (1, 9));
    assert_eq!(handler.runs.began(), ["a1"]);
    world.operator().skip(&parked, "wrong").await.unwrap();
    eventually("the nine come, in order", || handler.runs.succeeded().len() == 9).await;
    running.stop().await;
    let expected: Vec<String> = (2..=10).map(|number| format!("a{number}")).collect();
    assert_eq!(handler.runs.succeeded(), expected);
}

// Scenario 30, and the index u128::MAX, which is legal.
#[tokio::test(start_paused = true)]
async fn held_events_sort_as_numbers_at_every_size() {
    let first_indexes = [9, u128::from(u64::MAX) - 1, u128::MAX - 3];
    for first_index in first_indexes {
        let world = World::with(&[]);
        let options = TopicOptions { first_index, ..TopicOptions::default() };
        world.broker.create_topic_with("numbers", options).unwrap();
        for number in 1..=4 {
            world.broker.publish_event("numbers", NewEvent::new("a", format!("a{number}"))).unwrap();
        }
        let handler = Scripted::failing(&[("a1", 1)]);
        let source = world.broker.subscribe(NAME, &["numbers"]).unwrap();
        let running = Running::start(world.consumer(&handler), source);
        eventually("all are handled", || handler.runs.succeeded() == ["a1", "a2", "a3", "a4"]).await;
        eventually("the broker is told", || world.broker.lag(NAME) == 0).await;
        running.stop().await;
        let indexes: Vec<u128> = handler.runs.runs().iter().map(|run| run.index.get()).collect();
        assert_eq!(indexes.last(), Some(&(first_index + 3)));
    }
}

// A window of released events is drained before the next one is released.
#[tokio::test(start_paused = true)]
async fn held_events_drain_in_windows_and_in_order_however_small_the_windows_are() {
    for through_the_broker in [false, true] {
        let world = World::with(&[]);
        for number in 1..=25 {
            world.send_to("a", &format!("a{number}"));
        }
        let handler = Scripted::failing(&[("a1", 1), ("a7", 1), ("a8", 1)]);
        let limits = Limits { release_window: 3, ..Limits::default() };
        let consumer = world.consumer(&handler).with_limits(limits);
        let running = if through_the_broker {
            let consumer = consumer.with_publisher(world.broker.retry_publisher(NAME));
            Running::start(consumer, world.source().with_retry())
        } else {
            Running::start(consumer, world.source())
        };
        world.until_done(&handler.runs).await;
        running.stop().await;
        world.assert_order(&handler.runs);
        assert_eq!(handler.runs.succeeded().len(), 25);
    }
}

// Across streams nothing orders an entity, here as in the broker.
#[tokio::test(start_paused = true)]
async fn an_entity_that_is_gated_in_one_stream_flows_in_another() {
    let world = World::with_partitions(2);
    for (partition, text) in [(0, "a1"), (0, "a2"), (1, "a3")] {
        world.broker.publish_to(TOPIC, partition, NewEvent::new("a", text)).unwrap();
    }
    let handler = Scripted::new(|text, _| Act::succeed_if(text != "a1"));
    let running = world.start(&handler);
    eventually("the other stream's is handled", || handler.runs.has("a3")).await;
    world.until("it is held", "a", |gate| gate.gate.held_events == 2).await;
    running.stop().await;
    assert_eq!(handler.runs.times("a2"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shared_stream_event_behind_a_failure_of_another_process_is_held() {
    let world = World::with(&[]);
    let handler = Scripted::new(|text, _| Act::succeed_if(text != "a1"));
    let (one, other) = (consumer(&handler, world.log.clone()), consumer(&handler, world.log.clone()));
    let stream = StreamName::new("queue").unwrap();
    let event = |index, text: &'static str| {
        Event::builder(stream.clone(), Index::new(index), "a").payload(text).build()
    };
    assert!(matches!(one.process(event(1, "a1")).await.unwrap(), Outcome::RetryScheduled { .. }));
    assert_eq!(other.process(event(2, "a2")).await.unwrap(), Outcome::Held);
}
