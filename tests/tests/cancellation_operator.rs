//! Everything that an operator can ask, dropped wherever it waits: done or not done, never half, and whoever looks again
//! and asks again gets what was wanted, or is told that it has happened.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use ordered_consumer::{
    Clock, ConsumerName, Event, FailureLog, GateKey, GateQuery, GatedEntity, Index, Operator, StreamDecision,
    StreamName, Timestamp,
    testing::{Cuts, polled_eagerly, sweep},
};
use ordered_consumer_tests::{
    Act, Scripted, on_every_store,
    snapshot::snapshot,
    store::Stores,
    world::{NAME, consumer, operator},
};

on_every_store!(retrying, skipping, parking, deciding_about_a_stream, every_question);

fn stream() -> StreamName {
    StreamName::new("orders/0").unwrap()
}

fn event(index: u64) -> Event {
    Event::builder(stream(), Index::from(index), "a").payload(format!("a{index}")).build()
}

/// Entity `a` has failed for good, and two events are held behind it.
async fn prepare(log: Arc<dyn FailureLog>) {
    let handler = Scripted::new(|_, _| Act::Permanent);
    let consumer = consumer(&handler, log);
    for index in 1..=3 {
        consumer.process(event(index)).await.unwrap();
    }
}

async fn look(operator: &Operator) -> GatedEntity {
    let query = GateQuery { limit: 10, ..GateQuery::default() };
    operator.list(&query).await.unwrap().remove(0)
}

/// Without the names of requests, which an operator makes up anew for each.
async fn seen(log: &dyn FailureLog) -> Vec<String> {
    let lines = snapshot(log, &ConsumerName::new(NAME).unwrap(), &[stream()]).await.unwrap();
    let mut lines: Vec<String> = lines
        .into_iter()
        .map(|line| match (line.split_once("request_id: "), line.split_once("outcome: ")) {
            (Some((before, _)), Some((_, after))) => format!("{before}outcome: {after}"),
            _ => line,
        })
        .collect();
    for line in &mut lines {
        for generation in 0..9 {
            *line = line.replace(&format!("generation: {generation}"), "generation: some");
        }
    }
    lines
}

type Action = for<'o> fn(&'o Operator, &'o GatedEntity) -> BoxFuture<'o, ()>;

async fn dropped_everywhere(stores: Stores, action: Action) {
    let clock = || Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
    let reference = stores.with_clock(&clock()).make().await;
    let log = reference.fresh_handle().await;
    prepare(Arc::clone(&log)).await;
    let before = seen(&*log).await;
    let ann = operator(Arc::clone(&log));
    action(&ann, &look(&ann).await).await;
    let after = seen(&*log).await;
    sweep(stores.eager_cuts(), 4, async |cut| {
        let store = stores.with_clock(&clock()).make().await;
        prepare(store.fresh_handle().await).await;
        let ann = operator(store.waiting_handle().await);
        let seen_first = look(&ann).await;
        cut.cut(polled_eagerly(action(&ann, &seen_first))).await;
        let fresh = store.fresh_handle().await;
        let mut found = Vec::new();
        for _ in 0..400 {
            found = seen(&*fresh).await;
            if found == before || found == after {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(found == before || found == after, "half done when {cut:?}: {found:#?}");
        if found == before {
            // Whoever saw nothing happen asks again; a call that is still on its way must not count twice.
            let bob = operator(Arc::clone(&fresh));
            action(&bob, &seen_first).await;
        }
        for _ in 0..400 {
            found = seen(&*fresh).await;
            // Of two that ask for the same, the second is told that the gate is not as it was, and that is written down.
            found.retain(|line| !line.contains("outcome: Err("));
            found.dedup();
            if found == after {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it does not come to what was asked, {cut:?}: {found:#?}\nexpected {after:#?}");
    })
    .await;
}

async fn retrying(stores: Stores) {
    dropped_everywhere(stores, |operator, seen| {
        Box::pin(async { drop(operator.retry(seen, "it is mended").await) })
    })
    .await;
}

async fn skipping(stores: Stores) {
    dropped_everywhere(stores, |operator, seen| {
        Box::pin(async { drop(operator.skip(seen, "it is void").await) })
    })
    .await;
}

async fn parking(stores: Stores) {
    dropped_everywhere(stores, |operator, seen| Box::pin(async { drop(operator.park(seen, "wait").await) }))
        .await;
}

async fn deciding_about_a_stream(stores: Stores) {
    dropped_everywhere(stores, |operator, _| {
        Box::pin(async {
            operator.decide_stream(&stream(), StreamDecision::Replay, "once more").await.unwrap();
        })
    })
    .await;
}

async fn every_question(stores: Stores) {
    let key = || GateKey { stream: stream(), entity: "a".into() };
    let store = stores.make().await;
    prepare(store.fresh_handle().await).await;
    let before = seen(&*store.fresh_handle().await).await;
    let ann = operator(store.waiting_handle().await);
    let cuts = [
        sweep(Cuts::Every, 3, async |cut| drop(cut.cut(ann.totals()).await)).await,
        sweep(Cuts::Every, 3, async |cut| drop(cut.cut(ann.explain("a")).await)).await,
        sweep(Cuts::Every, 9, async |cut| drop(cut.cut(ann.inspect(&key())).await)).await,
        sweep(Cuts::Every, 3, async |cut| drop(cut.cut(ann.audit(None, 10)).await)).await,
        sweep(Cuts::Every, 3, async |cut| drop(cut.cut(look(&ann)).await)).await,
    ];
    assert!(cuts.iter().sum::<usize>() >= 21, "{cuts:?}");
    assert_eq!(seen(&*store.fresh_handle().await).await, before);
    assert_eq!(ann.inspect(&key()).await.unwrap().unwrap().held.len(), 3, "it still answers");
}
