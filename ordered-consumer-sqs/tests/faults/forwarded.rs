//! What is a copy and what is none: only what a publisher has sent, to the queue on which it is.

use std::time::Duration;

use ordered_consumer::{Event, MemoryFailureLog, RetryPolicy};
use ordered_consumer_sqs::SqsPublisher;
use serde_json::Value;

use crate::{
    fake_sqs::FakeSqs,
    rig::{Ran, Told, VISIBILITY, builder, consumer, handler, run_until},
};

const QUEUE: &str = "orders.fifo";
const RETRY: &str = "orders-retry.fifo";
const OTHER: &str = "payments.fifo";
const OTHER_RETRY: &str = "payments-retry.fifo";
const MINUTES: Duration = Duration::from_secs(60);

fn fails_at_first(event: &Event) -> bool {
    event.context().attempt == 1
}

/// Handles everything of a queue for the first time, in vain, and leaves it in the log.
async fn fails(sqs: &FakeSqs, queue: &str, log: &MemoryFailureLog, ran: &Ran) {
    let url = sqs.make_unless_made(queue, VISIBILITY);
    let source = builder(sqs, &url).open().await.unwrap();
    let policy = RetryPolicy::fixed(MINUTES).immediate(0);
    let consumer = consumer(handler(ran, |_| true), log.clone()).with_retry_policy(policy);
    let gone = || sqs.queue(queue, |queue| queue.kept().is_empty());
    run_until(&consumer, source, MINUTES / 2, gone).await.unwrap();
}

/// Has what is due published to a queue, from which nobody takes it.
async fn publishes(sqs: &FakeSqs, to: &str, log: &MemoryFailureLog) {
    let url = sqs.make_unless_made(to, VISIBILITY);
    let publisher = SqsPublisher::open(sqs.client(), &url).await.unwrap();
    let consumer = consumer(handler(&Ran::default(), |_| true), log.clone()).with_publisher(publisher);
    let published = async {
        while sqs.queue(to, |queue| queue.kept().is_empty()) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    consumer.run_retries_until(published).await.unwrap();
}

/// Everything of these queues is handled and deleted, through the first of them and the retry queue, and nothing is left in
/// the log. The main queue is its own retry queue, or has one of its own.
async fn goes_on(sqs: &FakeSqs, queue: &str, retry: Option<&str>, log: &MemoryFailureLog, ran: &Ran) {
    let url = sqs.make_unless_made(queue, VISIBILITY);
    let mut source = builder(sqs, &url);
    let mut to = url;
    if let Some(retry) = retry {
        to = sqs.make_unless_made(retry, VISIBILITY);
        source = source.retry_queue(&to);
    }
    let publisher = SqsPublisher::open(sqs.client(), &to).await.unwrap();
    let consumer = consumer(handler(ran, fails_at_first), log.clone()).with_publisher(publisher);
    let operator = consumer.operator("test").unwrap();
    let left = |name: &str| sqs.queue(name, |queue| queue.kept().len());
    let kept = || left(queue) + retry.map_or(0, left);
    let source = source.open().await.unwrap();
    let (mut ran_before, mut calm) = (0, 0);
    // For so long that what was to run has run: retries are after a second.
    let done = || {
        let runs = ran.all().len();
        calm = if kept() > 0 || runs > ran_before { 0 } else { calm + 1 };
        ran_before = runs;
        calm > 4_000
    };
    run_until(&consumer, source, 10 * MINUTES, done).await.unwrap();
    assert_eq!(operator.totals().await.unwrap().gated_entities, 0, "nothing is left behind");
}

/// What was sent to a retry queue: a copy of the only event of the main queue, which has failed.
async fn a_copy(sqs: &FakeSqs) -> Value {
    sqs.make(QUEUE, VISIBILITY);
    sqs.send(QUEUE, "g", "paid");
    let log = MemoryFailureLog::new();
    fails(sqs, QUEUE, &log, &Ran::default()).await;
    publishes(sqs, RETRY, &log).await;
    let (_, asked) = sqs.requests("SendMessageBatch").remove(0);
    asked["Entries"][0].clone()
}

/// Another service puts the copy on a main queue, in whose failure log nothing is known of it.
async fn is_an_event(to: &str, id: Option<&str>, retry: Option<&str>) {
    let sqs = FakeSqs::default();
    let copy = a_copy(&sqs).await;
    sqs.make_unless_made(to, VISIBILITY);
    let id = id.unwrap_or_else(|| copy["MessageDeduplicationId"].as_str().unwrap());
    sqs.queue(to, |queue| queue.send("g", "paid", id, copy["MessageAttributes"].clone()));
    sqs.send(to, "g", "shipped");
    let ran = Ran::default();
    let seen = sqs.clone();
    let (queue, log) = (to.to_owned(), MemoryFailureLog::new());
    let url = sqs.make_unless_made(to, VISIBILITY);
    let watches = handler(&ran, move |event: &Event| {
        let body = std::str::from_utf8(event.payload().unwrap()).unwrap();
        let kept = seen.queue(&queue, |queue| queue.kept().contains(&body));
        assert!(kept, "it is deleted after it is handled, not before");
        false
    });
    let (mut source, publisher) = (builder(&sqs, &url), retry.map(|retry| sqs.make(retry, VISIBILITY)));
    if let Some(retry) = &publisher {
        source = source.retry_queue(retry);
    }
    let consumer = consumer(watches, log);
    let gone = || sqs.queue(to, |queue| queue.kept().is_empty());
    run_until(&consumer, source.open().await.unwrap(), MINUTES, gone).await.unwrap();
    assert_eq!(ran.all(), ["g paid", "g shipped"], "{to}, {id}, {retry:?}");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_forwarded_under_an_id_of_its_own_is_an_event_whatever_the_layout() {
    for retry in [None, Some(OTHER_RETRY)] {
        for to in [OTHER, QUEUE] {
            is_an_event(to, Some("of-the-forwarder"), retry).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_forwarded_to_another_queue_as_it_was_is_an_event_whatever_the_layout() {
    for retry in [None, Some(OTHER_RETRY)] {
        is_an_event(OTHER, None, retry).await;
    }
}

// Its attribute is a header that no copy can have beside ours.
#[tokio::test(start_paused = true)]
async fn a_forwarded_copy_that_fails_comes_back_in_process_and_in_order() {
    let sqs = FakeSqs::default();
    let copy = a_copy(&sqs).await;
    sqs.make(OTHER, VISIBILITY);
    sqs.queue(OTHER, |queue| queue.send("g", "paid", "of-the-forwarder", copy["MessageAttributes"].clone()));
    sqs.send(OTHER, "g", "shipped");
    let ran = Ran::default();
    let before = sqs.requests("SendMessageBatch").len();
    goes_on(&sqs, OTHER, Some(OTHER_RETRY), &MemoryFailureLog::new(), &ran).await;
    assert_eq!(ran.all(), ["g paid", "g paid", "g shipped", "g shipped"]);
    let sent = sqs.requests("SendMessageBatch").split_off(before);
    let bodies = sent.iter().flat_map(|(_, asked)| asked["Entries"].as_array().unwrap());
    assert!(bodies.into_iter().all(|entry| entry["MessageBody"] != "paid"));
}

#[tokio::test(start_paused = true)]
async fn a_copy_on_the_main_queue_is_still_known_once_there_is_a_retry_queue_of_its_own() {
    let sqs = FakeSqs::default();
    sqs.make(QUEUE, VISIBILITY);
    sqs.send(QUEUE, "g", "paid");
    let (log, ran) = (MemoryFailureLog::new(), Ran::default());
    fails(&sqs, QUEUE, &log, &ran).await;
    publishes(&sqs, QUEUE, &log).await;
    goes_on(&sqs, QUEUE, Some(RETRY), &log, &ran).await;
    assert_eq!(ran.all(), ["g paid", "g paid"], "it has run in vain once, and came back once");
}

// One consumer's relays take what is due of all its queues, and publish it to the retry queue that they know.
#[tokio::test(start_paused = true)]
async fn a_copy_of_the_consumers_other_queue_comes_back_whatever_the_layout() {
    for retry in [None, Some(RETRY)] {
        let sqs = FakeSqs::default();
        sqs.make(QUEUE, VISIBILITY);
        sqs.send(QUEUE, "g", "paid");
        let (log, ran) = (MemoryFailureLog::new(), Ran::default());
        fails(&sqs, QUEUE, &log, &ran).await;
        publishes(&sqs, retry.unwrap_or(OTHER), &log).await;
        goes_on(&sqs, OTHER, retry, &log, &ran).await;
        assert_eq!(ran.all(), ["g paid", "g paid"], "{retry:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_forwarded_to_a_retry_queue_stops_its_group_there_and_no_other_and_says_so() {
    let (told, _listens) = Told::listen();
    let sqs = FakeSqs::default();
    let copy = a_copy(&sqs).await;
    sqs.make(OTHER_RETRY, VISIBILITY);
    let id = copy["MessageDeduplicationId"].as_str().unwrap();
    let forward = |id: &str| {
        sqs.queue(OTHER_RETRY, |queue| queue.send("g", "paid", id, copy["MessageAttributes"].clone()));
    };
    forward(id);
    let (log, ran) = (MemoryFailureLog::new(), Ran::default());
    sqs.make(OTHER, VISIBILITY);
    sqs.send(OTHER, "h", "shipped");
    fails(&sqs, OTHER, &log, &ran).await;
    let (url, retry) =
        (sqs.make_unless_made(OTHER, VISIBILITY), sqs.make_unless_made(OTHER_RETRY, VISIBILITY));
    let publisher = SqsPublisher::open(sqs.client(), &retry).await.unwrap();
    let consumer = consumer(handler(&ran, fails_at_first), log).with_publisher(publisher);
    let source = builder(&sqs, &url).retry_queue(&retry).open().await.unwrap();
    run_until(&consumer, source, 10 * MINUTES, || ran.all().len() == 2).await.unwrap();
    assert_eq!(ran.all(), ["h shipped", "h shipped"]);
    assert_eq!(sqs.queue(OTHER_RETRY, |queue| queue.kept().join(" ")), "paid", "it is not deleted");
    assert!(told.count("it was forwarded, or sent to another queue") > 0, "{}", told.all());
}
