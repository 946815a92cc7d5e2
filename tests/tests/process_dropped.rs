//! Calls to `process` that their callers drop wherever they wait, between other calls of the same entity.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{sync::Arc, time::Duration};

use ordered_consumer::{Event, Index, Outcome, StreamName, testing::cancelled_at_poll};
use ordered_consumer_tests::{
    Act, Running, Scripted, World, eventually,
    world::{gates, seconds},
};

fn event(index: u128, text: &str) -> Event {
    let stream = StreamName::new("orders/0").unwrap();
    Event::builder(stream, Index::new(index), text[..1].to_owned()).payload(text.to_owned()).build()
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_wherever_it_waits_loses_nothing_and_frees_its_entity() {
    let mut most = 0;
    for pendings in 1.. {
        let world = World::with(&[]);
        let handler = Scripted::new(|text, attempt| match (text, attempt) {
            ("a1", 1) => Act::Fail("the first time"),
            ("a1", 2) => Act::Sleep(Duration::from_millis(10)),
            _ => Act::Yield(2),
        });
        let consumer = Arc::new(world.consumer(&handler).with_retry_policy(seconds().immediate(1)));
        // The dropped call comes before or after another one of its entity.
        let call = consumer.process(event(1, "a1"));
        let dropped = cancelled_at_poll(pendings, call).await.is_none();
        for (index, text) in [(1, "a1"), (2, "a2"), (3, "a3")] {
            let outcome = tokio::time::timeout(Duration::from_secs(60), consumer.process(event(index, text)));
            assert!(outcome.await.expect("the turn is free").is_ok(), "dropped at {pendings}");
        }
        let retries = Running::start_retries(Arc::clone(&consumer));
        eventually("all are handled", || ["a1", "a2", "a3"].iter().all(|text| handler.runs.has(text))).await;
        retries.stop().await;
        let done = handler.runs.succeeded();
        let firsts: Vec<_> = ["a1", "a2", "a3"].map(|text| done.iter().position(|one| one == text)).into();
        assert!(firsts.is_sorted(), "dropped at {pendings}: {done:?}");
        assert!(gates(&world.log).await.is_empty());
        if !dropped {
            most = pendings;
            break;
        }
    }
    assert!(most > 2, "it waited {most} times only");
}

#[tokio::test(start_paused = true)]
async fn a_failing_call_dropped_wherever_it_waits_is_logged_or_runs_again_and_is_not_overtaken() {
    let mut most = 0;
    for pendings in 1.. {
        let world = World::with(&[]);
        let handler = Scripted::new(|text, attempt| match (text, attempt) {
            ("a1", 1 | 2) => Act::Fail("twice"),
            _ => Act::Yield(1),
        });
        let consumer = Arc::new(world.consumer(&handler));
        let call = consumer.process(event(1, "a1"));
        let dropped = cancelled_at_poll(pendings, call).await.is_none();
        let again = consumer.process(event(1, "a1")).await.unwrap();
        assert!(matches!(again, Outcome::RetryScheduled { .. } | Outcome::Duplicate), "{again}");
        assert_eq!(consumer.process(event(2, "a2")).await.unwrap(), Outcome::Held, "dropped at {pendings}");
        let retries = Running::start_retries(Arc::clone(&consumer));
        eventually("both are handled", || handler.runs.has("a2")).await;
        retries.stop().await;
        assert_eq!(handler.runs.succeeded(), ["a1", "a2"], "dropped at {pendings}");
        assert!(gates(&world.log).await.is_empty());
        if !dropped {
            most = pendings;
            break;
        }
    }
    assert!(most > 2, "it waited {most} times only");
}
