//! Events on their way back through a retry queue, and those that no queue can take.

use std::time::Duration;

use ordered_consumer::{Event, MemoryFailureLog, RetryPolicy};
use ordered_consumer_sqs::SqsPublisher;
use serde_json::{Value, json};

use crate::{
    fake_sqs::{FakeSqs, Fault},
    rig::{Ran, VISIBILITY, builder, consumer, handler, run_until},
};

const QUEUE: &str = "orders.fifo";
const RETRY: &str = "orders-retry.fifo";
const MINUTES: Duration = Duration::from_secs(60);

/// Everything that was sent to the retry queue, with the attribute that is ours.
fn published(sqs: &FakeSqs) -> Vec<(String, Value)> {
    let of = |(_, asked): (_, Value)| asked["Entries"].as_array().unwrap().clone();
    let entries = sqs.requests("SendMessageBatch").into_iter().flat_map(of);
    let copied = |entry: Value| {
        let ours = entry["MessageAttributes"]["ordered-consumer"]["StringValue"].as_str().unwrap().to_owned();
        (ours, entry)
    };
    entries.map(copied).collect()
}

/// Runs until both queues are empty. The first event of every group fails at first; gives what ran.
async fn runs(sqs: &FakeSqs, policy: RetryPolicy, within: Duration) -> Vec<String> {
    let url = sqs.make_unless_made(QUEUE, VISIBILITY);
    let retry_url = sqs.make_unless_made(RETRY, VISIBILITY);
    let ran = Ran::default();
    let fails = |event: &Event| event.context().attempt == 1 && event.payload().unwrap().starts_with(b"0");
    let publisher = SqsPublisher::open(sqs.client(), &retry_url).await.unwrap();
    let consumer = consumer(handler(&ran, fails), MemoryFailureLog::new())
        .with_retry_policy(policy)
        .with_publisher(publisher);
    let operator = consumer.operator("test").unwrap();
    let source = builder(sqs, &url).retry_queue(&retry_url).wait(Duration::from_secs(20)).receivers(1);
    let source = source.open().await.unwrap();
    let left = |name| sqs.queue(name, |queue| queue.kept().len());
    let sent: usize = left(QUEUE);
    // Each of them once, and the first of every group once more.
    let groups = sqs.queue(QUEUE, |queue| queue.groups());
    let done = || ran.all().len() == sent + groups && left(QUEUE) + left(RETRY) == 0;
    run_until(&consumer, source, within, done).await.unwrap();
    assert_eq!(operator.totals().await.unwrap().gated_entities, 0, "nothing is left behind");
    ran.all()
}

fn in_order(group: &str, count: usize) -> Vec<String> {
    // The first one fails, and comes again.
    [0].into_iter().chain(0..count).map(|number| format!("{group} {number}")).collect()
}

fn seconds() -> RetryPolicy {
    RetryPolicy::fixed(Duration::from_secs(1)).immediate(0)
}

// SQS's own delays end at 15 minutes, and an invisible message comes again after twelve hours.
#[tokio::test(start_paused = true)]
async fn a_delay_of_thirteen_hours_is_waited_for_by_the_failure_log() {
    let sqs = FakeSqs::default();
    sqs.make(QUEUE, VISIBILITY);
    for number in 0..3 {
        sqs.send(QUEUE, "g", &number.to_string());
    }
    let begun = tokio::time::Instant::now();
    let hours = Duration::from_secs(13 * 3_600);
    let policy = RetryPolicy::fixed(hours).jitter(0.0).immediate(0);
    let ran = runs(&sqs, policy, hours * 2).await;
    assert_eq!(ran, in_order("g", 3));
    assert!(begun.elapsed() >= hours, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn any_group_id_that_sqs_allows_comes_back_as_it_was() {
    let sqs = FakeSqs::default();
    sqs.make(QUEUE, VISIBILITY);
    let groups = ["!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "0", &"g".repeat(128), "null", "{\"v\":1}"];
    for number in 0..2 {
        for group in groups {
            sqs.send(QUEUE, group, &number.to_string());
        }
    }
    let ran = runs(&sqs, seconds(), 10 * MINUTES).await;
    for group in groups {
        let of: Vec<String> =
            ran.iter().filter(|line| line.split(' ').next() == Some(group)).cloned().collect();
        assert_eq!(of, in_order(group, 2));
        assert!(published(&sqs).iter().any(|(_, entry)| entry["MessageGroupId"] == *group), "{group}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_keeps_group_body_and_attributes_and_has_one_more_and_an_id_of_its_own() {
    let sqs = FakeSqs::default();
    sqs.make(QUEUE, VISIBILITY);
    let attributes = json!({ "kind": { "DataType": "String", "StringValue": "paid" }, "n": { "DataType": "Number", "StringValue": "7" } });
    let index = sqs.queue(QUEUE, |queue| queue.send("g", "0", "the-original", attributes.clone()));
    runs(&sqs, seconds(), 10 * MINUTES).await;
    let (ours, entry) = published(&sqs).remove(0);
    assert_eq!((&entry["MessageGroupId"], &entry["MessageBody"]), (&json!("g"), &json!("0")));
    assert_eq!(entry["MessageAttributes"].as_object().unwrap().len(), 3);
    for name in ["kind", "n"] {
        assert_eq!(entry["MessageAttributes"][name], attributes[name]);
    }
    let ours: Value = serde_json::from_str(&ours).unwrap();
    assert_eq!((&ours["index"], &ours["stream"]), (&json!(index.to_string()), &json!(QUEUE)));
    assert_ne!(entry["MessageDeduplicationId"], "the-original");
}

/// Events of a group of which the first can be no copy: it comes back all the same, and in order.
async fn comes_back_in_process(body: &str, attributes: Value, change: impl FnOnce(&FakeSqs)) -> FakeSqs {
    let sqs = FakeSqs::default();
    sqs.make(QUEUE, VISIBILITY);
    sqs.make(RETRY, VISIBILITY);
    sqs.queue(QUEUE, |queue| queue.send("g", body, "d", attributes));
    for number in 1..4 {
        sqs.send(QUEUE, "g", &number.to_string());
    }
    change(&sqs);
    let ran: Vec<String> = runs(&sqs, seconds(), 60 * MINUTES)
        .await
        .into_iter()
        .map(|line| line.chars().take(3).collect())
        .collect();
    assert_eq!(ran, in_order("g", 3 + 1));
    sqs
}

fn was_not_published(sqs: &FakeSqs, body: &str) {
    assert!(published(sqs).iter().all(|(_, entry)| entry["MessageBody"] != body), "it cannot be a copy");
}

#[tokio::test(start_paused = true)]
async fn an_event_with_ten_attributes_of_its_own_comes_back_in_process_and_in_order() {
    let attribute = json!({ "DataType": "String", "StringValue": "v" });
    let attributes: serde_json::Map<String, Value> =
        (0..10).map(|number| (format!("a{number}"), attribute.clone())).collect();
    let sqs = comes_back_in_process("0 with ten", Value::from(attributes), |_| {}).await;
    was_not_published(&sqs, "0 with ten");
}

#[tokio::test(start_paused = true)]
async fn an_event_of_just_the_limit_comes_back_in_process_and_in_order() {
    let body = format!("0{}", "x".repeat(262_143));
    let sqs = comes_back_in_process(&body, json!({}), |_| {}).await;
    was_not_published(&sqs, &body);
}

#[tokio::test(start_paused = true)]
async fn an_event_with_control_characters_comes_back_in_process_and_in_order() {
    let sqs = comes_back_in_process("0\u{1b}[2J", json!({}), |_| {}).await;
    was_not_published(&sqs, "0\u{1b}[2J");
}

// It says as a whole that a message is too long, and not which; nobody has told the publisher of the new limit.
#[tokio::test(start_paused = true)]
async fn an_event_that_the_queue_takes_no_more_comes_back_in_process_and_in_order() {
    let lower = |sqs: &FakeSqs| sqs.queue(RETRY, |queue| queue.bytes_max = 4_096);
    let sqs = comes_back_in_process(&format!("0{}", "x".repeat(10_000)), json!({}), lower).await;
    let asked = sqs.requests("SendMessageBatch").len();
    assert!(asked < 20, "asked {asked} times: not again and again");
}

#[tokio::test(start_paused = true)]
async fn a_retry_queue_that_is_throttled_has_everything_come_back_in_order_later() {
    let sqs = FakeSqs::default();
    sqs.make(QUEUE, VISIBILITY);
    for number in 0..4 {
        sqs.send(QUEUE, "g", &number.to_string());
    }
    sqs.fail("SendMessageBatch", 5, Fault::Refused("RequestThrottled"));
    assert_eq!(runs(&sqs, seconds(), 60 * MINUTES).await, in_order("g", 4));
}

// Whether it went out nobody knows; it is sent again, and the second copy runs nothing.
#[tokio::test(start_paused = true)]
async fn a_publish_of_which_the_answer_was_lost_runs_nothing_twice() {
    let sqs = FakeSqs::default();
    sqs.make(QUEUE, VISIBILITY);
    for number in 0..4 {
        sqs.send(QUEUE, "g", &number.to_string());
    }
    sqs.fail("SendMessageBatch", 2, Fault::AnswerLost);
    assert_eq!(runs(&sqs, seconds(), 60 * MINUTES).await, in_order("g", 4));
}
