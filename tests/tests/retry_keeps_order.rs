//! One failure never lets a later event of its entity overtake.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ordered_consumer::{
    Event, GateQuery, Limits, MemoryFailureLog, OrderedConsumer, RetryPolicy,
    in_memory_broker::InMemoryBroker,
};

type Ran = Arc<Mutex<Vec<(String, u32, bool)>>>;

fn payload(event: &Event) -> String {
    event.payload().map(|payload| String::from_utf8_lossy(payload).into_owned()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_failing_event_holds_its_entity_and_no_other() {
    let broker = InMemoryBroker::new();
    broker.create_topic("orders", 1).unwrap();
    for (entity, text) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
        broker.publish("orders", entity, text).unwrap();
    }
    let ran = Ran::default();
    let handler = {
        let ran = Arc::clone(&ran);
        move |event: Event| {
            let ran = Arc::clone(&ran);
            async move {
                let (text, attempt) = (payload(&event), event.context().attempt);
                let ok = text != "a1" || attempt == 3;
                ran.lock().unwrap().push((text, attempt, ok));
                if ok { Ok(()) } else { Err("not yet") }
            }
        }
    };
    let log = MemoryFailureLog::new();
    let consumer = OrderedConsumer::new("billing", handler, log)
        .with_retry_policy(RetryPolicy::exponential(Duration::from_secs(1), 2.0).immediate(0))
        .with_limits(Limits { workers: 2, ..Limits::default() });
    let source = broker.subscribe("billing", &["orders"]).unwrap();
    let done = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if consumer.stats().resolved == 3 {
                return;
            }
        }
    };
    consumer.run_until(source, done).await.unwrap();
    let ran = ran.lock().unwrap().clone();
    let texts: Vec<&str> = ran.iter().filter(|(_, _, ok)| *ok).map(|(text, ..)| text.as_str()).collect();
    assert_eq!(texts, ["b1", "a1", "a2", "a3"], "{ran:?}");
    let stats = consumer.stats();
    assert_eq!((stats.handled, stats.retry_scheduled, stats.held, stats.resolved), (1, 1, 2, 3), "{stats:?}");
    let operator = consumer.operator("test").unwrap();
    assert!(operator.list(&GateQuery { limit: 10, ..GateQuery::default() }).await.unwrap().is_empty());
}
