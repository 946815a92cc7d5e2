//! A queue that was deleted and made again under the same name.

use std::time::Duration;

use ordered_consumer::{
    Event, GateQuery, HandlerError, MemoryFailureLog, RetryPolicy, StreamDecision, StreamName,
};
use ordered_consumer_sqs::{SqsPublisher, SqsSource};

use crate::{
    fake_sqs::FakeSqs,
    rig::{Ran, Told, VISIBILITY, builder, consumer, handler, run_until},
};

const QUEUE: &str = "orders.fifo";
const RETRY: &str = "orders-retry.fifo";
const MINUTES: Duration = Duration::from_secs(60);

async fn open(sqs: &FakeSqs) -> (SqsSource, SqsPublisher) {
    let url = sqs.make_unless_made(QUEUE, VISIBILITY);
    let retry = sqs.make_unless_made(RETRY, VISIBILITY);
    let source = builder(sqs, &url).retry_queue(&retry).open().await.unwrap();
    (source, SqsPublisher::open(sqs.client(), &retry).await.unwrap())
}

/// Both queues are empty.
fn is_empty(sqs: &FakeSqs) -> bool {
    [QUEUE, RETRY].iter().all(|name| sqs.queue(name, |queue| queue.kept().is_empty()))
}

/// A group that has had a failure, up to its fourth message, and another one that is parked; then the queue is another one, with
/// messages of lower sequence numbers.
async fn recreated(log: &MemoryFailureLog) -> FakeSqs {
    let sqs = FakeSqs::default();
    sqs.make(QUEUE, VISIBILITY);
    for body in ["0", "1", "2", "3"] {
        sqs.send(QUEUE, "g", body);
    }
    sqs.send(QUEUE, "h", "refused");
    let ran = Ran::default();
    let seen = ran.clone();
    let fails = move |event: Event| {
        seen.add(&event);
        let first = event.context().attempt == 1;
        let failed = match event.payload().unwrap().as_ref() {
            b"refused" => Err(ordered_consumer::permanent("it is refused")),
            b"0" if first => Err(HandlerError::from(std::io::Error::other("on purpose"))),
            _ => Ok(()),
        };
        async move { failed }
    };
    let (source, publisher) = open(&sqs).await;
    let consumer = consumer(fails, log.clone()).with_publisher(publisher);
    run_until(&consumer, source, MINUTES, || is_empty(&sqs) && ran.all().len() == 6).await.unwrap();
    sqs.make(QUEUE, VISIBILITY);
    for body in ["4", "5"] {
        sqs.send(QUEUE, "g", body);
    }
    sqs
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_made_again_stops_its_stream_and_nothing_of_it_is_handled_or_deleted() {
    let log = MemoryFailureLog::new();
    let sqs = recreated(&log).await;
    let (told, _listens) = Told::listen();
    let (source, publisher) = open(&sqs).await;
    let ran = Ran::default();
    let consumer = consumer(handler(&ran, |_| false), log).with_publisher(publisher);
    let before = sqs.requests("DeleteMessageBatch").len();
    let begun = tokio::time::Instant::now();
    // For long after its visibility has run out.
    let so = || begun.elapsed() > VISIBILITY * 5;
    run_until(&consumer, source, MINUTES * 10, so).await.unwrap();
    assert!(ran.all().is_empty());
    assert_eq!(sqs.queue(QUEUE, |queue| queue.kept().join(" ")), "4 5");
    assert!(sqs.queue(QUEUE, |queue| queue.in_flight().is_empty()), "nothing is kept from others");
    assert_eq!(sqs.requests("DeleteMessageBatch").len(), before);
    let why = "(it was deleted and created again?)";
    assert_eq!(told.count(why), 1, "{}", told.all());
    assert!(told.all().lines().any(|line| line.contains(why) && line.contains("stream=orders.fifo")));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_made_again_goes_on_as_a_new_stream_and_what_the_old_one_held_comes_back() {
    let log = MemoryFailureLog::new();
    let sqs = recreated(&log).await;
    let (source, publisher) = open(&sqs).await;
    let ran = Ran::default();
    let policy = RetryPolicy::fixed(Duration::from_secs(1)).immediate(0);
    let consumer =
        consumer(handler(&ran, |_| false), log).with_publisher(publisher).with_retry_policy(policy);
    run_until(&consumer, source, MINUTES, || !consumer.stopped_streams().is_empty()).await.unwrap();
    let operator = consumer.operator("ann").unwrap();
    let stream = StreamName::new(QUEUE).unwrap();
    operator.decide_stream(&stream, StreamDecision::NewStream, "it was made again").await.unwrap();
    let (source, _) = open(&sqs).await;
    run_until(&consumer, source, MINUTES, || ran.all().len() == 2 && is_empty(&sqs)).await.unwrap();
    assert_eq!(ran.all(), ["g 4", "g 5"]);
    // What was set apart has another stream's name, and comes back through the same retry queue.
    let apart = operator.list(&GateQuery { limit: 10, ..GateQuery::default() }).await.unwrap();
    assert_eq!(apart.len(), 1);
    operator.retry(&apart[0], "it is mended").await.unwrap();
    let before = sqs.requests("SendMessageBatch").len();
    let (source, _) = open(&sqs).await;
    run_until(&consumer, source, MINUTES, || ran.all().len() == 3 && is_empty(&sqs)).await.unwrap();
    assert_eq!(ran.all().last().map(String::as_str), Some("h refused"));
    assert!(sqs.requests("SendMessageBatch").len() > before);
    assert_eq!(operator.totals().await.unwrap().gated_entities, 0, "nothing is left behind");
}
