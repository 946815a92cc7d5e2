//! After an unclean takeover the first events are logged before they run; an event behind them that is not suspect any
//! more must not overtake them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::{Arc, Mutex};

use ordered_consumer::{
    Event, Limits, MemoryFailureLog, OrderedConsumer,
    in_memory_broker::{InMemoryBroker, NewEvent},
};
use tokio::{sync::Semaphore, task::yield_now};

const SUSPECTS: usize = 2;

fn publish(broker: &InMemoryBroker, payload: &'static str) {
    broker.publish_event("orders", NewEvent::new("order-1", payload)).unwrap();
}

/// Notes what began, in order, and waits at each event until it may go on.
#[derive(Default)]
struct Began(Mutex<Vec<String>>);

fn consumer(
    log: &Arc<MemoryFailureLog>,
    began: &Arc<Began>,
    may_end: &Arc<Semaphore>,
) -> OrderedConsumer<impl ordered_consumer::Handler + use<>> {
    let (began, may_end) = (Arc::clone(began), Arc::clone(may_end));
    let handler = move |event: Event| {
        let (began, may_end) = (Arc::clone(&began), Arc::clone(&may_end));
        async move {
            let payload = String::from_utf8(event.payload().unwrap().to_vec()).unwrap();
            began.0.lock().unwrap().push(payload);
            may_end.acquire().await?.forget();
            Ok::<(), tokio::sync::AcquireError>(())
        }
    };
    OrderedConsumer::new("billing", handler, Arc::clone(log))
        .with_limits(Limits { uncommitted_max: SUSPECTS, ..Limits::default() })
}

#[tokio::test(start_paused = true)]
async fn an_event_behind_suspects_waits_for_them_although_it_is_not_suspect_itself() {
    let broker = InMemoryBroker::new();
    broker.create_topic("orders", 1).unwrap();
    let log = Arc::new(MemoryFailureLog::new());
    let (began, may_end) = (Arc::new(Began::default()), Arc::new(Semaphore::new(0)));
    publish(&broker, "1");
    publish(&broker, "2");

    // The first consumer dies while it handles the first event.
    let first = consumer(&log, &began, &may_end);
    let source = broker.subscribe("billing", &["orders"]).unwrap();
    tokio::select! {
        _ = first.run(source) => unreachable!("its handler waits"),
        () = until(|| began.0.lock().unwrap().len() == 1) => {}
    }
    drop(first);

    // The second one logs as many events as the first may have had under way, and then is told of one more.
    let second = consumer(&log, &began, &may_end);
    let source = broker.subscribe("billing", &["orders"]).unwrap();
    let third_comes_late = async {
        until(|| broker.lag("billing") == 0).await;
        publish(&broker, "3");
        until(|| broker.lag("billing") == 0 || began.0.lock().unwrap().contains(&"3".to_owned())).await;
        may_end.add_permits(3);
        until(|| began.0.lock().unwrap().len() == 4).await;
    };
    tokio::select! {
        _ = second.run(source) => unreachable!("the topic stays open"),
        () = third_comes_late => {}
    }
    assert_eq!(*began.0.lock().unwrap(), ["1", "1", "2", "3"]);
    assert_eq!(second.stats().suspects, 1);
}

/// Paused time does not pass while there is something to do, so this ends as soon as it can.
async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        yield_now().await;
    }
}
