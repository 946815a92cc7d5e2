//! Everything that a consumer can be asked, dropped wherever it waits: what was acknowledged is handled or in the log,
//! nothing is overtaken, nothing stays locked, and the same call made again leads to where it would have led.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ordered_consumer::{
    ConsumerName, Delivery, Event, FailureLog, Index, OrderedConsumer, Outcome, StreamGuard, StreamName,
    TakeOverOptions, Timeouts,
    gate::StreamRecord,
    testing::{CutAt, Cuts, polled_eagerly, sweep},
};
use ordered_consumer_tests::{
    Act, Running, Scripted, Sent, World, eventually, on_every_store, order,
    store::{Store, Stores},
    world::{NAME, at_once, consumer},
};

on_every_store!(
    a_call_to_process,
    a_call_to_process_batch,
    a_takeover,
    a_guards_process,
    a_guards_release,
    a_run,
    a_run_that_is_being_shut_down,
    a_run_of_retries_alone,
);

const TEXTS: [&str; 6] = ["a1", "a2", "b1", "a3", "b2", "c1"];

fn stream() -> StreamName {
    StreamName::new("orders/0").unwrap()
}

fn event(index: usize) -> Event {
    let text = TEXTS[index];
    Event::builder(stream(), Index::from(index as u64), text[..1].to_owned()).payload(text).build()
}

fn sent() -> Vec<Sent> {
    (0..TEXTS.len()).map(|index| Sent::from(&event(index))).collect()
}

/// Fails where there is something to hold, and waits a little.
fn handler() -> Scripted {
    Scripted::new(|text, attempt| match (text, attempt) {
        ("a1", 1) | ("b1", 1 | 2) => Act::Fail("as the test says"),
        _ => Act::Yield(1),
    })
}

/// What a dropped run leaves claimed or taken is looked at again soon, also by a clock that is not a paused one.
fn soon() -> Timeouts {
    let (claim, redelivery) = (Duration::from_millis(500), Duration::from_millis(200));
    Timeouts { claim, redelivery, poll: Duration::from_millis(50), ..Timeouts::default() }
}

fn quick(handler: &Scripted, log: Arc<dyn FailureLog>) -> Arc<OrderedConsumer<Scripted>> {
    Arc::new(consumer(handler, log).with_retry_policy(at_once().attempts_max(1_000)).with_timeouts(soon()))
}

fn acknowledged(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Handled
            | Outcome::RetryScheduled { .. }
            | Outcome::Held
            | Outcome::Duplicate
            | Outcome::Suspect
    )
}

/// Nobody holds anything any more, and everything was handled, in order.
async fn everything_is_handled(store: &dyn Store, handler: &Scripted, cut: &CutAt) {
    let retries = Running::start_retries(quick(handler, store.fresh_handle().await));
    eventually("everything is handled", || order::missing(&sent(), &handler.runs.runs()).is_empty()).await;
    let fresh = store.fresh_handle().await;
    for _ in 0..90_000 {
        if ordered_consumer_tests::world::gates(&fresh).await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        ordered_consumer_tests::world::gates(&fresh).await.is_empty(),
        "{cut:?}: something is still held"
    );
    retries.stop().await;
    let wrong = order::violations(&sent(), &handler.runs.runs(), &[]);
    assert!(wrong.is_empty(), "{cut:?}: {wrong:#?}");
}

async fn a_call_to_process(stores: Stores) {
    for dropped in [0, 1] {
        sweep(stores.eager_cuts(), 8, async |cut| {
            let (store, handler) = (stores.make().await, handler());
            let consumer = quick(&handler, store.slow_handle().await);
            for index in 0..TEXTS.len() {
                let told = if index == dropped {
                    cut.cut(polled_eagerly(consumer.process(event(index)))).await
                } else {
                    None
                };
                if told.is_none() {
                    let outcome = consumer.process(event(index)).await.unwrap();
                    assert!(acknowledged(&outcome), "{cut:?}: {outcome}");
                }
            }
            drop(consumer);
            everything_is_handled(&*store, &handler, cut).await;
        })
        .await;
    }
}

async fn a_call_to_process_batch(stores: Stores) {
    sweep(stores.eager_cuts(), 8, async |cut| {
        let (store, handler) = (stores.make().await, handler());
        let consumer = quick(&handler, store.slow_handle().await);
        let batch = || (0..TEXTS.len()).map(|index| Delivery::from(event(index))).collect::<Vec<_>>();
        if cut.cut(polled_eagerly(consumer.process_batch(batch()))).await.is_none() {
            for outcome in consumer.process_batch(batch()).await {
                let outcome = outcome.unwrap();
                assert!(acknowledged(&outcome), "{cut:?}: {outcome}");
            }
        }
        drop(consumer);
        everything_is_handled(&*store, &handler, cut).await;
    })
    .await;
}

async fn take(consumer: &OrderedConsumer<Scripted>) -> StreamGuard<Scripted> {
    let confirm = || async {
        tokio::task::yield_now().await;
        true
    };
    consumer.take_over(stream(), TakeOverOptions::default(), confirm).await.unwrap()
}

async fn record(store: &dyn Store) -> StreamRecord {
    let name = ConsumerName::new(NAME).unwrap();
    store.fresh_handle().await.stream(&name, &stream()).await.unwrap().unwrap()
}

async fn handled_under(guard: &StreamGuard<Scripted>) {
    for index in 0..TEXTS.len() {
        let outcome = guard.process(event(index)).await.unwrap();
        assert!(acknowledged(&outcome), "{outcome}");
    }
}

async fn a_takeover(stores: Stores) {
    sweep(Cuts::Every, 6, async |cut| {
        let (store, handler) = (stores.make().await, handler());
        let consumer = quick(&handler, store.waiting_handle().await);
        let guard = cut.cut(take(&consumer)).await;
        let guard = match guard {
            Some(guard) => guard,
            None => take(&consumer).await,
        };
        handled_under(&guard).await;
        let record = record(&*store).await;
        assert!((1..=2).contains(&record.generation), "{cut:?}: {record:?}");
        drop((guard, consumer));
        everything_is_handled(&*store, &handler, cut).await;
    })
    .await;
}

async fn a_guards_process(stores: Stores) {
    for dropped in [0, 1] {
        // The second event is asked about, the first costs one write when its handler has failed.
        sweep(stores.eager_cuts(), 5, async |cut| {
            let (store, handler) = (stores.make().await, handler());
            let consumer = quick(&handler, store.slow_handle().await);
            let guard = take(&consumer).await;
            for index in 0..TEXTS.len() {
                let told = if index == dropped {
                    cut.cut(polled_eagerly(guard.process(event(index)))).await
                } else {
                    None
                };
                if told.is_none() {
                    assert!(acknowledged(&guard.process(event(index)).await.unwrap()), "{cut:?}");
                }
            }
            drop((guard, consumer));
            everything_is_handled(&*store, &handler, cut).await;
        })
        .await;
    }
}

async fn a_guards_release(stores: Stores) {
    sweep(Cuts::Every, 3, async |cut| {
        let (store, handler) = (stores.make().await, handler());
        let consumer = quick(&handler, store.waiting_handle().await);
        let guard = take(&consumer).await;
        handled_under(&guard).await;
        let last = Some(Index::from(TEXTS.len() as u64 - 1));
        let released = cut.cut(guard.release(last)).await;
        // The next owner suspects what the last one may have left running, unless that had let go.
        let next = take(&consumer).await;
        handled_under(&next).await;
        next.release(last).await.unwrap();
        let record = record(&*store).await;
        assert_eq!((record.generation, record.settled), (2, last), "{cut:?}, {released:?}");
        drop(consumer);
        everything_is_handled(&*store, &handler, cut).await;
    })
    .await;
}

/// A dropped run has died with its process: the next member of the group goes on.
async fn a_run(stores: Stores) {
    sweep(stores.wide_cuts(), 6, async |cut| {
        let (world, store, handler) = (World::with(&TEXTS), stores.make().await, handler());
        let consumer = quick(&handler, store.waiting_handle().await);
        let stopped = AtomicBool::new(false);
        let done = until(|| order::missing(&world.sent(), &handler.runs.runs()).is_empty());
        let run = consumer.run_until(world.source(), async {
            done.await;
            stopped.store(true, Ordering::SeqCst);
        });
        if let Some(ended) = cut.cut(run).await {
            ended.unwrap();
            assert!(stopped.load(Ordering::SeqCst));
        }
        drop(consumer);
        goes_on(&world, &*store, &handler, cut).await;
    })
    .await;
}

/// As above, from the moment when it is told to stop in the middle of things.
async fn a_run_that_is_being_shut_down(stores: Stores) {
    sweep(stores.wide_cuts(), 2, async |cut| {
        let (world, store, handler) = (World::with(&TEXTS), stores.make().await, handler());
        let consumer = quick(&handler, store.waiting_handle().await);
        let (stop, told) = tokio::sync::oneshot::channel::<()>();
        let mut run = Box::pin(consumer.run_until(world.source(), async {
            drop(told.await);
        }));
        let begun = until(|| handler.runs.runs().len() >= 3);
        tokio::select! {
            ended = &mut run => panic!("it ends by itself: {ended:?}"),
            () = begun => {}
        }
        drop(stop);
        if let Some(ended) = cut.cut(run).await {
            ended.unwrap();
        }
        drop(consumer);
        goes_on(&world, &*store, &handler, cut).await;
    })
    .await;
}

async fn until(so: impl Fn() -> bool) {
    while !so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn goes_on(world: &World, store: &dyn Store, handler: &Scripted, cut: &CutAt) {
    // The tasks of a consumer that is gone are told to end, and are dropped when their turn comes.
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
    let again =
        consumer(handler, store.fresh_handle().await).with_retry_policy(at_once()).with_timeouts(soon());
    let running = Running::start(again, world.source());
    eventually("everything is handled", || order::missing(&world.sent(), &handler.runs.runs()).is_empty())
        .await;
    eventually("the broker is told so", || world.broker.lag(NAME) == 0).await;
    running.stop().await;
    everything_is_handled(store, handler, cut).await;
}

async fn a_run_of_retries_alone(stores: Stores) {
    sweep(stores.wide_cuts(), 6, async |cut| {
        let (store, handler) = (stores.make().await, handler());
        let before = quick(&handler, store.fresh_handle().await);
        for index in 0..TEXTS.len() {
            assert!(acknowledged(&before.process(event(index)).await.unwrap()));
        }
        drop(before);
        let consumer = quick(&handler, store.waiting_handle().await);
        let run =
            consumer.run_retries_until(until(|| order::missing(&sent(), &handler.runs.runs()).is_empty()));
        if let Some(ended) = cut.cut(run).await {
            ended.unwrap();
        }
        drop(consumer);
        everything_is_handled(&*store, &handler, cut).await;
    })
    .await;
}
