//! Every method of a failure log, dropped wherever it waits: done as a whole or not at all, and made again it leads to
//! where it would have led. Looked at through a handle that was opened afterwards.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use ordered_consumer::{
    Clock, ConsumerName, Event, FailureLog, GateKey, GateQuery, Index, Request, StreamDecision, StreamName,
    Timestamp,
    gate::{Action, Arrival, ClaimToken, Failure, Guard, Input, Next, Operation, Settings, Settle, TakeOver},
    testing::{Cuts, polled_eagerly, sweep},
};
use ordered_consumer_tests::{on_every_store, snapshot::snapshot, store::Stores};

on_every_store!(
    a_batch_of_everything,
    a_hold,
    a_failure,
    a_claim,
    a_result,
    a_failed_run,
    an_operators_action,
    taking_what_is_due,
    taking_a_stream_over,
    settling,
    a_replay,
    a_new_stream,
    dropping_tombstones,
    every_read,
);

const SETTINGS: Settings = Settings {
    release_window: 3,
    redelivery_timeout: Duration::from_secs(30),
    claim_timeout: Duration::from_secs(60),
    attempts_max: 5,
    held_events_max: 1_000,
    held_bytes_max: 1_000_000,
    mirror_parked: false,
};

fn consumer() -> ConsumerName {
    ConsumerName::new("billing").unwrap()
}

fn stream() -> StreamName {
    StreamName::new("orders/0").unwrap()
}

fn key(entity: &str) -> GateKey {
    GateKey { stream: stream(), entity: Bytes::from(entity.to_owned()) }
}

fn event(entity: &str, index: u64) -> Event {
    let event = Event::builder(stream(), Index::from(index), Bytes::from(entity.to_owned()));
    event.payload(format!("{entity}{index}")).build()
}

fn arrive(entity: &str, indexes: &[u64]) -> Request {
    let arrival = |index: &u64| Arrival { event: event(entity, *index), suspect: false };
    request(entity, Input::Arrive { events: indexes.iter().map(arrival).collect() })
}

fn fail(entity: &str, index: u64) -> Request {
    let (failure, next) = (Failure::new("First", "no"), Next::Retry(Duration::from_secs(1)));
    request(entity, Input::Fail { event: event(entity, index), attempts: 1, failure, next })
}

fn claim(entity: &str, token: u128) -> Request {
    request(entity, Input::Claim { index: Index::from(1_u64), attempts: 1, token: ClaimToken::new(token) })
}

fn resolve(entity: &str, token: u128, next: Option<u128>) -> Request {
    let (token, next) = (ClaimToken::new(token), next.map(ClaimToken::new));
    request(entity, Input::Resolve { token, in_process: true, next, ignored: None })
}

fn request(entity: &str, input: Input) -> Request {
    Request { key: key(entity), guard: Guard::Unguarded, input }
}

async fn apply(log: &dyn FailureLog, requests: &[Request]) {
    log.apply(&consumer(), &SETTINGS, requests).await.unwrap();
}

/// An action by somebody who has just looked.
async fn operate(log: &dyn FailureLog, entity: &str, action: Action, request_id: &str) -> Request {
    let query = GateQuery { entity: Some(key(entity).entity), limit: 1, ..GateQuery::default() };
    let seen = log.list(&consumer(), &query).await.unwrap().pop().map(|found| found.gate).unwrap_or_default();
    let (by, why) = (Arc::from("ann"), Arc::from("because"));
    let request_id = Some(Arc::from(request_id));
    request(
        entity,
        Input::Operate(Operation { action, index: seen.head, version: seen.version, by, why, request_id }),
    )
}

fn take_over(seen_generation: u64) -> TakeOver {
    TakeOver { seen_generation, identity: None, position: None, uncommitted_max: 10 }
}

/// Entities in every state: `a` waits with two behind it, `b` runs with one behind it, `c` is cleared, `d` is parked,
/// and `p` is paused.
async fn prepare(log: &dyn FailureLog, clock: &Clock) {
    log.take_over(&consumer(), &stream(), &take_over(0)).await.unwrap().unwrap();
    apply(log, &[fail("a", 1), fail("b", 1), fail("c", 1), fail("d", 1)]).await;
    apply(log, &[arrive("a", &[2, 3]), arrive("b", &[2])]).await;
    apply(log, &[claim("b", 7), claim("c", 8)]).await;
    apply(log, &[resolve("c", 8, None)]).await;
    let park = operate(log, "d", Action::Park, "park d").await;
    let pause = operate(log, "p", Action::Pause, "pause p").await;
    apply(log, &[park, pause]).await;
    clock.advance(Duration::from_secs(10));
}

type View = fn(Vec<String>) -> Vec<String>;

/// As it is.
const WHOLE: View = |seen| seen;

/// A decision about a stream that is made twice is in the audit twice, and shuts older owners out twice.
const WITHOUT_COUNTS: View = |mut seen| {
    for line in &mut seen {
        for generation in 1..9 {
            *line = line.replace(&format!("generation: {generation}"), "generation: some");
        }
    }
    seen.dedup_by(|line, before| line == before && line.contains("Audit"));
    seen
};

async fn seen(log: &dyn FailureLog, view: View) -> Vec<String> {
    let apart = StreamName::new("orders/0~1").unwrap();
    view(snapshot(log, &consumer(), &[stream(), apart]).await.unwrap())
}

/// Whether what is stored comes to be one of these. A call whose caller was dropped may still be at it, and what is read
/// beside it may be torn; what stays torn is half done.
async fn comes_to_be(log: &dyn FailureLog, view: View, expected: &[&Vec<String>]) -> Result<(), Vec<String>> {
    let mut last = Vec::new();
    for _ in 0..400 {
        last = seen(log, view).await;
        if expected.contains(&&last) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(last)
}

type Call = for<'l> fn(&'l dyn FailureLog) -> BoxFuture<'l, ()>;

async fn dropped_everywhere(stores: Stores, changes: bool, call: Call) {
    dropped_everywhere_in(WHOLE, stores, changes, call).await;
}

async fn dropped_everywhere_in(view: View, stores: Stores, changes: bool, call: Call) {
    let clock = || Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
    let now = clock();
    let reference = stores.with_clock(&now).make().await;
    let log = reference.fresh_handle().await;
    prepare(&*log, &now).await;
    let before = seen(&*log, view).await;
    call(&*log).await;
    let after = seen(&*log, view).await;
    assert_eq!(before != after, changes, "{before:#?}");
    call(&*log).await;
    assert_eq!(seen(&*log, view).await, after, "made twice, it changes nothing more");
    let round = async |cut: &ordered_consumer::testing::CutAt, eagerly: bool| {
        let now = clock();
        let store = stores.with_clock(&now).make().await;
        prepare(&*store.fresh_handle().await, &now).await;
        let log = store.waiting_handle().await;
        if eagerly {
            cut.cut(polled_eagerly(call(&*log))).await;
        } else {
            cut.cut(call(&*log)).await;
        }
        let fresh = store.fresh_handle().await;
        if let Err(found) = comes_to_be(&*fresh, view, &[&before, &after]).await {
            panic!("half done when {cut:?}: {found:#?}");
        }
        call(&*fresh).await;
        if let Err(found) = comes_to_be(&*fresh, view, &[&after]).await {
            panic!("made again after {cut:?}, it leads elsewhere: {found:#?}");
        }
        // Nothing of the dropped call keeps others waiting, nor does its handle.
        call(&*log).await;
        assert_eq!(seen(&*log, view).await, after);
    };
    // Before the call and after it, and in it if it waits by itself.
    let cuts_min = if stores.waits_by_itself() { 3 } else { 4 };
    sweep(Cuts::Every, cuts_min, async |cut| round(cut, false).await).await;
    if stores.waits_by_itself() && changes {
        sweep(stores.eager_cuts(), 6, async |cut| round(cut, true).await).await;
    }
}

async fn a_batch_of_everything(stores: Stores) {
    dropped_everywhere(stores, true, |log| {
        Box::pin(async {
            let retry = operate(log, "d", Action::Retry, "retry d").await;
            let batch = [
                claim("a", 11),
                resolve("b", 7, Some(12)),
                arrive("c", &[2]),
                retry,
                fail("e", 1),
                arrive("p", &[1]),
            ];
            apply(log, &batch).await;
        })
    })
    .await;
}

async fn a_hold(stores: Stores) {
    dropped_everywhere(stores, true, |log| Box::pin(async { apply(log, &[arrive("a", &[4, 5, 6])]).await }))
        .await;
}

async fn a_failure(stores: Stores) {
    dropped_everywhere(stores, true, |log| Box::pin(async { apply(log, &[fail("e", 1)]).await })).await;
}

async fn a_claim(stores: Stores) {
    dropped_everywhere(stores, true, |log| Box::pin(async { apply(log, &[claim("a", 11)]).await })).await;
}

async fn a_result(stores: Stores) {
    dropped_everywhere(stores, true, |log| {
        Box::pin(async { apply(log, &[resolve("b", 7, Some(12))]).await })
    })
    .await;
}

async fn a_failed_run(stores: Stores) {
    dropped_everywhere(stores, true, |log| {
        Box::pin(async {
            let (failure, next) = (Failure::new("Second", "no again"), Next::Retry(Duration::from_secs(2)));
            let again = Input::FailAgain { token: ClaimToken::new(7), failure, next };
            apply(log, &[request("b", again)]).await;
        })
    })
    .await;
}

async fn an_operators_action(stores: Stores) {
    dropped_everywhere(stores, true, |log| {
        Box::pin(async {
            let skip = operate(log, "a", Action::Skip, "skip a").await;
            apply(log, &[skip]).await;
        })
    })
    .await;
}

async fn taking_what_is_due(stores: Stores) {
    dropped_everywhere(stores, true, |log| {
        Box::pin(async { drop(log.take_due(&consumer(), &SETTINGS, 10).await.unwrap()) })
    })
    .await;
}

async fn taking_a_stream_over(stores: Stores) {
    dropped_everywhere(stores, true, |log| {
        // Made again, it is refused, because the generation is not the one that was seen any more.
        Box::pin(async { drop(log.take_over(&consumer(), &stream(), &take_over(1)).await.unwrap()) })
    })
    .await;
}

async fn settling(stores: Stores) {
    dropped_everywhere(stores, true, |log| {
        let report = Settle { generation: 1, settled: Some(Index::from(1_u64)), let_go: true };
        Box::pin(async move { drop(log.settle(&consumer(), &stream(), &report).await.unwrap()) })
    })
    .await;
}

async fn decide(log: &dyn FailureLog, decision: StreamDecision) {
    log.decide_stream(&consumer(), &stream(), decision, "ann", "because").await.unwrap();
}

async fn a_replay(stores: Stores) {
    dropped_everywhere_in(WITHOUT_COUNTS, stores, true, |log| Box::pin(decide(log, StreamDecision::Replay)))
        .await;
}

async fn a_new_stream(stores: Stores) {
    dropped_everywhere_in(WITHOUT_COUNTS, stores, true, |log| {
        Box::pin(decide(log, StreamDecision::NewStream))
    })
    .await;
}

async fn dropping_tombstones(stores: Stores) {
    dropped_everywhere(stores, true, |log| {
        Box::pin(async {
            let retention = Some(Duration::from_secs(5));
            log.drop_tombstones(&consumer(), &stream(), retention, 10).await.unwrap();
        })
    })
    .await;
}

async fn every_read(stores: Stores) {
    let reads: [Call; 7] = [
        |log| {
            Box::pin(async {
                log.totals(&consumer()).await.unwrap();
            })
        },
        |log| Box::pin(async { drop(log.audit(&consumer(), None, 10).await.unwrap()) }),
        |log| {
            Box::pin(async {
                let query = GateQuery { limit: 10, ..GateQuery::default() };
                drop(log.list(&consumer(), &query).await.unwrap());
            })
        },
        |log| {
            Box::pin(async {
                let entities = [key("a").entity, key("z").entity];
                drop(log.which_gated(&consumer(), &stream(), &entities).await.unwrap());
            })
        },
        |log| {
            Box::pin(async {
                drop(log.gated_entities(&consumer(), &stream(), None, 10, false).await.unwrap())
            })
        },
        |log| Box::pin(async { drop(log.stream(&consumer(), &stream()).await.unwrap()) }),
        |log| {
            Box::pin(async {
                let all = (Index::MIN, Index::MAX);
                drop(log.held_events(&consumer(), &key("a"), all, 10, u64::MAX).await.unwrap());
            })
        },
    ];
    for read in reads {
        dropped_everywhere(stores.clone(), false, read).await;
    }
}
