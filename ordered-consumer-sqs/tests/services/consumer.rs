//! A whole consumer over a queue: order, retries through the queue, and what it costs in requests.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use aws_sdk_sqs::types::SendMessageBatchRequestEntry as Entry;
use bytes::Bytes;
use ordered_consumer::{Event, HandlerError, MemoryFailureLog, OrderedConsumer, RetryPolicy};
use ordered_consumer_sqs::{SqsMapping, SqsPublisher, SqsSource};
use tokio::sync::watch;

use crate::endpoint::{Emulator, Endpoint};

const VISIBILITY: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);

/// What handlers have handled, by group, and how many that is.
#[derive(Clone)]
struct Handled {
    by_group: Arc<Mutex<HashMap<Bytes, Vec<String>>>>,
    count: watch::Sender<usize>,
}

impl Handled {
    fn new() -> Self {
        Self { by_group: Arc::default(), count: watch::Sender::new(0) }
    }

    fn add(&self, event: &Event) {
        let body = String::from_utf8(event.payload().unwrap().to_vec()).unwrap();
        self.by_group.lock().unwrap().entry(event.entity().clone()).or_default().push(body);
        self.count.send_modify(|count| *count += 1);
    }

    async fn wait_for(&self, count: usize) {
        let mut counted = self.count.subscribe();
        let reached = tokio::time::timeout(PATIENCE, counted.wait_for(|reached| *reached >= count)).await;
        let so_far = *self.count.borrow();
        assert!(reached.is_ok(), "{so_far} of {count} were handled, and then nothing");
    }

    fn of(&self, group: &str) -> Vec<String> {
        self.by_group.lock().unwrap().get(group.as_bytes()).cloned().unwrap_or_default()
    }
}

/// Fills a queue: so many messages of each group, in turn.
async fn fill(endpoint: &Endpoint, url: &str, groups: usize, each: usize) {
    for number in 0..each {
        for chunk in (0..groups).collect::<Vec<_>>().chunks(10) {
            let entries = chunk.iter().map(|group| {
                let entry = Entry::builder().id(group.to_string()).message_body(number.to_string());
                let entry = entry.message_group_id(format!("g{group}"));
                entry.message_deduplication_id(format!("{group}-{number}")).build().unwrap()
            });
            let request = endpoint.client.send_message_batch().queue_url(url);
            let sent = request.set_entries(Some(entries.collect())).send().await.unwrap();
            assert!(sent.failed.is_empty(), "{sent:?}");
        }
    }
}

fn source(endpoint: &Endpoint, url: &str) -> ordered_consumer_sqs::SqsSourceBuilder {
    SqsSource::builder(endpoint.client.clone(), url).wait(Duration::from_secs(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_fails_comes_back_in_order_through_the_retry_queue_and_no_other_waits_for_it() {
    let endpoint = Endpoint::new(Emulator::Main).await;
    let url = endpoint.queue("main", true, VISIBILITY, &[]).await;
    let retry_url = endpoint.queue("retry", true, VISIBILITY, &[]).await;
    fill(&endpoint, &url, 10, 12).await;
    let handled = Handled::new();
    let (seen, failures) = (handled.clone(), Arc::new(AtomicU32::new(3)));
    let handler = move |event: Event| {
        let fails = event.entity() == "g3" && event.payload().unwrap() == "2" && {
            let left = |left: u32| left.checked_sub(1);
            failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok()
        };
        if !fails {
            seen.add(&event);
        }
        async move { if fails { Err(HandlerError::from(std::io::Error::other("on purpose"))) } else { Ok(()) } }
    };
    let publisher = SqsPublisher::open(endpoint.client.clone(), &retry_url).await.unwrap();
    let consumer = OrderedConsumer::new("billing", handler, MemoryFailureLog::new())
        .with_retry_policy(RetryPolicy::exponential(Duration::from_millis(50), 2.0))
        .with_publisher(publisher);
    let source = source(&endpoint, &url).retry_queue(&retry_url).open().await.unwrap();
    consumer.run_until(source, async { handled.wait_for(120).await }).await.unwrap();
    let in_order: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    for group in 0..10 {
        assert_eq!(handled.of(&format!("g{group}")), in_order, "group {group}");
    }
    assert!(endpoint.faults.count("SendMessageBatch") > 12, "copies went through the retry queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_needs_a_quarter_of_a_request_for_each_message_at_most() {
    const GROUPS: usize = 200;
    const EACH: usize = 10;
    let endpoint = Endpoint::new(Emulator::Main).await;
    let url = endpoint.queue("main", true, VISIBILITY, &[]).await;
    fill(&endpoint, &url, GROUPS, EACH).await;
    let handled = Handled::new();
    let seen = handled.clone();
    let handler = move |event: Event| {
        seen.add(&event);
        async { Ok::<(), HandlerError>(()) }
    };
    let consumer = OrderedConsumer::new("billing", handler, MemoryFailureLog::new());
    // A program that is not optimised, on a machine that does other things too, fills requests more slowly than they go after the
    // default of 5 ms; what that takes is shown by the benchmark program.
    let source = source(&endpoint, &url).delete_linger(Duration::from_millis(50)).open().await.unwrap();
    consumer.run_until(source, async { handled.wait_for(GROUPS * EACH).await }).await.unwrap();
    let asked = ["ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"];
    let requests: u64 = asked.iter().map(|operation| endpoint.faults.count(operation)).sum();
    let allowed = (GROUPS * EACH / 4) as u64;
    assert!(requests <= allowed, "{requests} requests for {} messages", GROUPS * EACH);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_mapped_stops_its_group_and_no_other() {
    let endpoint = Endpoint::new(Emulator::Main).await;
    let url = endpoint.queue("main", true, VISIBILITY, &[]).await;
    fill(&endpoint, &url, 3, 4).await;
    let handled = Handled::new();
    let seen = handled.clone();
    let handler = move |event: Event| {
        seen.add(&event);
        async { Ok::<(), HandlerError>(()) }
    };
    let consumer = OrderedConsumer::new("billing", handler, MemoryFailureLog::new());
    let mapping = SqsMapping::new().entity_within_group(|message| {
        let bad = message.group_id() == Some("g1") && message.body() == b"2";
        bad.then(|| Bytes::from(vec![b'x'; 2_000]))
    });
    let source = source(&endpoint, &url).mapping(mapping).open().await.unwrap();
    consumer.run_until(source, async { handled.wait_for(4 + 2 + 4).await }).await.unwrap();
    assert_eq!(handled.of("g1"), ["0", "1"]);
    assert_eq!((handled.of("g0").len(), handled.of("g2").len()), (4, 4));
}

/// Handlers that run, and whether two ever did at once. A panic in a handler would be a failure like others.
#[derive(Default)]
struct Running {
    now: AtomicU32,
    overlapped: AtomicBool,
}

/// Says that a handler runs, and that it does no more, however it ends.
struct Runs(Arc<Running>);

impl Runs {
    fn begin(running: &Arc<Running>) -> Self {
        let before = running.now.fetch_add(1, Ordering::SeqCst);
        running.overlapped.fetch_or(before > 0, Ordering::SeqCst);
        Self(Arc::clone(running))
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_visibility_runs_out_in_the_middle_of_a_handler_it_is_broken_off_before_another_consumer_begins()
{
    let endpoint = Endpoint::new(Emulator::Main).await;
    let url = endpoint.queue("main", true, Duration::from_secs(4), &[]).await;
    fill(&endpoint, &url, 1, 3).await;
    endpoint.faults.no_heartbeats.store(true, Ordering::SeqCst);
    let (failures, running, handled) = (MemoryFailureLog::new(), Arc::<Running>::default(), Handled::new());
    let (hangs, mut hanging) = watch::channel(false);
    let hanging_handler = {
        let running = Arc::clone(&running);
        move |_: Event| {
            let runs = Runs::begin(&running);
            hangs.send_replace(true);
            async move {
                std::future::pending::<()>().await;
                drop(runs);
                Ok::<(), HandlerError>(())
            }
        }
    };
    let handler = {
        let (running, handled) = (Arc::clone(&running), handled.clone());
        move |event: Event| {
            let runs = Runs::begin(&running);
            handled.add(&event);
            async move {
                drop(runs);
                Ok::<(), HandlerError>(())
            }
        }
    };
    let one = OrderedConsumer::new("billing", hanging_handler, failures.clone());
    let other = OrderedConsumer::new("billing", handler, failures);
    let of_one = source(&endpoint, &url).open().await.unwrap();
    let of_other = source(&endpoint, &url).open().await.unwrap();
    let (stop_one, mut stopped) = watch::channel(false);
    let runs_one = one.run_until(of_one, async move {
        // Whether it is told or its sender is gone, it stops.
        drop(stopped.wait_for(|stopped| *stopped).await);
    });
    let then_other = async {
        hanging.wait_for(|hanging| *hanging).await.unwrap();
        // It stops with its handler in the middle of something, which its visibility outlasts.
        stop_one.send_replace(true);
        other.run_until(of_other, async { handled.wait_for(3).await }).await.unwrap();
    };
    let (ended, ()) = tokio::join!(runs_one, then_other);
    ended.unwrap();
    assert_eq!(handled.of("g0"), ["0", "1", "2"]);
    assert!(!running.overlapped.load(Ordering::SeqCst), "two handlers of one group ran at the same time");
}
