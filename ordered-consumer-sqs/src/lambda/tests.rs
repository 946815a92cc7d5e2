use std::sync::{Arc, Mutex};

use ordered_consumer::{HandlerError, MemoryFailureLog};

use super::*;

/// Lambda's own shape of an event, as its documentation shows it.
fn event(messages: &[(&str, &str, u32)]) -> SqsEvent {
    let record = |(place, (id, group, sequence)): (usize, &(&str, &str, u32))| {
        serde_json::json!({
            "messageId": id,
            "receiptHandle": "AQEB",
            "body": format!("body of {id}"),
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1573251510774",
                "SequenceNumber": (18_849_496_460_467_696_128_u128 + u128::from(*sequence)).to_string(),
                "MessageGroupId": group,
                "SenderId": "AIDAIO23YVJENQZJOL4VO",
                "MessageDeduplicationId": format!("d{place}"),
                "ApproximateFirstReceiveTimestamp": "1573251510774"
            },
            "messageAttributes": {
                "kind": { "stringValue": "order.paid", "stringListValues": [], "binaryListValues": [], "dataType": "String" }
            },
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:orders.fifo",
            "awsRegion": "us-east-2"
        })
    };
    let records: Vec<_> = messages.iter().enumerate().map(record).collect();
    serde_json::from_value(serde_json::json!({ "Records": records })).unwrap()
}

fn failed(response: &SqsBatchResponse) -> Vec<&str> {
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
}

type Ran = Arc<Mutex<Vec<String>>>;

fn batches(
    fails: impl Fn(&str) -> Result<(), HandlerError> + Send + Sync + 'static,
) -> (SqsBatches<impl Handler>, Ran) {
    let ran = Ran::default();
    let (seen, fails) = (Arc::clone(&ran), Arc::new(fails));
    let handler = move |event: Event| {
        let body = String::from_utf8_lossy(event.payload().unwrap()).into_owned();
        seen.lock().unwrap().push(body.clone());
        let fails = Arc::clone(&fails);
        async move { fails(&body) }
    };
    (SqsBatches::new(OrderedConsumer::new("billing", handler, MemoryFailureLog::new())), ran)
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_logged_lets_lambda_delete_the_whole_batch() {
    let (batches, ran) = batches(|body| match body {
        "body of 1" => Err(HandlerError::from(std::io::Error::other("no"))),
        _ => Ok(()),
    });
    let response = batches.handle_batch(event(&[("1", "a", 1), ("2", "a", 2), ("3", "b", 3)])).await;
    assert!(failed(&response).is_empty(), "2 is held behind 1, and both are durable");
    let mut ran = ran.lock().unwrap().clone();
    ran.sort();
    // It is tried twice in place before it is logged.
    assert_eq!(ran, ["body of 1", "body of 1", "body of 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_done_with_stops_its_group_and_no_other() {
    let (batches, _) = batches(|body| match body {
        "body of 1" => Err(ordered_consumer::unavailable("the bank is away")),
        _ => Ok(()),
    });
    let messages = [("0", "a", 1), ("1", "a", 2), ("2", "b", 3), ("3", "a", 4), ("4", "c", 5)];
    let failed: Vec<String> =
        failed(&batches.handle_batch(event(&messages)).await).into_iter().map(str::to_owned).collect();
    assert!(failed.contains(&"1".to_owned()) && failed.contains(&"3".to_owned()), "{failed:?}");
    assert!(!failed.contains(&"0".to_owned()), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_group_of_finer_entities_stops_as_a_whole() {
    let (batches, _) = batches(|body| match body {
        "body of 1" => Err(ordered_consumer::unavailable("the bank is away")),
        _ => Ok(()),
    });
    let finer = SqsMapping::new()
        .entity_within_group(|message| message.deduplication_id().map(|id| Bytes::from(id.to_owned())));
    let response = batches.mapping(finer).handle_batch(event(&[("1", "a", 1), ("2", "a", 2)])).await;
    assert_eq!(failed(&response), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_group_is_left_in_its_queue_and_what_is_behind_it_does_not_run() {
    let (batches, ran) = batches(|_| Ok(()));
    let response = batches.handle_batch(event(&[("1", "", 1), ("2", "a", 2), ("3", "", 3)])).await;
    assert_eq!(failed(&response), ["1", "3"]);
    assert_eq!(*ran.lock().unwrap(), ["body of 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_without_an_id_fails_the_batch_as_lambda_reads_it() {
    let (batches, _) = batches(|_| Ok(()));
    let mut event = event(&[("1", "", 1)]);
    event.records[0].message_id = None;
    assert_eq!(failed(&batches.handle_batch(event).await), [""]);
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_once_the_invocation_is_over() {
    let (batches, ran) = batches(|_| Ok(()));
    let response = batches.handle_batch_within(event(&[("1", "a", 1)]), Duration::ZERO).await;
    assert_eq!(failed(&response), ["1"]);
    assert!(ran.lock().unwrap().is_empty());
}

/// A message of the group `a` with our attribute, as `id` says that it was sent.
fn with_our_attribute(id: impl FnOnce(&ordered_consumer::ReleasedEvent) -> String) -> SqsEvent {
    let stream = StreamName::new("orders.fifo").unwrap();
    let original = Event::builder(stream, ordered_consumer::Index::new(7), "a").payload("body of 1").build();
    let released = ordered_consumer::ReleasedEvent { event: original, attempts: 1 };
    let ours = copy_attribute::encode(&released).unwrap();
    let mut event = event(&[("1", "a", 1)]);
    let record = &mut event.records[0];
    record.attributes.insert("MessageDeduplicationId".to_owned(), id(&released));
    let attribute = serde_json::json!({
        "stringValue": std::str::from_utf8(&ours.value).unwrap(),
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String"
    });
    let attribute = serde_json::from_value(attribute).unwrap();
    record.message_attributes.insert(copy_attribute::NAME.to_owned(), attribute);
    event
}

#[tokio::test(start_paused = true)]
async fn a_copy_on_the_functions_own_queue_is_acknowledged_and_nothing_runs_by_it() {
    let (batches, ran) = batches(|_| Ok(()));
    let queue = "arn:aws:sqs:us-east-2:123456789012:orders.fifo".to_owned();
    let ids = crate::deduplication::DeduplicationIds::new(queue).unwrap();
    let response = batches.handle_batch(with_our_attribute(|released| ids.next(released))).await;
    assert!(failed(&response).is_empty());
    assert!(ran.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_forwarded_is_an_event_and_not_acknowledged_before_it_has_run() {
    let elsewhere = "arn:aws:sqs:us-east-2:123456789012:orders-retry.fifo".to_owned();
    let ids = crate::deduplication::DeduplicationIds::new(elsewhere).unwrap();
    let forwards: [&dyn Fn(&ordered_consumer::ReleasedEvent) -> String; 2] =
        [&|_| "of-the-forwarder".to_owned(), &|released| ids.next(released)];
    for forward in forwards {
        let (batches, ran) = batches(|_| Err(ordered_consumer::unavailable("the bank is away")));
        let response = batches.handle_batch(with_our_attribute(forward)).await;
        assert_eq!(failed(&response), ["1"]);
        assert_eq!(*ran.lock().unwrap(), ["body of 1"]);
    }
}
