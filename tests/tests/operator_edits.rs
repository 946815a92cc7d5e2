//! Scenario 49: an edited event runs as edited, and what it was can be read.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use bytes::Bytes;
use ordered_consumer::{EventError, HEADERS_MAX, Headers, Index, OperatorError, Outcome, RetryPolicy};
use ordered_consumer_tests::{
    Act, Running, Scripted, World, eventually, on_both_logs,
    operating::{Log, event, gate, key, quick},
    world::{NAME, operator},
};

on_both_logs!(
    an_edited_payload_is_what_runs_and_the_original_is_a_duplicate_when_it_comes_again,
    the_first_original_can_be_read_after_several_edits_and_after_its_success,
    an_edit_that_is_too_large_is_refused_and_nothing_is_done,
    what_is_shown_for_debugging_has_no_payload,
);

async fn an_edited_payload_is_what_runs_and_the_original_is_a_duplicate_when_it_comes_again(log: Log) {
    let handler = Scripted::new(|text, _| if text == "a1" { Act::Permanent } else { Act::Succeed });
    let consumer = quick(&handler, &log);
    consumer.process(event(1, "a1")).await.unwrap();
    consumer.process(event(2, "a2")).await.unwrap();
    let seen = gate(&log).await;
    let headers: Headers = [("mended", "yes")].into_iter().collect();
    let (operator, mended) = (operator(Arc::clone(&log)), Bytes::from_static(b"mended"));
    operator.edit(&seen, Some(mended.clone()), headers.clone(), "it was wrong").await.unwrap();
    assert_eq!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::Duplicate, "while it is logged");
    let kept = operator.inspect(&seen.key).await.unwrap().unwrap().held;
    assert!(kept[0].headers() == &headers && kept[0].payload() == Some(&mended));
    assert_eq!(gate(&log).await.gate.conflicts, 0);
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("the edited event is handled", || handler.runs.succeeded() == ["mended", "a2"]).await;
    eventually("and recorded", || retries.stats().resolved == 2).await;
    retries.stop().await;
    assert_eq!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::Duplicate, "and afterwards");
    assert_eq!(handler.runs.times("a1"), 1);
}

async fn the_first_original_can_be_read_after_several_edits_and_after_its_success(log: Log) {
    let handler = Scripted::new(|text, _| if text == "third" { Act::Succeed } else { Act::Permanent });
    let consumer = quick(&handler, &log);
    consumer.process(event(1, "a1")).await.unwrap();
    let operator = operator(Arc::clone(&log));
    let inspect = async || operator.inspect(&key("a")).await.unwrap().unwrap();
    assert!(inspect().await.original.is_none(), "nothing was edited");
    for text in ["first", "second", "third"] {
        let edited = operator.edit(&gate(&log).await, Some(text.into()), Headers::default(), text).await;
        edited.unwrap();
        let inspection = inspect().await;
        assert_eq!(inspection.held[0].payload().unwrap(), text);
        assert_eq!(inspection.original.unwrap().payload().unwrap(), "a1");
    }
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("the last edit is handled", || retries.stats().resolved == 1).await;
    retries.stop().await;
    let original = operator.original(&key("a"), Index::new(1)).await.unwrap().unwrap();
    assert_eq!((original.payload().unwrap(), original.index()), (&Bytes::from("a1"), Index::new(1)));
    let edits = operator.audit(Some(&key("a")), 10).await.unwrap();
    let told: Vec<_> = edits.iter().map(|line| (line.audit.action, &*line.audit.why)).collect();
    assert_eq!(told, [("edit", "third"), ("edit", "second"), ("edit", "first")]);
}

async fn an_edit_that_is_too_large_is_refused_and_nothing_is_done(log: Log) {
    let handler = Scripted::new(|_, _| Act::Permanent);
    quick(&handler, &log).process(event(1, "a1")).await.unwrap();
    let operator = operator(Arc::clone(&log)).with_payload_bytes_max(100);
    let seen = gate(&log).await;
    let edit = async |bytes: usize, headers: usize| {
        let headers: Headers = (0..headers).map(|_| ("h", "v")).collect();
        operator.edit(&seen, Some(vec![0; bytes].into()), headers, "larger").await
    };
    let large = edit(101, 0).await;
    let told = |error: &EventError| matches!(error, EventError::PayloadTooLarge { bytes: 101, max: 100 });
    assert!(matches!(&large, Err(OperatorError::EditedEvent(error)) if told(error)), "{large:?}");
    let many = edit(0, HEADERS_MAX + 1).await;
    assert!(matches!(many, Err(OperatorError::EditedEvent(EventError::TooManyHeaders { .. }))), "{many:?}");
    assert_eq!(gate(&log).await.gate, seen.gate);
    edit(100, HEADERS_MAX).await.unwrap();
}

async fn what_is_shown_for_debugging_has_no_payload(log: Log) {
    let handler = Scripted::new(|_, _| Act::Permanent);
    quick(&handler, &log).process(event(1, "secret-a1")).await.unwrap();
    let operator = operator(Arc::clone(&log));
    let headers: Headers = [("name", "secret")].into_iter().collect();
    operator.edit(&gate(&log).await, Some("secret, too".into()), headers, "why").await.unwrap();
    let inspection = operator.inspect(&key("s")).await.unwrap().unwrap();
    assert!(inspection.original.is_some());
    let shown = format!("{inspection:?} {:?}", operator.audit(None, 10).await.unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}

// Scenario 49.
#[tokio::test(start_paused = true)]
async fn an_edited_event_is_retried_as_edited_and_its_original_is_a_duplicate() {
    let world = World::with(&["a1", "a2"]);
    let handler = Scripted::new(|text, _| Act::succeed_if(text != "a1"));
    let consumer = world.consumer(&handler).with_retry_policy(RetryPolicy::none());
    let running = Running::start(consumer, world.source());
    let seen = world.until("both are logged", "a", |gate| gate.gate.held_events == 2).await;
    let payload = Some("a1 as it should be".into());
    world.operator().edit(&seen, payload, Headers::default(), "it was wrong").await.unwrap();
    world.broker.redeliver(NAME, &world.stream(0), Index::MIN).unwrap();
    eventually("the original came again", || running.stats().duplicates == 2).await;
    eventually("all are handled", || handler.runs.has("a2")).await;
    running.stop().await;
    assert_eq!(handler.runs.began(), ["a1", "a1 as it should be", "a2"]);
    assert!(world.gates().await.is_empty(), "the original is no conflict");
}
