//! Scenario 41: one entity with very many held events drains in order, in bounded memory, while others go on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ordered_consumer::{
    ConsumerName, Event, FailureLog, Limits, MemoryFailureLog, OrderedConsumer, RetryPolicy,
    in_memory_broker::{GroupOptions, InMemoryBroker, TopicOptions},
};
use ordered_consumer_tests::{
    Running, eventually,
    world::{NAME, TOPIC},
};

/// What the process has in memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

/// The handler: entity `hot` fails until it is let, and is then counted, in order; others are counted.
#[derive(Clone, Default)]
struct Counts {
    open: Arc<AtomicBool>,
    hot: Arc<AtomicU64>,
    others: Arc<AtomicU64>,
    overtaken: Arc<AtomicU64>,
}

impl Counts {
    fn handle(&self, event: &Event) -> Result<(), &'static str> {
        if event.entity().as_ref() != b"hot" {
            self.others.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        if !self.open.load(Ordering::SeqCst) {
            return Err("not yet");
        }
        let expected = self.hot.fetch_add(1, Ordering::SeqCst);
        let came = event.payload().unwrap()[..8].try_into().map(u64::from_be_bytes).unwrap();
        if came != expected {
            self.overtaken.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// One at a time: what they measure is the memory of the whole process.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn drains(events: u64) {
    let _alone = ALONE.lock().await;
    let broker = InMemoryBroker::new();
    let options = TopicOptions { drop_settled: true, retained_max: 10_000_000, ..TopicOptions::default() };
    broker.create_topic_with(TOPIC, options).unwrap();
    broker.create_group(NAME, GroupOptions::default());
    let (log, counts) = (MemoryFailureLog::new(), Counts::default());
    let handler = {
        let counts = counts.clone();
        move |event: Event| {
            let handled = counts.handle(&event);
            async move { handled }
        }
    };
    let all = 10 * events;
    let limits = Limits {
        held_events_max: all,
        held_bytes_max: u64::MAX,
        held_events_total_max: all,
        held_bytes_total_max: u64::MAX,
        ..Limits::default()
    };
    let policy = RetryPolicy::fixed(Duration::from_secs(60)).immediate(0).attempts_max(1_000_000);
    let consumer =
        OrderedConsumer::new(NAME, handler, log.clone()).with_limits(limits).with_retry_policy(policy);
    let running = Running::start(consumer, broker.subscribe(NAME, &[TOPIC]).unwrap());
    let name = ConsumerName::new(NAME).unwrap();
    for number in 0..events {
        let mut payload = vec![7; 200];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        broker.publish(TOPIC, "hot", payload).unwrap();
        if number % 10_000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    eventually("all are settled", || broker.lag(NAME) == 0).await;
    assert_eq!(log.totals(&name).await.unwrap().held_events, events, "all are held");
    let before = resident();
    counts.open.store(true, Ordering::SeqCst);
    let (mut most, mut sent, mut seen, mut idle) = (before, 0, 0, 0);
    // An event of another entity at each step of the drain, which is handled before the next.
    while counts.hot.load(Ordering::SeqCst) < events {
        if counts.others.load(Ordering::SeqCst) == sent {
            most = most.max(resident());
            broker.publish(TOPIC, format!("other{sent}"), "x").unwrap();
            sent += 1;
        }
        // The paused clock moves on only when nothing is to be done, and a drain that flows never lets it.
        let hot = counts.hot.load(Ordering::SeqCst);
        idle = if hot == seen { idle + 1 } else { 0 };
        seen = hot;
        if idle > 1_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
    eventually("the others are handled", || counts.others.load(Ordering::SeqCst) == sent).await;
    running.stop().await;
    assert!(sent > 10, "others were handled beside the drain: {sent}");
    assert_eq!(counts.overtaken.load(Ordering::SeqCst), 0, "in order");
    assert_eq!(log.totals(&name).await.unwrap().held_events, 0);
    let grown = most.saturating_sub(before);
    assert!(grown < 32 << 20, "memory grew by {grown} bytes while {events} events drained");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_held_events_of_one_entity_drain_in_order_and_in_bounded_memory() {
    drains(100_000).await;
}

// As long as a release build takes for it.
#[cfg(not(debug_assertions))]
#[tokio::test(start_paused = true)]
async fn a_million_held_events_of_one_entity_drain_in_order_and_in_bounded_memory() {
    drains(1_000_000).await;
}
